"""Plain text for other programs: bounded, and free of anything that a terminal would obey.

Names of files, texts inside files and answers of models are untrusted. Another model reads them
here, and perhaps a person in a terminal after it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from geofovea.pipeline.system.terminal import visible

__all__ = ["MOST_ITEMS", "MOST_TEXT", "first_of", "in_tool_words", "plain_text", "plain_values"]

MOST_TEXT = 4000
"""Most characters of one text; an answer of a model has a few, a description may have a million."""

MOST_ITEMS = 256
"""Most entries of one list."""

_MOST_COORDINATES = 4096

T = TypeVar("T")


def plain_text(text: object, most: int = MOST_TEXT) -> str:
    """A text with visible characters alone, cut where it is too long.

    Args:
        text: Anything; its ``str`` is taken.
        most: Most characters.
    """
    whole = str(text)
    harmless = visible(whole[: most + 1], lines=True)
    return harmless if len(harmless) <= most else harmless[: most - 1] + "…"


def first_of(rows: Sequence[T], most: int, what: str, rest: str) -> tuple[list[T], list[str]]:
    """The first rows of a list, and a sentence for whom it is sent to where that is not all.

    Args:
        rows: The list.
        most: Most rows.
        what: What they are, in the plural.
        rest: How to get the others.
    """
    if len(rows) <= most:
        return list(rows), []
    return list(rows[:most]), [f"{most} of {len(rows)} {what} are listed; {rest}"]


def in_tool_words(text: str, parameters: Collection[str]) -> str:
    """A message of the package with its arguments as a tool calls them: ``max_tiles=`` for a limit.

    Args:
        text: Names arguments as ``name=value``.
        parameters: What the tool can be given.
    """

    def renamed(match: re.Match[str]) -> str:
        longer = f"max_{match[1]}"
        return f"{longer}=" if longer in parameters else match[0]

    return re.sub(r"\b([a-z]+)=", renamed, text)


def plain_values(values: Any) -> Any:
    """Plain values for JSON, every text in them plain and every list bounded.

    A GeoJSON geometry is whole, or null where it has more than 4096 numbers: a ring that was cut
    would be no ring.

    Args:
        values: Mappings, lists, texts and numbers; what is not a number becomes null.
    """
    return _plain(values, MOST_ITEMS)


def _plain(values: Any, most_items: int) -> Any:
    if isinstance(values, Mapping):
        if "coordinates" in values and "type" in values:
            if _leaves(values["coordinates"]) > _MOST_COORDINATES:
                return None
            most_items = _MOST_COORDINATES
        items = list(values.items())[:MOST_ITEMS]
        return {plain_text(name, 100): _plain(value, most_items) for name, value in items}
    if isinstance(values, list | tuple):
        return [_plain(value, most_items) for value in values[:most_items]]
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    return values if values is None or isinstance(values, bool | int) else plain_text(values)


def _leaves(values: Any) -> int:
    """How many values nested lists hold, those without any counted as one."""
    is_list = isinstance(values, list | tuple)
    return max(1, sum(map(_leaves, values))) if is_list else 1
