"""One search for places of a bench, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.errors import DataError
from geofovea.pipeline.places.confusion import match_boxes
from geofovea.tiling.pyramid import Box

__all__ = ["Corners", "FindItem"]

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FindItem:
    """What one way found for one phrase in one scene.

    Attributes:
        side: Side of the scene in pixels.
        scene: Its seed.
        phrase: What was looked for.
        way: How; see ``ways_of``.
        truth: Corners of the boxes of what is there, x0, y0, x1, y1 in scene pixels.
        boxes: Those of the places.
        looked: Native tiles that were looked at.
        native: Native tiles of the scene.
        tiles: All tiles looked at, coarse ones and second looks included.
        tokens: Vision tokens that reached the decoder.
        recall_told: The expected recall; None where the way tells none.
        recall_low: Lower end of its 95 % interval.

    Raises:
        DataError: If more tiles were looked at than there are, or a recall is none.
    """

    side: int
    scene: int
    phrase: str
    way: str
    truth: tuple[Corners, ...]
    boxes: tuple[Corners, ...]
    looked: int
    native: int
    tiles: int
    tokens: int
    recall_told: float | None = None
    recall_low: float | None = None

    def __post_init__(self) -> None:
        # a file of JSON has lists
        for name in ("truth", "boxes"):
            corners = tuple(tuple(box) for box in getattr(self, name))
            object.__setattr__(self, name, corners)
        if not 0 <= self.looked <= self.native:
            raise DataError(f"{self.looked} of {self.native} native tiles cannot be looked at")
        recalls = (r for r in (self.recall_told, self.recall_low) if r is not None)
        if not all(0 <= recall <= 1 for recall in recalls):
            raise DataError(f"a recall lies in [0, 1], got {self.recall_told}, {self.recall_low}")

    @property
    def key(self) -> tuple[int, int, str, str]:
        """What was looked for, and how."""
        return self.side, self.scene, self.phrase, self.way

    @property
    def has_color(self) -> bool:
        """Whether the phrase names a color."""
        return " " in self.phrase

    @property
    def matches(self) -> tuple[int, int, int]:
        """Hits, misses and false alarms; see ``match_boxes``."""
        return match_boxes(_as_boxes(self.boxes), _as_boxes(self.truth))

    def recall_of(self, sweep: FindItem) -> float | None:
        """Which share of the places of a sweep this way found; None where the sweep found none."""
        if not sweep.boxes:
            return None
        return match_boxes(_as_boxes(self.boxes), _as_boxes(sweep.boxes))[0] / len(sweep.boxes)


def _as_boxes(corners: tuple[Corners, ...]) -> list[Box]:
    return [Box(*each) for each in corners]
