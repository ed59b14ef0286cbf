"""Finds the column of answers in an answers file by its name, and never guesses silently.

A file that also keeps the truth may use the name ``answer`` for either of them. One column serves
all rows: a row without a value in it holds no answer, whatever its other columns hold.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from geofovea.datasets.records.rows import Row, cell_text
from geofovea.datasets.records.sample import Sample
from geofovea.errors import DataError

__all__ = ["ANSWER_FIELDS", "AnswerColumns", "answer_columns"]

_NAMES_OF_TRUTH_TOO = ("text", "answer")
_UNSURE = ("Output", "output", *_NAMES_OF_TRUTH_TOO)
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
        others: All columns of text that nothing else reads, including ``passed_over``.
        was_told: Whether the user named the column.
    """

    names: tuple[str, ...]
    passed_over: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    was_told: bool = False

    def check_truth(self, answers: Mapping[str, str], samples: Sequence[Sample]) -> None:
        """Refuse a column whose name does not say what it is and that equals the truth everywhere.

        Raises:
            DataError: If there are other columns that may hold the answers.
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
    columns = list(dict.fromkeys(name for row in rows for name in row.values))
    own = tuple(name for name in fields if name in columns)
    names = own or tuple(name for name in ANSWER_FIELDS if name in columns)[:1]
    texts = [n for n in _columns_of_text(rows, columns, names) if n not in ids]
    rivals = [n for n in texts if n in ANSWER_FIELDS or (_sounds_right(n) and n not in fields)]
    others = [n for n in texts if n not in fields and not _is_known_to_be_else(n)]
    if names and names[0] not in _UNSURE:
        # beside a name that is clear, those two are the question and the truth
        rivals = [n for n in rivals if n not in _NAMES_OF_TRUTH_TOO]
    elif names and not own and names[0] in _NAMES_OF_TRUTH_TOO and rivals:
        raise DataError(
            f"the answers may be in {names[0]} or in {', '.join(rivals)}: say in which, with "
            "--answer-field"
        )
    return AnswerColumns(names, tuple(rivals), tuple(others))


def _columns_of_text(
    rows: Sequence[Row], columns: Sequence[str], beside: Collection[str]
) -> list[str]:
    """Other columns that hold some text in a row that has one of the columns ``beside``."""
    rows = [row for row in rows if any(name in row.values for name in beside)]
    return [name for name in columns if name not in beside and _holds_text(rows, name)]


def _sounds_right(name: str) -> bool:
    return bool(_SOUNDS_LIKE_AN_ANSWER.search(name)) and not _IS_ABOUT_AN_ANSWER.search(name)


def _is_known_to_be_else(name: str) -> bool:
    return name.lower() in _ABOUT_THE_QUESTION or bool(_IS_ABOUT_AN_ANSWER.search(name))


def _holds_text(rows: Sequence[Row], name: str) -> bool:
    values = (row.values.get(name) for row in rows)
    return any(not isinstance(v, bool) and (cell_text(v) or "").strip() for v in values)


def _is_truth(sample: Sample, answer: str) -> bool:
    text = answer.strip().casefold().strip("().")
    letters = "".join(sample.answers).casefold()
    return text in {a.strip().casefold().strip("().") for a in sample.answers} | {letters}
