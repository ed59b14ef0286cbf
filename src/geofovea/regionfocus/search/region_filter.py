"""Restricts what a search sees to a region of the scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from geofovea.regionfocus.search.descent import Encode
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["restrict", "within"]


def restrict(
    encode: Encode,
    region: Region,
    pyramid: Pyramid,
    timer: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Encode:
    """An encoder that shows nothing outside a region.

    Tiles that share no area with it are neither read nor encoded, and tokens that share none are
    dropped, those of the overview too. So they are not scored, not descended into, not kept, and
    are no evidence. A token on the edge stays. Within a tile, the vision encoder has seen all of
    it before tokens are dropped, as it sees a tile at any other edge.

    Args:
        encode: Makes the tokens of tiles.
        region: In scene pixels.
        pyramid: The pyramid of the scene.
        timer: A ``with`` block that takes the time of comparing places.
    """

    def restricted(tiles: Sequence[Tile]) -> TokenSet:
        with timer():
            inside = region.overlap_mask([pyramid.box_scene(tile).as_tuple() for tile in tiles])
        tokens = encode([tile for tile, is_in in zip(tiles, inside, strict=True) if is_in])
        with timer():
            return within(region, tokens)

    return restricted


def within(region: Region | None, tokens: TokenSet) -> TokenSet:
    """The tokens that share area with a region; all of them where there is none."""
    if region is None:
        return tokens
    return tokens.select(torch.from_numpy(region.overlap_mask(tokens.boxes_scene.numpy())))
