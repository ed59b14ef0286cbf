"""What to say where a file cannot be written: why, and what to do if the disk is full."""

from __future__ import annotations

import errno

__all__ = ["NO_ROOM", "why_unwritten"]

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Numbers of errors that say that a disk, a share of it or a file has no more room."""


def why_unwritten(error: Exception) -> str:
    """Why a file could not be written, without the number; with the next step if there is no room.

    Args:
        error: Of the system, or of a library that gives no number.
    """
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) not in NO_ROOM:
        return reason
    return f"{reason}; make room there, and run the same command again"
