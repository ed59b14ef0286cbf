"""Ways of looking that ignore the question: what a focus has to beat.

They answer in the type of a descent, with equal scores. The oracle, the bound from above, is a
descent with `geofovea.regionfocus.focus.OracleFocus`.
"""

from __future__ import annotations

import math

from geofovea.errors import BudgetError
from geofovea.regionfocus.search.descent import Encode, encode_looks
from geofovea.regionfocus.search.looks import Descent
from geofovea.regionfocus.search.tile_budget import start_tiles
from geofovea.regionfocus.uniform_sampling import spread_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["look_full", "look_overview", "look_uniform"]


def look_overview(pyramid: Pyramid, budget_tiles: int, encode: Encode) -> Descent:
    """Look at the tiles from which a descent would start, and no closer.

    Raises:
        BudgetError: If the budget is less than one tile.
    """
    return _look(encode, start_tiles(pyramid, budget_tiles))


def look_uniform(pyramid: Pyramid, budget_tiles: int, encode: Encode) -> Descent:
    """Spend the budget evenly over the scene.

    After the overview comes the finest level that fits as a whole; what is left is spread over the
    next finer level.

    Raises:
        BudgetError: If the budget is less than one tile.
    """
    tiles = start_tiles(pyramid, min(budget_tiles, 1))
    remaining = budget_tiles - len(tiles)
    finest_whole = pyramid.top_level
    while finest_whole > 0 and math.prod(pyramid.grid_shape(finest_whole - 1)) <= remaining:
        finest_whole -= 1
    if finest_whole < pyramid.top_level:
        tiles += pyramid.tiles(finest_whole)
        remaining = budget_tiles - len(tiles)
    if finest_whole > 0 and remaining:
        tiles += spread_tiles(list(pyramid.tiles(finest_whole - 1)), remaining)
    return _look(encode, tiles)


def look_full(pyramid: Pyramid, budget_tiles: int, encode: Encode) -> Descent:
    """Look at every native tile, besides the overview.

    Raises:
        BudgetError: If the budget cannot hold them all.
    """
    natives = math.prod(pyramid.grid_shape(0)) if pyramid.top_level else 0
    if 1 + natives > budget_tiles:
        raise BudgetError(
            f"a full look at {pyramid.width} x {pyramid.height} pixels needs {1 + natives} tiles, "
            f"got a budget of {budget_tiles}; raise it, or choose another focus"
        )
    return _look(encode, [pyramid.overview, *(pyramid.tiles(0) if natives else ())])


def _look(encode: Encode, tiles: list[Tile]) -> Descent:
    looks = encode_looks(encode, tiles)
    return Descent(tuple(looks), "tiles" if looks[-1].level else "native")
