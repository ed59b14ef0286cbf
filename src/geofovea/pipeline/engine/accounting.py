"""What one question spends: wall time stage by stage, tiles, tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from geofovea.pipeline.engine.token_store import TokenEntry
from geofovea.pipeline.hosts.base import Host, SupportsImages
from geofovea.pipeline.hosts.flops import ShownTokens
from geofovea.pipeline.hosts.usage import EndpointUse, MemoryUse
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.system.memory import MemoryStop
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.pyramid import Tile

__all__ = ["STAGES", "OpeningTime", "QuestionUsage", "StageClock", "limit_reached"]

STAGES = ("open", "read", "encode", "focus", "answer")
"""The stages of the command line's contract; each is reported even if nothing was spent on it."""


class StageClock:
    """Adds up the time of stages, and of the whole since it was made."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        """Start, by a monotonic clock in seconds."""
        self.now = now
        self.started = now()
        self._earlier = 0.0
        self._seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a ``with`` block toward a stage."""
        start = self.now()
        try:
            yield
        finally:
            self._seconds[name] += self.now() - start

    def add_earlier(self, name: str, seconds: float) -> None:
        """Count time that a stage took before this was made."""
        self._earlier += seconds
        self._seconds[name] += seconds

    def charge(self, share: float, stages: Mapping[str, float]) -> None:
        """Count a share of what stages took elsewhere; ``now`` has to hold it, too."""
        for name in STAGES:
            self._seconds[name] += share * stages.get(name, 0.0)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage, and their ``total``, which holds what belongs to no stage too."""
        total = self.now() - self.started + self._earlier
        return self._seconds | {"total": total}


def limit_reached(budget: Budget, clock: StageClock) -> str:
    """Which limit ends a question between two batches: ``time``, ``memory``, or none, empty."""
    if budget.seconds is not None and clock.now() - clock.started >= budget.seconds:
        return "time"
    return "memory" if MemoryStop(budget.host_ram_mb, budget.device_ram_mb).is_reached else ""


class OpeningTime:
    """Seconds that opening a scene took, until a question takes them over. Threads may share it."""

    def __init__(self, seconds: float) -> None:
        """Begin with some."""
        # each entry is popped by one thread alone
        self._entries = [seconds]

    def add(self, seconds: float) -> None:
        """Count more toward the next question."""
        self._entries.append(seconds)

    def take(self) -> float:
        """All that no question took yet."""
        seconds = 0.0
        with suppress(IndexError):
            while True:
                seconds += self._entries.pop()
        return seconds


@dataclass(eq=False)
class QuestionUsage:
    """What one question spends, counted while it is worked on.

    Attributes:
        encoding: How its tiles are encoded, and what is wanted beside their tokens.
        clock: Its time.
        tiles_read: Tiles read from the scene, those that the focus reads for itself included.
        tiles_encoded: Tiles that went through the encoder, not those remembered.
        tiles_indexed: Tiles that an index compared by their vectors, without their pixels.
        entries: What is known of each tile that was looked at; it stays even if a cache is full.
        looks_scored: What was shown in each look that the host's attention scored.
        warnings: What a careful reader of the answer should know.
        endpoint_before: What was spent at the host's endpoint before the question.
        memory: What it took from a scene memory, if there is one.
    """

    encoding: EncodePlan = field(default_factory=EncodePlan)
    clock: StageClock = field(default_factory=StageClock)
    tiles_read: int = 0
    tiles_encoded: int = 0
    tiles_indexed: int = 0
    entries: dict[Tile, TokenEntry] = field(default_factory=dict)
    looks_scored: list[ShownTokens] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    endpoint_before: EndpointUse | None = None
    memory: MemoryUse | None = None

    @property
    def patches(self) -> tuple[int, int]:
        """Patches that entered the encoder, and that left it."""
        entries = self.entries.values()
        return sum(e.patches for e in entries), sum(e.patches_left for e in entries)

    @property
    def tokens_scored(self) -> int:
        """Vision tokens of all looks that the host's attention scored."""
        return sum(look.count for look in self.looks_scored)

    @classmethod
    def of(cls, host: Host, encoding: EncodePlan, clock: StageClock) -> QuestionUsage:
        """Begin to count what a question spends on a host."""
        return cls(encoding, clock, endpoint_before=_endpoint_use(host))

    def warn(self, warnings: Iterable[str]) -> None:
        """Tell the reader of the answer something, once."""
        self.warnings += [each for each in warnings if each not in self.warnings]

    def endpoint_use(self, host: Host) -> EndpointUse | None:
        """What this thread has spent at the host's endpoint since it began; None without one."""
        use = _endpoint_use(host)
        before = self.endpoint_before
        return use if use is None or before is None else use.since(before)


def _endpoint_use(host: Host) -> EndpointUse | None:
    return host.use_here if isinstance(host, SupportsImages) else None
