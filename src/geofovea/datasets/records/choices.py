"""Choices as benchmarks write them in rows and in prompts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from geofovea.datasets.records.rows import Row
from geofovea.datasets.records.sample import LETTERS

__all__ = ["labeled", "letters_of", "listed_choices", "unlabeled"]


def labeled(choices: Sequence[str]) -> str:
    """``(A) ...`` and so on, one a line."""
    return "\n".join(f"({letter}) {text}" for letter, text in zip(LETTERS, choices, strict=False))


def listed_choices(row: Row, column: str) -> tuple[str, ...]:
    """A list of choices as they are written, each of which can have a letter.

    Raises:
        DataError: If the cell is not a list of texts, or there are more than letters.
    """
    texts = row.texts(column)
    if len(texts) > len(LETTERS):
        raise row.wrong(column, f"at most {len(LETTERS)} choices")
    return texts


def unlabeled(row: Row, column: str) -> tuple[str, ...]:
    """Choices without their letters; a list of texts or an object from letters to texts.

    Raises:
        DataError: If the cell is neither, or its letters are not A, B, C ... in order.
    """
    value = row.values.get(column)
    if isinstance(value, dict):
        keys = sorted(value)
        if "".join(keys) != LETTERS[: len(keys)] or not keys:
            raise row.wrong(column, "choices under the letters A, B, C ...")
        return tuple(str(value[key]) for key in keys)
    texts = []
    for letter, text in zip(LETTERS, listed_choices(row, column), strict=False):
        label = re.match(r"\s*\(?([A-Z])[).:]\s*", text)
        if label and label[1] != letter:
            raise row.wrong(column, f"choice {letter} in its place")
        texts.append(text[label.end() :] if label else text)
    return tuple(texts)


def letters_of(row: Row, column: str, count: int) -> tuple[str, ...]:
    """The letters of the right choices, from ``"B"``, ``"AC"``, ``"A, C"`` or ``["A", "C"]``.

    Raises:
        DataError: If there is no letter, or no choice has it.
    """
    value = row.values.get(column)
    text = " ".join(map(str, value)) if isinstance(value, list) else row.text(column)
    letters = tuple(sorted(set(re.sub(r"[\s,;()]", "", text))))
    if not letters or any(letter not in LETTERS[:count] for letter in letters):
        raise row.wrong(column, f"letters of A to {LETTERS[count - 1]}")
    return letters
