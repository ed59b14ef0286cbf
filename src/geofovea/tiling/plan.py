"""Decides how pixels will be read, before any is: which image, which window, which resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from geofovea.errors import GeometryError
from geofovea.tiling.overviews.level_files import level_files_of
from geofovea.tiling.pixels.level_grid import GridAxis
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.scene import Scene

__all__ = ["ReadPlan", "ReadResampling", "plan_box", "plan_level", "plan_tile"]

ReadResampling = Literal["nearest", "bilinear", "average", "grid"]
"""``grid`` averages pixels of a level on the grid of the scene; the others are GDAL's."""

CHEAP_PIXELS = 8 * 2**20
"""A read that decodes at most this many pixels is cheap; about 0.1 s for JPEG or DEFLATE."""

# below this many source pixels per output pixel an average is no smoother than an interpolation
_AVERAGE_FROM = 1.1


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """One read, as a value.

    Attributes:
        overview_level: Index of the overview to read, None for the native image.
        level_file: Level of the level file to read instead, None for an image of the scene's file.
        grid: Rows and columns of the level that is made from that image, for ``grid``.
        overview_factor: Native pixels per pixel of that image along x, exactly.
        window: ``(x, y, width, height)`` in pixels of that image; whole numbers in a 1:1 read.
        out_shape: ``(rows, cols)`` of the result.
        resampling: How source pixels become output pixels; ``nearest`` in a 1:1 read.
        blocks: Native blocks of that image that the window touches, per band.
        block_shape: ``(height, width)`` of one of them.

    Raises:
        GeometryError: If the result or the window is empty.
    """

    overview_level: int | None
    overview_factor: float
    window: tuple[float, float, float, float]
    out_shape: tuple[int, int]
    resampling: ReadResampling
    blocks: int
    block_shape: tuple[int, int]
    level_file: int | None = None
    grid: tuple[GridAxis, GridAxis] | None = None

    def __post_init__(self) -> None:
        if (self.grid is not None) != (self.resampling == "grid"):
            raise GeometryError(f"a read on the grid of a level needs its axes, got {self}")
        if min(self.out_shape) < 1 or min(self.window[2:]) <= 0:
            raise GeometryError(f"a read needs a window and a result with area, got {self}")

    @property
    def decoded_pixels(self) -> int:
        """Pixels per band in the blocks that the read touches."""
        return self.blocks * self.block_shape[0] * self.block_shape[1]

    @property
    def is_cheap(self) -> bool:
        """Whether the read decodes little enough to be made without asking."""
        return self.decoded_pixels <= CHEAP_PIXELS

    @property
    def decimation(self) -> float:
        """Pixels of the image per output pixel, along the axis where there are more."""
        return max(self.window[2] / self.out_shape[1], self.window[3] / self.out_shape[0])


@dataclass(frozen=True, slots=True)
class _Image:
    """The native image, an overview or a level file, with its real size."""

    overview_level: int | None
    width: int
    height: int
    block_shape: tuple[int, int]
    level_file: int | None = None


def plan_tile(scene: Scene, pyramid: Pyramid, tile: Tile) -> ReadPlan:
    """Plan the read of the valid part of one tile; see ``plan_level``.

    Raises:
        GeometryError: If the tile is not on the pyramid's grid.
    """
    width, height = pyramid.valid_size(tile)
    x0, y0 = tile.col * pyramid.tile_size, tile.row * pyramid.tile_size
    return plan_level(scene, tile.level, (x0, y0, width, height))


def plan_level(scene: Scene, level: int, part: tuple[int, int, int, int]) -> ReadPlan:
    """Plan the read of some pixels of a level, which are the same in whatever part they are read.

    An image that has exactly the size of the level is read 1:1. Where the scene is not a multiple
    of the level's step, GDAL has stretched an overview over the scene by less than one overview
    pixel; that much a 1:1 read may be displaced at the far edge. Other levels are averaged from the
    coarsest image that is fine enough: by halving, where that image has the size of a level, else
    by the areas that pixels share.

    Args:
        scene: The scene.
        level: Which level.
        part: ``(x, y, width, height)`` in level pixels.

    Raises:
        GeometryError: If the part is empty or reaches outside the level.
    """
    step = 1 << level
    width_level, height_level = scene.level_size(level)
    x0, y0, width, height = part
    is_inside = x0 + width <= width_level and y0 + height <= height_level
    if min(x0, y0, width - 1, height - 1) < 0 or not is_inside:
        raise GeometryError(
            f"{part} reaches outside level {level}, which has {width_level} x {height_level} pixels"
        )
    for image in _images(scene):
        if (image.width, image.height) == (width_level, height_level):
            return _plan(scene, image, _floats(part), (height, width))
    image = _coarsest_image(scene, step, step)
    step_x, step_y = (step * image.width, scene.width), (step * image.height, scene.height)
    for finer in range(level):
        if (image.width, image.height) == scene.level_size(finer):
            step_x = step_y = 1 << (level - finer), 1
    rows = GridAxis(y0, height, step_y, image.height)
    cols = GridAxis(x0, width, step_x, image.width)
    window = cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start
    return _plan(scene, image, _floats(window), (height, width), (rows, cols))


def plan_box(scene: Scene, box: Box, out_shape: tuple[int, int]) -> ReadPlan:
    """Plan the read of a box inside the scene into ``out_shape`` ``(rows, cols)`` pixels.

    A box that is made of whole pixels of a level is read as that part of it.

    Raises:
        GeometryError: If the box reaches outside the scene or the result is empty.
    """
    if box.intersection(scene.box) != box:
        raise GeometryError(f"{box} reaches outside the scene {scene.box}; intersect the two first")
    if min(out_shape) < 1:
        raise GeometryError(f"a result needs at least one pixel, got {out_shape}")
    level_part = _level_part(scene, box, out_shape)
    if level_part is not None:
        return plan_level(scene, *level_part)
    image = _coarsest_image(scene, box.width / out_shape[1], box.height / out_shape[0])
    return _plan(scene, image, _window(scene, image, box), out_shape)


def _floats(window: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    x, y, width, height = window
    return float(x), float(y), float(width), float(height)


def _level_part(
    scene: Scene, box: Box, out_shape: tuple[int, int]
) -> tuple[int, tuple[int, int, int, int]] | None:
    """The level, and the part of it, whose pixels a picture of a box has; None for other boxes."""
    level = max(0, math.ceil(math.log2(max(box.width / out_shape[1], box.height / out_shape[0]))))
    step = 1 << level
    edges = [place / step for place in box.as_tuple()]
    # the last pixel of a level may reach beyond the scene
    edges[2] = math.ceil(edges[2]) if box.x1 == scene.width else edges[2]
    edges[3] = math.ceil(edges[3]) if box.y1 == scene.height else edges[3]
    if not all(float(edge).is_integer() for edge in edges):
        return None
    x0, y0, x1, y1 = map(int, edges)
    return (level, (x0, y0, x1 - x0, y1 - y0)) if (y1 - y0, x1 - x0) == out_shape else None


def _coarsest_image(scene: Scene, step_x: float, step_y: float) -> _Image:
    """The smallest image that still has a pixel for every step of scene pixels.

    Writers round the size of an overview up or down, so the whole steps decide.
    """
    images = _images(scene)
    fine_enough = [
        image
        for image in images[1:]
        if scene.width // step_x <= image.width <= scene.width
        and scene.height // step_y <= image.height <= scene.height
    ]
    return min(fine_enough, key=lambda image: image.width * image.height, default=images[0])


def _images(scene: Scene) -> list[_Image]:
    """All images that may be read, the native one first; level files need not be built yet."""
    files = level_files_of(scene)
    native = _Image(None, scene.width, scene.height, scene.block_shape)
    overviews = [
        _Image(index, *size, block)
        for index, (size, block) in enumerate(
            zip(scene.overview_sizes, scene.overview_blocks, strict=True)
        )
    ]
    if files is None:
        return [native, *overviews]
    levels = [_Image(None, i.width, i.height, i.block_shape, i.level) for i in files.images]
    # a tiled copy stands for all that the file holds, which has no random access
    return levels if files.copies_native else [native, *overviews, *levels]


def _window(scene: Scene, image: _Image, box: Box) -> tuple[float, float, float, float]:
    # the true ratio of the sizes, not GDAL's rounded factor, keeps positions exact
    ratio_x, ratio_y = image.width / scene.width, image.height / scene.height
    return box.x0 * ratio_x, box.y0 * ratio_y, box.width * ratio_x, box.height * ratio_y


def _plan(
    scene: Scene,
    image: _Image,
    window: tuple[float, float, float, float],
    out_shape: tuple[int, int],
    grid: tuple[GridAxis, GridAxis] | None = None,
) -> ReadPlan:
    """How a window ``(x, y, width, height)`` of an image is read as ``(rows, columns)``."""
    x0, y0, width, height = window
    height_block, width_block = image.block_shape
    blocks = 1
    for start, length, block in ((x0, width, width_block), (y0, height, height_block)):
        # a window that ends on a block's edge, up to rounding, does not touch the next block
        first = math.floor(start / block + 1e-9)
        last = math.ceil((start + length) / block - 1e-9)
        blocks *= max(1, last - first)
    is_whole = all(float(value).is_integer() for value in window)
    resampling: ReadResampling = "bilinear"
    if grid is not None:
        resampling = "grid"
    elif is_whole and width == out_shape[1] and height == out_shape[0]:
        resampling = "nearest"
    elif max(width / out_shape[1], height / out_shape[0]) >= _AVERAGE_FROM:
        resampling = "average"
    return ReadPlan(
        overview_level=image.overview_level,
        overview_factor=scene.width / image.width,
        window=window,
        out_shape=out_shape,
        resampling=resampling,
        blocks=blocks,
        block_shape=image.block_shape,
        level_file=image.level_file,
        grid=grid,
    )
