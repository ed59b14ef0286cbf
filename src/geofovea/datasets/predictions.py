"""Answers files: ours and those of other systems, which call the same things by other names."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from geofovea.datasets.rows import Row, read_rows
from geofovea.errors import DataError

__all__ = ["Predictions", "read_predictions"]

ID_FIELDS = ("question_id", "id", "Question_id", "index", "qid")
ANSWER_FIELDS = (
    "prediction",
    "predicted_answer",
    "model_answer",
    "Output",
    "output",
    "pred",
    "response",
    "text",
    "answer",
)
"""In this order, because files that also hold the truth or the question call those ``answer`` and
``text``."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a system answered.

    Attributes:
        answers: By id; an answer that is null is empty.
        fields: Names under which answers were found.
        rows: The rows as read, by id.
    """

    answers: dict[str, str]
    fields: tuple[str, ...]
    rows: dict[str, dict[str, Any]]


def read_predictions(
    path: str | os.PathLike[str],
    fields: Sequence[str] = (),
    only: str | None = None,
    known: Collection[str] = frozenset(),
) -> Predictions:
    """Read an answers file (JSON Lines, JSON, TSV, CSV or Parquet).

    Args:
        path: The file.
        fields: Names of the answer that are tried first, in order; one that is null is passed over.
        only: The one name to use, where the usual ones would pick the wrong column.
        known: Ids of the questions: of several columns that may hold the id, such as ``id`` and
            ``question_id``, the first that names one of them does.

    Raises:
        DataError: If a row has no id or no answer, an answer is no text, or an id occurs twice.
    """
    names = (only,) if only else (*fields, *ANSWER_FIELDS)
    answers: dict[str, str] = {}
    rows: dict[str, dict[str, Any]] = {}
    used: dict[str, None] = {}
    for row in read_rows(path):
        key = _id_of(row, known)
        if key in answers:
            raise DataError(
                f"{row.place}: the id {key!r} was answered before; keep one row of each"
            )
        name, answers[key] = _answer_of(row, names)
        rows[key] = row.values
        used[name] = None
    if not answers:
        raise DataError(f"{path} holds no answers")
    return Predictions(answers, tuple(used), rows)


def _id_of(row: Row, known: Collection[str]) -> str:
    present = [name for name in ID_FIELDS if name in row.values]
    if not present:
        raise DataError(
            f"{row.place}: no id; one of the columns {', '.join(ID_FIELDS)} is needed, there are "
            f"{list(row.values)}"
        )
    # a running number may stand beside the id of the question, under the other's name
    named = (name for name in present if str(row.values[name]) in known)
    return row.text(next(named, present[0]))


def _answer_of(row: Row, names: Iterable[str | None]) -> tuple[str, str]:
    present = [name for name in names if name in row.values]
    for name in present:
        value = row.values[name]
        if isinstance(value, list) and len(value) == 1:
            # as harnesses write the replies of one round
            value = value[0]
        if isinstance(value, list | dict):
            raise row.wrong(str(name), "one answer as text")
        if value is not None and value == value:
            return str(name), str(value)
    if present:
        return str(present[0]), ""
    raise DataError(
        f"{row.place}: no answer; there are the columns {list(row.values)}: name the right one "
        "with --answer-field"
    )
