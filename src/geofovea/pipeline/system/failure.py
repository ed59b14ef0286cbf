"""Decides which exceptions of libraries count as the failure of one item, and says them."""

from __future__ import annotations

from pathlib import Path

from geofovea.errors import ModelError
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["failure_of", "why_unreadable"]

_NO_FAILURES = (KeyboardInterrupt, GeneratorExit)


def failure_of(error: BaseException) -> Exception:
    """The failure that an exception is; interrupts are raised again.

    Some libraries raise what is no ``Exception``: a panic of code in Rust, a ``SystemExit``. Those
    say as little about the other items as any error does.
    """
    if isinstance(error, Exception):
        return error
    if isinstance(error, _NO_FAILURES):
        raise error
    kind = type(error)
    failure = ModelError(f"a library gave up: {kind.__module__}.{kind.__name__}: {error}")
    failure.__cause__ = error
    return failure


def why_unreadable(error: Exception) -> str:
    """Why a file could not be read, without the numbers and the quoting of Python's errors."""
    if not isinstance(error, OSError) or not error.filename:
        return str(error)
    if isinstance(error, FileNotFoundError):
        return f"there is no {Path(error.filename).name}"
    return f"{Path(error.filename).name}: {reason_of(error)}"
