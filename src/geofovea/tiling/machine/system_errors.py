"""What the system says where it reads or writes a file, in words, and what to do on a full disk."""

from __future__ import annotations

import errno
import os
import re
import tempfile

__all__ = [
    "NO_ROOM",
    "advice_on_process",
    "first_line",
    "reason_of",
    "room_error",
    "why_unwritten",
    "without_number",
]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors that say that a disk, a share of it or a file has no more room."""

_PROBE_BYTES = 2**20
# those of a resolver of names are below zero
_NUMBER = re.compile(r"^\[Errno -?\d+\] ")
# what is said of a file and is about the process, by the words of the system
_OF_THE_PROCESS = {
    os.strerror(errno.EMFILE): "this process may open no more files; close some, or raise the "
    "limit (ulimit -n)",
    os.strerror(errno.ENFILE): "no process may open more files; close some, or raise the limit",
    os.strerror(errno.ENOMEM): "there is too little memory; free some, and try again",
}


def reason_of(error: Exception) -> str:
    """What an error says, without the number that Python writes before the words of the system."""
    return getattr(error, "strerror", None) or without_number(str(error))


def without_number(message: str) -> str:
    """A message of a library that repeats one of the system, without the number before it."""
    return _NUMBER.sub("", message)


def first_line(error: BaseException) -> str:
    """The first line of an error, and the next where that only announces it; else its kind."""
    said = without_number(str(error).strip())
    lines = [line for line in map(str.strip, said.splitlines()) if line]
    return " ".join(lines[: 1 + lines[0].endswith(":")]) if lines else type(error).__name__


def advice_on_process(reason: str) -> str:
    """What to do where a file cannot be opened for want of memory or descriptors; else empty."""
    return next((advice for words, advice in _OF_THE_PROCESS.items() if words in reason), "")


def why_unwritten(error: Exception) -> str:
    """Why a file could not be written, without the number; with the next step if there is no room.

    Args:
        error: Of the system, or of a library that gives no number.
    """
    reason = reason_of(error)
    if getattr(error, "errno", None) not in NO_ROOM:
        return reason
    return f"{reason}; make room there, and run the same command again"


def room_error(folder: str | os.PathLike[str]) -> OSError | None:
    """What the system says if a folder has no room for a mebibyte; None if it has.

    For libraries that say of a full disk only that they could not write.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
    except OSError as error:
        return error if error.errno in NO_ROOM else None
    return None
