"""Texts of others, made fit for a terminal and a log."""

from __future__ import annotations

__all__ = ["printable", "without_key"]

_MASK = "***"


def printable(text: str, most: int) -> str:
    """A text without what a terminal would obey, on one line, cut to ``most`` characters."""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())
    return plain[:most]


def without_key(text: str, key: str | None, least: int) -> str:
    """A text in which every run of at least ``least`` characters of a key is ``***``.

    Runs and not the whole key alone, for providers show its ends, and texts are cut. A key that is
    shorter than ``least`` is no secret: local servers want a word such as ``none``.
    """
    if key is None or len(key) < least:
        return text
    parts, place = [], 0
    while place < len(text):
        end = place + least
        if text[place:end] in key and end <= len(text):
            while end < len(text) and text[place : end + 1] in key:
                end += 1
            parts.append(_MASK)
            place = end
        else:
            parts.append(text[place])
            place += 1
    return "".join(parts)
