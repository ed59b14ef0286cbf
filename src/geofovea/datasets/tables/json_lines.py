"""Tables as JSON lines: one value a line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from geofovea.datasets.tables.text_files import BadLineError, unambiguous_json

__all__ = ["json_lines"]


def json_lines(lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Each value with the number of its line, from 1, lazily; blank lines hold none.

    Raises:
        BadLineError: If a line is not JSON, or says two things under one name.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = unambiguous_json(line)
        except (ValueError, RecursionError) as error:
            raise BadLineError(number, number, str(error)) from error
        yield number, value
