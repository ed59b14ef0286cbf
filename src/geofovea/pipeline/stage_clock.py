"""Wall time of one question, stage by stage."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["STAGES", "StageClock"]

STAGES = ("open", "read", "encode", "focus", "answer")
"""The stages of the command line's contract; each is reported even if nothing was spent on it."""


class StageClock:
    """Adds up the time of stages, and of the whole since it was made."""

    def __init__(self, **earlier: float) -> None:
        """Start; ``earlier`` holds seconds of stages that were over before."""
        self.started = time.perf_counter()
        self._earlier = sum(earlier.values())
        self._seconds = dict.fromkeys(STAGES, 0.0) | earlier

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a ``with`` block towards a stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] += time.perf_counter() - begun

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and their ``total``, which holds what belongs to no stage too."""
        total = time.perf_counter() - self.started + self._earlier
        return self._seconds | {"total": total}
