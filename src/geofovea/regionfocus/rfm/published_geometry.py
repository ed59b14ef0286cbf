"""Levels, tiles and token grids of the published dynamic image pyramid (DIP); pure arithmetic.

Source: "When Large Vision-Language Model Meets Large Remote Sensing Imagery: Coarse-to-Fine
Text-Guided Token Pruning" (LRS-VQA), as its released code does it, quirks included: the grid is not
dyadic (see `geofovea.tiling.pyramid` for ours), every level is stretched until one of its sides
fills whole tiles, and only the two lowest levels are ever looked at, whatever the image's size. So
a long side of more than about 2016 pixels adds nothing to what is seen.

Levels are counted as the method counts them, coarse to fine: 0 is the one of about 1008 pixels.
Shapes are (rows, columns) or (height, width) throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from geofovea.errors import GeometryError

__all__ = [
    "BASE_SIDE",
    "TILE_SIDE",
    "TOKENS_PER_SIDE",
    "PublishedLevel",
    "PublishedPlan",
    "cropped_grid",
    "plan_published",
]

TILE_SIDE = 336
"""Side of a tile in pixels."""

BASE_SIDE = 3 * TILE_SIDE
"""Longest side of the lowest level: at most 3 × 3 tiles."""

TOKENS_PER_SIDE = 12
"""Tokens along a side of a tile, after 24 patches were pooled by two."""


@dataclass(frozen=True, slots=True)
class PublishedLevel:
    """One level: the whole image resized, and padded at the right and at the bottom.

    Attributes:
        ratio: The scale that was aimed for, before the stretch.
        resized: ``(height, width)`` of the picture.
        blocks: ``(rows, columns)`` of tiles that hold it.

    Raises:
        GeometryError: If the picture is empty or does not fit into its tiles.
    """

    ratio: float
    resized: tuple[int, int]
    blocks: tuple[int, int]

    def __post_init__(self) -> None:
        fits = zip(self.resized, self.padded, strict=True)
        if not all(0 < side <= limit for side, limit in fits):
            raise GeometryError(
                f"a picture of {self.resized} pixels does not fit {self.blocks} tiles of "
                f"{TILE_SIDE}; every side needs at least one pixel and at most that"
            )

    @property
    def padded(self) -> tuple[int, int]:
        """``(height, width)`` with padding: whole tiles."""
        return self.blocks[0] * TILE_SIDE, self.blocks[1] * TILE_SIDE

    @property
    def tiles(self) -> int:
        """How many tiles the level has."""
        return self.blocks[0] * self.blocks[1]

    @property
    def token_grid(self) -> tuple[int, int]:
        """Tokens of all tiles, padding included."""
        return self.blocks[0] * TOKENS_PER_SIDE, self.blocks[1] * TOKENS_PER_SIDE


@dataclass(frozen=True, slots=True)
class PublishedPlan:
    """How one image is looked at.

    Attributes:
        height: Of the image.
        width: Of the image.
        ratios: Scales, high to low; the lowest is that of the global tile.
        levels: Coarse to fine; only the first two are looked at.
        global_resized: ``(height, width)`` of the picture in the one global tile.
    """

    height: int
    width: int
    ratios: tuple[float, ...]
    levels: tuple[PublishedLevel, ...]
    global_resized: tuple[int, int]

    @property
    def second(self) -> int:
        """The level of the second pass; level 0 again if there is no other."""
        return min(1, len(self.levels) - 1)

    @property
    def first_grid(self) -> tuple[int, int]:
        """Local tokens of the first pass, the column of newlines included.

        Raises:
            GeometryError: If the image is so flat that not one row of tokens is left.
        """
        # the first pass crops by the shape of the image, the second by that of the resized one
        return self._with_newlines(0, (self.height, self.width))

    @property
    def second_grid(self) -> tuple[int, int]:
        """Local tokens of the second pass, the column of newlines included.

        Raises:
            GeometryError: If the image is so flat that not one row of tokens is left.
        """
        return self._with_newlines(self.second, self.levels[self.second].resized)

    def _with_newlines(self, level: int, shape: tuple[int, int]) -> tuple[int, int]:
        rows, cols = cropped_grid(self.levels[level].token_grid, shape)
        if rows == 0:
            raise GeometryError(
                f"an image of {self.height} × {self.width} pixels (height × width) is too flat for "
                "the published method: not one row of its tokens is whole; cut it into pieces that "
                "are less elongated, or use another descent"
            )
        return rows, cols + 1


def cropped_grid(grid: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """The largest part at the top left of a token grid that has the aspect of a picture.

    What is left of a row or column that is only partly covered is cut off. The result may have no
    row or no column.

    Args:
        grid: Tokens of the padded tiles.
        shape: ``(height, width)`` of the picture, in any unit.
    """
    (rows, cols), (height, width) = grid, shape
    # in floating point and in this order, for the last row depends on its rounding
    if width / height > cols / rows:
        return int(height * (cols / width)), cols
    return rows, int(width * (rows / height))


def plan_published(height: int, width: int) -> PublishedPlan:
    """Ratios 1, 1/2, 1/4 ... down to the base side, that base itself, and the global tile.

    Raises:
        GeometryError: If a side is not positive, the longer side is exactly one tile (the method
            then has no level beside the global tile), or the picture would lose its short side.
    """
    if height < 1 or width < 1:
        raise GeometryError(f"an image needs at least one pixel, got {height} × {width}")
    long_side = max(height, width)
    if long_side == TILE_SIDE:
        raise GeometryError(
            f"the published method has no level for an image of {height} × {width} pixels "
            f"(height × width): its longer side is exactly one tile of {TILE_SIDE}; resize it by "
            "one pixel, or use another descent"
        )
    lowest = min(BASE_SIDE / long_side, 1.0)
    ratios = {lowest, TILE_SIDE / long_side}
    ratio = 1.0
    while ratio >= lowest:
        ratios.add(ratio)
        ratio /= 2
    ordered = sorted(ratios)
    whole = TILE_SIDE / long_side
    return PublishedPlan(
        height,
        width,
        tuple(reversed(ordered)),
        # below one tile the global ratio is the largest; yet the lowest one is always left out
        tuple(_level(height, width, ratio) for ratio in ordered[1:]),
        (round(height * whole), round(width * whole)),
    )


def _level(height: int, width: int, ratio: float) -> PublishedLevel:
    aimed_height, aimed_width = round(height * ratio), round(width * ratio)
    if not aimed_height or not aimed_width:
        raise GeometryError(
            f"an image of {height} × {width} pixels (height × width) has no pixel left at a scale "
            f"of {ratio:.4g}; cut it into pieces that are less elongated"
        )
    rows, cols = math.ceil(aimed_height / TILE_SIDE), math.ceil(aimed_width / TILE_SIDE)
    stretch = min(rows * TILE_SIDE / aimed_height, cols * TILE_SIDE / aimed_width)
    resized = round(aimed_height * stretch), round(aimed_width * stretch)
    return PublishedLevel(ratio, resized, (rows, cols))
