"""How long building level files may take for the question at hand, beside its own limits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from geofovea.errors import LevelBuildError

__all__ = ["BuildDeadline", "builds_within", "current_deadline"]


@dataclass(frozen=True, slots=True)
class BuildDeadline:
    """When a build has to end.

    Attributes:
        allowed: Seconds that the answer may take.
        ends: When they are over, as ``time.monotonic`` counts.
    """

    allowed: float
    ends: float

    @property
    def seconds_left(self) -> float:
        """Seconds until it has to end, at least 0."""
        return max(0.0, self.ends - time.monotonic())

    def check(self, path: str, share: float) -> None:
        """End a build of which a share is done, if its time is over.

        Raises:
            LevelBuildError: With what to do.
        """
        if self.seconds_left == 0:
            raise LevelBuildError(
                f"{path!r} has no overviews, and building its level files takes longer than the "
                f"{self.allowed:g} s allowed for the answer ({share:.0%} was done): ask once with "
                "more seconds or no limit, and later questions find them built; or build overviews "
                "with gdaladdo -r average"
            )


_current: ContextVar[BuildDeadline | None] = ContextVar("build_deadline", default=None)


@contextmanager
def builds_within(seconds: float | None) -> Iterator[None]:
    """Let builds that this thread starts inside the block end with it; None sets no limit."""
    until = None if seconds is None else BuildDeadline(seconds, time.monotonic() + seconds)
    token = _current.set(until)
    try:
        yield
    finally:
        _current.reset(token)


def current_deadline() -> BuildDeadline | None:
    """The deadline that holds for builds that this thread starts now."""
    return _current.get()
