"""One count of a bench, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.errors import DataError

__all__ = ["CountItem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CountItem:
    """How many things of a kind one way counted in one scene.

    Attributes:
        side: Side of the scene in pixels.
        scene: Its seed.
        kind: What was counted.
        way: How; see ``WAYS`` and ``sample_way``.
        truth: How many there are.
        value: The estimate.
        low: Lower end of its 95 % interval; None for a way that gives none.
        high: Upper end.
        tiles: Tiles looked at.
        tokens: Vision tokens that reached the decoder.
        seconds: CPU time of the process.

    Raises:
        DataError: If only one end of an interval is there, or the ends contradict each other.
    """

    side: int
    scene: int
    kind: str
    way: str
    truth: int
    value: float
    low: float | None
    high: float | None
    tiles: int
    tokens: int
    seconds: float

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise DataError(f"an interval has two ends, got {self.low} and {self.high}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise DataError(f"an interval goes from low to high, got {self.low} and {self.high}")

    @property
    def key(self) -> tuple[int, int, str, str]:
        """What was counted, and how."""
        return self.side, self.scene, self.kind, self.way

    @property
    def error(self) -> float:
        """The estimate less the truth."""
        return self.value - self.truth

    @property
    def holds(self) -> bool | None:
        """Whether the interval holds the truth; None without an interval."""
        if self.low is None or self.high is None:
            return None
        return self.low <= self.truth <= self.high
