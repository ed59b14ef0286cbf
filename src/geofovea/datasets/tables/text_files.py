"""Text files in the encodings that programs write: UTF-8 with or without a mark, and UTF-16.

Spreadsheets write UTF-16 and put a mark in front of UTF-8; so do shells. The bytes say which it is.
Any other encoding cannot be told from its bytes: it is refused instead of being guessed.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

__all__ = ["BadLineError", "encoding_of", "json_of", "unambiguous_json"]

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # longer ones first: one begins with the other
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class BadLineError(Exception):
    """A line does not belong to a table.

    Attributes:
        line: Its number, from 1.
        number: Of its row, from 1; 0 is the header.
    """

    def __init__(self, line: int, number: int, reason: str) -> None:
        """Say what is wrong."""
        super().__init__(reason)
        self.line = line
        self.number = number


def json_of(path: Path) -> Any:
    """The value of a JSON file in any Unicode encoding, with or without a mark.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is not JSON.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(path.read_bytes())


def unambiguous_json(text: str | bytes) -> Any:
    """The value of JSON that somebody wrote, in which no object has a name twice.

    The standard leaves open which of them counts; Python takes the last one without a word.

    Raises:
        ValueError: If it is not JSON, or a name stands twice.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_object_of)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"the name {twice!r:.80} occurs twice in one object; leave out one of them"
        )
    return values


def encoding_of(head: bytes) -> str:
    """The encoding that the first bytes of a text show."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    # without a mark: every second byte of Latin letters is a zero
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > len(head) // 8 and even == 0:
        return "utf-16-le"
    if even > len(head) // 8 and odd == 0:
        return "utf-16-be"
    return "utf-8"
