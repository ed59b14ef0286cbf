"""Wall time of one question, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

__all__ = ["STAGES", "StageClock"]

STAGES = ("open", "read", "encode", "focus", "answer")
"""The stages of the command line's contract; each is reported even if nothing was spent on it."""


class StageClock:
    """Adds up the time of stages, and of the whole since it was made."""

    def __init__(self, now: Callable[[], float] = time.perf_counter, **earlier: float) -> None:
        """Start.

        Args:
            now: A monotonic clock in seconds.
            earlier: Seconds of stages that were over before.
        """
        self.now = now
        self.started = now()
        self._earlier = sum(earlier.values())
        self._seconds = dict.fromkeys(STAGES, 0.0) | earlier

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a ``with`` block towards a stage."""
        begun = self.now()
        try:
            yield
        finally:
            self._seconds[name] += self.now() - begun

    def charge(self, share: float, stages: Mapping[str, float]) -> None:
        """Count a share of what stages took elsewhere; ``now`` has to hold it, too."""
        for name in STAGES:
            self._seconds[name] += share * stages.get(name, 0.0)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and their ``total``, which holds what belongs to no stage too."""
        total = self.now() - self.started + self._earlier
        return self._seconds | {"total": total}
