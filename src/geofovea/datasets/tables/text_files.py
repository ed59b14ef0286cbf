"""Text files in the encodings that programs write: UTF-8 with or without a mark, and UTF-16.

Spreadsheets write UTF-16 and put a mark in front of UTF-8; so do shells. The bytes say which it is.
Any other encoding cannot be told from its bytes: it is refused instead of being guessed.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

__all__ = ["BadLineError", "encoding_of", "json_of"]

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    # longer ones first: one begins with the other
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class BadLineError(Exception):
    """A line is none of a table.

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
        ValueError: If it is no JSON.
        RecursionError: If it is nested too deeply.
    """
    return json.loads(path.read_bytes())


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
