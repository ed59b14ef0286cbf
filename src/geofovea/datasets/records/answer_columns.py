"""Finds the column of answers in an answers file by its name; it never guesses silently.

Files that keep the truth as well call one of the two ``answer``. One column serves for all rows: a
row without a value in it holds no answer, whatever stands in other columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from geofovea.datasets.records.rows import Row, cell_text
from geofovea.datasets.records.sample import Sample
from geofovea.errors import DataError

__all__ = ["ANSWER_FIELDS", "AnswerColumns", "answer_columns"]

_UNSURE = ("Output", "output", "text", "answer")
ANSWER_FIELDS = (
    "prediction",
    "predicted_answer",
    "model_answer",
    "Output",
    "output",
    "pred",
    "response",
    "filtered_resps",
    "resps",
    "text",
    "answer",
)
"""In this order, because files that also hold the truth or the question call those ``answer`` and
``text``."""
_SOUNDS_LIKE_AN_ANSWER = re.compile(
    r"pred|resp|output|generat|repl(?:y|ies)|completion|hypothes|said|"
    r"(?:^|[_\s-])ans(?:wers?)?(?:$|[_\s-])",
    re.IGNORECASE,
)
_IS_ABOUT_AN_ANSWER = re.compile(
    r"(?:^|[_\s-])(?:id|time|seconds|tokens?|length|len|scores?|count|latency|hash|type|format|gt|"
    r"truth|path|file|model|name|logprobs?|confidence)$|^(?:gt|true|truth|correct|right|reference|"
    r"ref|gold|target|ground)[_\s-]|^responsib",
    re.IGNORECASE,
)
_ABOUT_THE_QUESTION = frozenset(
    (
        *("question", "prompt", "input", "instruction", "image", "images", "image_path"),
        *("image_name", "img", "category", "type", "task", "subtask", "source", "split", "dataset"),
        *("options", "choices", "multi-choice options", "answer choices", "question type"),
        *("ground_truth", "ground truth", "gt", "truth", "target", "label", "level", "ability"),
        *("model", "model_id", "model_name", "answer_id", "metadata", "error", "state", "status"),
        *("hint", "context", "l2-category", "cycle_category", "abs_size", "size_bin", "doc_hash"),
        *("higher_level", "image_id", "img_id", "answer_type", "question_type", "scene"),
        *"abcdefgh",
    )
)


@dataclass(frozen=True, slots=True)
class AnswerColumns:
    """Where the answers of a file are.

    Attributes:
        names: Columns of the answer; of several, the first that is not null in a row.
        passed_over: Other columns whose names say that they may hold answers.
        others: Columns of texts that nobody reads, those among them.
        was_told: Whether the user named the column.
    """

    names: tuple[str, ...]
    passed_over: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    was_told: bool = False

    def check_truth(self, answers: Mapping[str, str], samples: Sequence[Sample]) -> None:
        """Refuse a column whose name does not say what it is and that equals the truth everywhere.

        Raises:
            DataError: If there are other columns that may hold what was said.
        """
        unsure = not self.was_told and all(name in _UNSURE for name in self.names)
        if not unsure or not self.others:
            return
        pairs = [(s, answers[s.id]) for s in samples if s.id in answers]
        if pairs and all(_is_truth(sample, answer) for sample, answer in pairs):
            raise DataError(
                f"the column {self.names[0]} equals the truth in every row, and there are also "
                f"{', '.join(self.others)}: say which column holds what the model answered, with "
                "--answer-field"
            )


def answer_columns(
    rows: Sequence[Row], fields: Sequence[str], only: str | None, ids: Collection[str]
) -> AnswerColumns:
    """Find the columns of the answers in some rows.

    Args:
        rows: All rows.
        fields: Names that a benchmark's own files have, tried first.
        only: The one name that the user gave.
        ids: Names of columns of ids.

    Raises:
        DataError: If the only known name is one that the truth and the question have too, and
            another column sounds like answers.
    """
    if only:
        return AnswerColumns((only,), was_told=True)
    columns = dict.fromkeys(name for row in rows for name in row.values)
    answer_names = [name for name in ANSWER_FIELDS if name in columns]
    own = tuple(name for name in fields if name in columns)
    names = own or tuple(answer_names[:1])
    together = [row for row in rows if any(name in row.values for name in names)]
    texts = [n for n in columns if n not in (*ids, *names) and _is_of_texts(together, n)]
    rivals = tuple(n for n in texts if n in ANSWER_FIELDS or (_sounds_right(n) and n not in fields))
    others = tuple(n for n in texts if n not in fields and not _is_known_to_be_else(n))
    if names and names[0] not in _UNSURE:
        # beside a name that is clear, those two are the question and the truth
        rivals = tuple(n for n in rivals if n not in ("text", "answer"))
    strangers = [n for n in rivals if n not in answer_names or n in ("text", "answer")]
    if names and not own and names[0] in ("text", "answer") and strangers:
        raise DataError(
            f"the answers may be in {names[0]} or in {', '.join(strangers)}: say in which, with "
            "--answer-field"
        )
    return AnswerColumns(names, rivals, others)


def _sounds_right(name: str) -> bool:
    return bool(_SOUNDS_LIKE_AN_ANSWER.search(name)) and not _IS_ABOUT_AN_ANSWER.search(name)


def _is_known_to_be_else(name: str) -> bool:
    return name.lower() in _ABOUT_THE_QUESTION or bool(_IS_ABOUT_AN_ANSWER.search(name))


def _is_of_texts(rows: Sequence[Row], name: str) -> bool:
    values = (row.values.get(name) for row in rows)
    return any(not isinstance(v, bool) and (cell_text(v) or "").strip() for v in values)


def _is_truth(sample: Sample, answer: str) -> bool:
    text = answer.strip().casefold().strip("().")
    letters = "".join(sample.answers).casefold()
    return text in {a.strip().casefold().strip("().") for a in sample.answers} | {letters}
