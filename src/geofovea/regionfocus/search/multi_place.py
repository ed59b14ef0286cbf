"""Searches several places under one budget: a descent for each, merged into one record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from geofovea.errors import BudgetError
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.search.tile_budget import start_tiles
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["SharedTiles", "Walk", "gather", "merge_descents"]

Walk = Callable[[int, Encode, Focus], Descent]
"""Descends with a budget of tiles, an encoder and a focus."""


def gather(
    pyramid: Pyramid, budget_tiles: int, encode: Encode, foci: Sequence[Focus], walk: Walk
) -> list[Descent]:
    """Descend once for each focus; the start is paid once, the rest is shared evenly.

    Args:
        pyramid: The pyramid of the scene.
        budget_tiles: Tiles that may be encoded for all together, the overview included.
        encode: Makes the tokens of tiles; never asked twice for a tile.
        foci: One for each place.
        walk: The descent.

    Returns:
        A descent for each focus; together they hold at most ``budget_tiles`` different tiles.

    Raises:
        BudgetError: If there is no focus, or the budget is less than one tile.
    """
    if not foci:
        raise BudgetError("gathering needs at least one focus, got none")
    start = len(start_tiles(pyramid, budget_tiles))
    each, over = divmod(budget_tiles - start, len(foci))
    shared = SharedTiles(encode)
    return [walk(start + each + (i < over), shared, focus) for i, focus in enumerate(foci)]


def merge_descents(descents: Sequence[Descent]) -> Descent:
    """All that several descents saw, as one record; every descent weighs the same on a level.

    A tile that several saw stands once, its tokens with the sum of their scores.
    """
    levels = sorted({look.level for d in descents for look in d.looks}, reverse=True)
    looks = [
        _merged([look for d in descents for look in d.looks if look.level == level])
        for level in levels
    ]
    reasons = dict.fromkeys(descent.stopped for descent in descents)
    return Descent(tuple(looks), next((r for r in reasons if r != "native"), "native"))


def _merged(looks: Sequence[LevelLook]) -> LevelLook:
    """Looks of several descents at one level as one, each with a mass of 1."""
    tokens: dict[Tile, TokenSet] = {}
    scores: dict[Tile, torch.Tensor] = {}
    for look in looks:
        total = look.scores.sum().clamp(min=torch.finfo(torch.float32).tiny)
        for index, tile in enumerate(look.tokens.tiles):
            own = look.tokens.tile_index == index
            tokens.setdefault(tile, look.tokens.select(own))
            scores[tile] = scores.get(tile, 0) + look.scores[own] / total
    level, tiles = looks[0].level, tuple(sorted({tile for look in looks for tile in look.tiles}))
    if not tokens:
        return LevelLook(level, tiles, looks[0].tokens, looks[0].scores)
    in_order = sorted(tokens)
    return LevelLook(
        level,
        tiles,
        TokenSet.concat([tokens[tile] for tile in in_order]),
        torch.cat([scores[tile] for tile in in_order]),
    )


@dataclass(slots=True)
class SharedTiles:
    """An encoder that remembers what it encoded.

    Attributes:
        encode: Asked for what is not remembered.
        cache: Tokens by tile, empty for a tile that shows no data.
    """

    encode: Encode
    cache: dict[Tile, TokenSet] = field(default_factory=dict)

    def __call__(self, tiles: Sequence[Tile]) -> TokenSet:
        """Tokens of tiles, in the order of the tiles."""
        if missing := [tile for tile in tiles if tile not in self.cache]:
            fresh = self.encode(missing)
            place = {tile: index for index, tile in enumerate(fresh.tiles)}
            for tile in missing:
                self.cache[tile] = fresh.select(fresh.tile_index == place.get(tile, -1))
        return TokenSet.concat([self.cache[tile] for tile in tiles])
