"""Files in which people list scenes, polygons and answers: regular ones, read within bounds.

They come from somebody else, like the scenes. A pipe would make the reader wait forever, a device
has no end, and a line of gigabytes would not fit into memory.
"""

from __future__ import annotations

import codecs
import io
import os
import stat
from collections.abc import Generator
from pathlib import Path
from typing import Any

from geofovea.datasets.tables.text_files import encoding_of, unambiguous_json
from geofovea.errors import DataError
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["check_regular", "open_lines", "read_json"]

MOST_LINE_CHARACTERS = 64 * 2**20
MOST_JSON_BYTES = 128 * 2**20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a disk"),
)


def check_regular(path: str | os.PathLike[str]) -> None:
    """Make sure that a path is a file, or a link to one.

    Raises:
        DataError: If it is something else or not there.
    """
    _open(Path(path)).close()


def _open(path: Path) -> io.BufferedReader:
    try:
        # without waiting: a pipe that nobody writes to is opened all the same, and refused
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {reason_of(error)}") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for is_kind, name in _KINDS if is_kind(mode)), "something else")
        raise DataError(
            f"{str(path)!r} is {kind} and not a regular file; write what it gives into a file, and "
            "name that"
        )
    return open(descriptor, "rb")  # noqa: PTH123  (a descriptor, not a path)


def open_lines(path: str | os.PathLike[str]) -> Generator[str, None, None]:
    """Lines of a text in any Unicode encoding with their ends, one after the other.

    A byte order mark, which spreadsheets write, is no part of a line; files that were joined have
    more than one.

    Raises:
        DataError: If it is not a regular file or cannot be read, or a line is too long.
        UnicodeError: If it is not text in the encoding that its first bytes show.
    """
    file = Path(path)
    with _open(file) as raw:
        encoding = encoding_of(raw.peek())
        text = io.TextIOWrapper(raw, encoding=encoding, newline="")
        number = 0
        while line := text.readline(MOST_LINE_CHARACTERS + 1):
            number += 1
            if len(line) > MOST_LINE_CHARACTERS:
                raise DataError(
                    f"{file}, line {number}: has more than {MOST_LINE_CHARACTERS >> 20} million "
                    "characters; is this a text with one row in each line?"
                )
            yield line.lstrip(codecs.BOM_UTF8.decode())


def read_json(path: str | os.PathLike[str]) -> Any:
    """The value in a JSON file of at most ``MOST_JSON_BYTES``.

    Raises:
        DataError: If it is not a regular file, cannot be read, is too large or no JSON, or says two
            things under one name.
    """
    file = Path(path)
    try:
        with _open(file) as raw:
            content = raw.read(MOST_JSON_BYTES + 1)
        if len(content) > MOST_JSON_BYTES:
            raise DataError(
                f"{file} has more than {MOST_JSON_BYTES >> 20} MiB of JSON; split it, or list its "
                "scenes in a manifest with one row in each line"
            )
        # bytes: the encoding is told from them
        return unambiguous_json(content)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON: {reason_of(error)}") from error
