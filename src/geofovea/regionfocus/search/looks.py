"""The looks of a search: tiles, tokens and scores, level by level."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.scoring import is_flat
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["Descent", "LevelLook"]


@dataclass(frozen=True, slots=True, eq=False)
class LevelLook:
    """What was seen on one level.

    Attributes:
        level: The level.
        tiles: The tiles that were encoded, in reading order, those without data included.
        tokens: Their n tokens.
        scores: float32 ``(n,)``, at least zero; comparable within this level only.

    Raises:
        GeometryError: If there is not one score per token.
    """

    level: int
    tiles: tuple[Tile, ...]
    tokens: TokenSet
    scores: Tensor

    def __post_init__(self) -> None:
        if tuple(self.scores.shape) != (len(self.tokens),):
            raise GeometryError(
                f"{len(self.tokens)} tokens need as many scores, got {tuple(self.scores.shape)}"
            )

    @property
    def tile_scores(self) -> tuple[float, ...]:
        """The sum of its own tokens' scores for each of ``tiles``; 0 for one without tokens."""
        sums = torch.zeros(len(self.tokens.tiles), dtype=torch.float64)
        sums.index_add_(0, self.tokens.tile_index, self.scores.to(torch.float64))
        of_tile = dict(zip(self.tokens.tiles, sums.tolist(), strict=True))
        return tuple(of_tile.get(tile, 0.0) for tile in self.tiles)

    @property
    def is_flat(self) -> bool:
        """Whether the scores prefer no token to another."""
        return is_flat(self.scores)


@dataclass(frozen=True, slots=True, eq=False)
class Descent:
    """Everything that was looked at for one question, and why it ended.

    Attributes:
        looks: One per level, coarse to fine; the first is the overview.
        stopped: ``native`` (reached it), ``tiles`` (budget spent above it), ``time`` (deadline
            passed), ``nodata`` (nothing valid to zoom to), ``outlined`` (all places that were
            looked for are drawn finely enough, or not found), or the word of a stop rule.

    Raises:
        GeometryError: If there is no look, or the looks do not go from coarse to fine.
    """

    looks: tuple[LevelLook, ...]
    stopped: str

    def __post_init__(self) -> None:
        levels = [look.level for look in self.looks]
        if not levels or levels != sorted(set(levels), reverse=True):
            raise GeometryError(f"a descent needs looks from coarse to fine, got levels {levels}")

    @property
    def tiles_encoded(self) -> int:
        """Tiles that were passed to the encoder."""
        return sum(self.tiles_by_level.values())

    @property
    def tiles_by_level(self) -> dict[int, int]:
        """Tiles that were passed to the encoder, per level, coarse to fine."""
        return {look.level: len(look.tiles) for look in self.looks}

    @property
    def finest_level(self) -> int:
        """The finest level that was looked at; 0 is native."""
        return self.looks[-1].level
