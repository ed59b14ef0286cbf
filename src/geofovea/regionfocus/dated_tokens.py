"""Vision tokens of one place at several dates, each after the words that name its date."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.errors import GeometryError
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["DatedTokens"]


@dataclass(frozen=True, slots=True, eq=False)
class DatedTokens:
    """What a host is shown of several dates, in their order.

    Attributes:
        labels: What stands in the prompt before the tokens of each date.
        sets: Their tokens; a date that shows nothing has an empty set.

    Raises:
        GeometryError: If there is no date, or not one label for each.
    """

    labels: tuple[str, ...]
    sets: tuple[TokenSet, ...]

    def __post_init__(self) -> None:
        if not self.sets or len(self.labels) != len(self.sets):
            raise GeometryError(
                f"tokens of dates need a label each, got {len(self.labels)} labels and "
                f"{len(self.sets)} sets"
            )

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of all dates, one date after the other."""
        return tuple(tile for tokens in self.sets for tile in tokens.tiles)

    def __len__(self) -> int:
        return sum(map(len, self.sets))
