"""The files of an index: listed, read, and removed, with a word on what prevents it."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from geofovea.errors import DataError, OutputError
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "NoAccessError",
    "OtherVersionError",
    "listed",
    "no_access",
    "read_record",
    "remove_file",
]

_LARGEST_RECORD = 1 << 20
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP)
Value = TypeVar("Value")


class OtherVersionError(DataError):
    """A file is whole, and of another version of this program."""


class NoAccessError(DataError):
    """A file may be whole, but it cannot be read."""


def no_access(what: str, error: OSError) -> NoAccessError:
    """The error of a file or a folder that the system does not let us read.

    Nobody knows what it holds, so it is not damaged: what is damaged is removed.
    """
    advice = "; check its permissions" if isinstance(error, PermissionError) else ""
    return NoAccessError(f"{what} cannot be read: {reason_of(error)}{advice}")


def listed(folder: Path) -> list[Path]:
    """What a folder of an index holds, by name; nothing where it is not there.

    Raises:
        DataError: If it cannot be looked into.
    """
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        if error.errno in _NOT_THERE:
            return []
        raise no_access(f"the folder {folder} of the index", error) from error


def read_record(path: Path, parse: Callable[[Any], Value], remedy: str) -> Value:
    """A record of JSON.

    Args:
        path: The file.
        parse: Takes what JSON says, and refuses what is none of ours.
        remedy: What to do where it is refused.

    Raises:
        DataError: If it is damaged.
    """
    try:
        if path.stat().st_size > _LARGEST_RECORD:
            raise DataError("it is larger than 1 MiB")
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise no_access(f"the index file {path}", error) from error
    except (DataError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = "of another version" if isinstance(error, OtherVersionError) else "damaged"
        raise DataError(
            f"the index file {path} is {what} ({reason_of(error)}); {remedy}"
        ) from error


def remove_file(path: Path) -> None:
    """Remove a file of an index.

    Raises:
        OutputError: If that is not possible.
    """
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} is damaged and cannot be removed ({reason_of(error)}): remove it yourself, "
            "and run geofovea index again"
        ) from error
