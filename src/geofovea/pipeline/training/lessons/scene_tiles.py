"""Which tiles of a scene a sample shows."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from geofovea.datasets.synthetic.world import Site
from geofovea.pipeline.training.lessons.spec import SampleSpec
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["ChooseTiles", "choose_families", "choose_tiles", "tiles_around"]

ChooseTiles = Callable[[random.Random, Pyramid, Site, SampleSpec, bool], list[list[Tile]]]
"""See `choose_tiles`."""


def choose_tiles(
    rng: random.Random, pyramid: Pyramid, site: Site, plan: SampleSpec, distracted: bool
) -> list[list[Tile]]:
    """Tiles by level, coarse to fine: those that show the pad, filled up with others."""
    groups = [[pyramid.overview]] if plan.overview else []
    base = pyramid.base_level
    if plan.base_tiles:
        groups.append(tiles_around(rng, pyramid, base, site.pad, plan.base_tiles))
    coarse = list(range(1, base if plan.base_tiles else base + 1))
    levels = sorted(rng.sample(coarse, plan.coarse_levels), reverse=True)
    for level in levels:
        groups.append(tiles_around(rng, pyramid, level, site.pad, plan.coarse_tiles))
    if distracted:
        groups.append(_fill([], rng, pyramid, 0, site.box, plan.native_tiles))
    else:
        groups.append(tiles_around(rng, pyramid, 0, site.pad, plan.native_tiles))
    return groups


def choose_families(
    rng: random.Random, pyramid: Pyramid, site: Site, plan: SampleSpec, distracted: bool
) -> list[list[Tile]]:
    """The same, where the native tiles are those under some tiles of level 1.

    At the edge of a scene there may be fewer; then other native tiles fill up the level.
    """
    coarse = choose_tiles(rng, pyramid, site, replace(plan, coarse_levels=0), distracted)[:-1]
    parents = tiles_around(rng, pyramid, 1, site.pad, plan.coarse_tiles)
    children = sorted({child for parent in parents for child in pyramid.children(parent)})
    native = _fill(children, rng, pyramid, 0, site.pad, plan.native_tiles)
    return [*coarse, parents, native]


def tiles_around(
    rng: random.Random, pyramid: Pyramid, level: int, box: Box, count: int
) -> list[Tile]:
    """Up to ``count`` tiles of a level that show a box, filled up with others; reading order."""
    showing = pyramid.tiles_over(level, box)
    tiles = rng.sample(showing, min(count, len(showing)))
    return _fill(tiles, rng, pyramid, level, box, count)


def _fill(
    tiles: list[Tile], rng: random.Random, pyramid: Pyramid, level: int, box: Box, count: int
) -> list[Tile]:
    """Add neighbors and strangers until there are ``count`` tiles; reading order.

    A level with too few tiles repeats some, so that shapes stay fixed.
    """
    rows, cols = pyramid.grid_shape(level)
    side = pyramid.tile_size << level
    for attempt in range(20 * count):
        if len(tiles) == count:
            break
        if rng.random() < 0.5:
            tile = Tile(level, rng.randrange(rows), rng.randrange(cols))
        else:
            row = int(box.center[1] // side) + rng.randint(-2, 2)
            col = int(box.center[0] // side) + rng.randint(-2, 2)
            tile = Tile(level, min(max(row, 0), rows - 1), min(max(col, 0), cols - 1))
        if tile not in tiles or attempt > 10 * count:
            tiles.append(tile)
    return sorted(tiles)
