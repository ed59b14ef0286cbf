"""Answers files: our own and those of other systems, which use other names for the same columns."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea._plurals import counted
from geofovea.datasets.records.answer_columns import ANSWER_FIELDS, AnswerColumns, answer_columns
from geofovea.datasets.records.harness_rows import HARNESS_ID, sample_of_place
from geofovea.datasets.records.rows import Row, cell_text, read_rows
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.tables.table_parts import missing_shards, shards_of
from geofovea.errors import DataError

__all__ = ["Predictions", "read_predictions"]

ID_FIELDS = ("question_id", "id", "Question_id", "index", "qid")
_FAILED = re.compile(
    r"\s*(?:failed to obtain answer via api|\[failed_infer\]|error code: \d{3}|nan\s*$)",
    re.IGNORECASE,
)
"""What harnesses and tables write where a model gave no answer."""
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a system answered.

    Attributes:
        answers: By id; empty where there is a row and no answer in it.
        fields: Names under which answers were found.
        rows: The rows as read, by id.
        notes: How columns were read, and what a careful reader should know.
    """

    answers: dict[str, str]
    fields: tuple[str, ...]
    rows: dict[str, dict[str, Any]]
    notes: tuple[str, ...] = ()


def read_predictions(
    path: str | os.PathLike[str],
    fields: Sequence[str] = (),
    only: str | None = None,
    known: Collection[str] = frozenset(),
    samples: Sequence[Sample] = (),
) -> Predictions:
    """Read an answers file (JSON Lines, JSON, TSV, CSV or Parquet), or a folder of its parts.

    Args:
        path: The file.
        fields: Names of the answer that are tried first, in order; one that is null is passed over.
        only: The one name to use, where the usual ones would pick the wrong column.
        known: Ids of the questions: of several columns that may hold the id, such as ``id`` and
            ``question_id``, the first that names one of them does.
        samples: The questions in their order, where they are at hand: harnesses name them by their
            place, and a column that equals the truth in every row may be the truth.

    Raises:
        DataError: If a row has no id or no answer, an answer is not text, an id occurs twice, or it
            cannot be told which column holds the answers.
    """
    known = frozenset(known) or frozenset(sample.id for sample in samples)
    names = (*ID_FIELDS, *fields, *ANSWER_FIELDS, *((only,) if only else ()))
    begins = lambda cells: any(cells.get(n, "").strip() in known for n in ID_FIELDS)  # noqa: E731
    all_rows = list(read_rows(path, names, begins if known else None))
    if not all_rows:
        raise DataError(f"{path} holds no answers")
    columns = answer_columns(all_rows, fields, only, (*ID_FIELDS, HARNESS_ID))
    answers: dict[str, str] = {}
    rows: dict[str, dict[str, Any]] = {}
    used: dict[str, None] = {}
    by_place = 0
    for row in all_rows:
        key, is_place = _id_of(row, known, samples)
        by_place += is_place
        if key in answers:
            raise DataError(
                f"{row.place}: the id {key!r} was answered before; keep one row of each"
            )
        name, answers[key] = _answer_of(row, columns.names)
        rows[key] = row.values
        used[name] = None
    columns.check_truth(answers, samples)
    return Predictions(
        answers, tuple(used), rows, tuple(_notes(path, columns, tuple(used), by_place, answers))
    )


def _columns(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _notes(
    path: str | os.PathLike[str],
    columns: AnswerColumns,
    used: tuple[str, ...],
    by_place: int,
    answers: Mapping[str, str],
) -> list[str]:
    notes = [f"answers are from the {_columns(used)}"]
    if columns.passed_over:
        notes.append(
            f"answers may also be in the unread {_columns(columns.passed_over)}: choose with "
            "--answer-field"
        )
    if by_place:
        notes.append(
            f"{counted(by_place, 'answer names its', 'answers name their')} question only by "
            f"{HARNESS_ID}, which is read as its place in the benchmark, counted from 0"
        )
    if empty := sum(not answer.strip() for answer in answers.values()):
        rows = counted(empty, "row has no answer and counts", "rows have no answer and count")
        notes.append(f"{rows} as wrong")
    file = Path(path)
    if file.is_file() and len(shards_of(file)) + len(missing_shards(file)) > 1:
        notes.append(f"{file.name} is one part of several by its name: the others are not read")
    return notes


def _id_of(row: Row, ids: Collection[str], samples: Sequence[Sample]) -> tuple[str, bool]:
    """The id of a row, and whether it was found by its place in the order of a harness."""
    present = [name for name in ID_FIELDS if name in row.values]
    if not present and HARNESS_ID in row.values:
        inner_id = _id_inside(row, ids)
        return (inner_id, False) if inner_id is not None else (sample_of_place(row, samples), True)
    if not present:
        raise DataError(
            f"{row.place}: no id; one of the columns {', '.join(ID_FIELDS)} is needed, there are "
            f"{list(row.values)}"
        )
    # a running number may stand beside the id of the question, under the other's name
    for name in present:
        if (text := cell_text(row.values[name])) is None:
            continue
        # tables with a gap in a column of whole numbers write 7 as 7.0
        whole = _WHOLE.fullmatch(text.strip())
        for form in (text, text.strip(), whole[1] if whole else text):
            if form in ids:
                return form, False
    return row.text(present[0]), False


def _id_inside(row: Row, ids: Collection[str]) -> str | None:
    """A known id in an object of a row: what a task keeps of its question, or what scored it."""
    for inner in row.values.values():
        fields = inner if isinstance(inner, dict) else {}
        for name in ID_FIELDS:
            if (text := cell_text(fields.get(name))) is not None and text in ids:
                return text
    return None


def _answer_of(row: Row, names: Sequence[str]) -> tuple[str, str]:
    present = [name for name in names if name in row.values]
    if not present:
        raise DataError(
            f"{row.place}: no answer; there are the columns {list(row.values)}: name the right one "
            "with --answer-field"
        )
    for name in present:
        value = row.values[name]
        while isinstance(value, list) and len(value) == 1:
            # as harnesses write the replies of one round
            value = value[0]
        if isinstance(value, dict) or (isinstance(value, list) and value):
            raise row.wrong(name, "one answer as text")
        text = cell_text(value)
        if text is not None:
            return name, "" if _FAILED.match(text) else text
        if value is not None and value == value and not isinstance(value, list):
            return name, str(value)
    return present[0], ""
