"""Rows of lmms-eval, which name a question by its place in the order of the task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from geofovea.datasets.records.rows import Row, cell_text
from geofovea.datasets.records.sample import Sample
from geofovea.errors import DataError

__all__ = ["HARNESS_ID", "sample_of_place"]

HARNESS_ID = "doc_id"
_QUESTION_FIELDS = ("input", "prompt", "question")


def sample_of_place(row: Row, samples: Sequence[Sample]) -> str:
    """The id of the question at the place that a row names.

    The rest of the row has to agree with that question: its input holds the words of the question,
    or its target is the truth.

    Raises:
        DataError: If the place is not a whole number, or the question there is another one.
    """
    text = cell_text(row.values[HARNESS_ID])
    if text is None or not text.isdecimal():
        raise row.wrong(HARNESS_ID, "the place of a question in its order, from 0")
    place = int(text)
    if place >= len(samples):
        return f"{HARNESS_ID} {place}"
    sample = samples[place]
    if not _agrees(row, sample):
        raise DataError(
            f"{row.place}: the order of this file is not the order of the benchmark here: "
            f"{HARNESS_ID} {place} would be the question {sample.id!r}, {sample.question[:80]!r}, "
            f"and the row is about another one; write the ids of the questions into a column "
            "question_id"
        )
    return sample.id


def _agrees(row: Row, sample: Sample) -> bool:
    """Whether a row can be about a question, by its words or else by its target."""
    doc = row.values.get("doc")
    inner = doc if isinstance(doc, dict) else {}
    questions = [_plain(source.get(n)) for source in (row.values, inner) for n in _QUESTION_FIELDS]
    if any(questions):
        question = _plain(sample.question)
        # the shorter may be inside the longer: some inputs are templates around the question
        return any(question in text or text in question for text in questions if text)
    target = row.values.get("target")
    targets = set(map(_plain, target if isinstance(target, list) else [target])) - {""}
    return not targets or bool(targets & _forms_of_truth(sample))


def _forms_of_truth(sample: Sample) -> set[str]:
    """How a target may state the truth: as answers, as all letters together, or as choices."""
    choice_of = dict(zip(sample.letters, sample.choices, strict=True))
    forms = {*sample.answers, "".join(sample.answers)}
    forms |= {choice_of[answer] for answer in sample.answers if answer in choice_of}
    return {_plain(form) for form in forms} - {""}


def _plain(value: Any) -> str:
    return " ".join((cell_text(value) or "").casefold().split()).strip("().")
