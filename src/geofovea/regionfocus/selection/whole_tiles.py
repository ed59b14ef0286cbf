"""Which tiles of a descent survive whole, for hosts that take pictures and not tokens."""

from __future__ import annotations

import torch

from geofovea.errors import BudgetError
from geofovea.regionfocus.scoring import top_indices
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.allocation import allot
from geofovea.regionfocus.tokens import TokenSet
from geofovea.regionfocus.uniform_sampling import spread_tiles
from geofovea.tiling.pyramid import Tile

__all__ = ["keep_tiles"]


def keep_tiles(descent: Descent, budget_tokens: int, tokens_per_tile: int) -> TokenSet:
    """All tokens of the tiles that fit into a token budget.

    The budget is shared among levels as for tokens (see `allot`), in whole tiles: the overview,
    most of the rest to the finest level. Within a level the tiles with the highest scores
    survive; where they are all equal, tiles spread over the plane do.

    Args:
        descent: What was looked at.
        budget_tokens: Vision tokens that may reach the decoder.
        tokens_per_tile: What one tile costs, whatever part of it shows data.

    Returns:
        At most ``budget_tokens`` tokens in reading order, of at least one tile.

    Raises:
        BudgetError: If the budget does not hold one tile.
    """
    count = budget_tokens // tokens_per_tile
    if count < 1:
        raise BudgetError(
            f"one picture costs {tokens_per_tile} vision tokens, the budget is {budget_tokens}; "
            "raise it with tokens="
        )
    tiles_by_level = {look.level: look.tokens.tiles for look in descent.looks}
    overview = descent.looks[0].level
    shares = allot({level: len(tiles) for level, tiles in tiles_by_level.items()}, count, overview)
    parts = [_best(look, shares[look.level]) for look in descent.looks]
    return TokenSet.concat(parts).in_reading_order()


def _best(look: LevelLook, count: int) -> TokenSet:
    tiles = look.tokens.tiles
    scores = dict(zip(look.tiles, look.tile_scores, strict=True))
    if look.is_flat:
        best_tiles: set[Tile] = set(spread_tiles(sorted(tiles), count)) if count else set()
    else:
        ordered = sorted(tiles)
        best = top_indices(torch.tensor([scores[tile] for tile in ordered]), count)
        best_tiles = {ordered[i] for i in best.tolist()}
    is_kept = torch.tensor([tile in best_tiles for tile in tiles], dtype=torch.bool)
    return look.tokens.select(is_kept[look.tokens.tile_index])
