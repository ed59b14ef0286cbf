"""How pixels will be read, decided before any is: which image, which window, what resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from geofovea.errors import GeometryError
from geofovea.tiling.overviews.level_files import level_files_of
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.scene import Scene

__all__ = ["ReadPlan", "ReadResampling", "plan_box", "plan_tile"]

ReadResampling = Literal["nearest", "bilinear", "average"]

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

    def __post_init__(self) -> None:
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
    """Plan the read of the valid part of one tile.

    An image that has exactly the size of the tile's level is read 1:1, on whole pixels. Where the
    scene is not a multiple of the level's step, GDAL stretches an overview over the scene by less
    than one overview pixel; that much a 1:1 read may be displaced at the far edge.

    Raises:
        GeometryError: If the tile is not on the pyramid's grid.
    """
    width_valid, height_valid = pyramid.valid_size(tile)
    step = 1 << tile.level
    image = _coarsest_image(scene, step, step)
    out_shape = (height_valid, width_valid)
    if (image.width, image.height) == pyramid.level_size(tile.level):
        x0, y0 = tile.col * pyramid.tile_size, tile.row * pyramid.tile_size
        window = (float(x0), float(y0), float(width_valid), float(height_valid))
        return _plan(scene, image, window, out_shape)
    return _plan(scene, image, _window(scene, image, pyramid.box_scene(tile)), out_shape)


def plan_box(scene: Scene, box: Box, out_shape: tuple[int, int]) -> ReadPlan:
    """Plan the read of a box inside the scene into ``out_shape`` ``(rows, cols)`` pixels.

    Raises:
        GeometryError: If the box reaches outside the scene or the result is empty.
    """
    if box.share_inside(scene.box) < 1 or box.intersection(scene.box) != box:
        raise GeometryError(f"{box} reaches outside the scene {scene.box}; intersect the two first")
    if min(out_shape) < 1:
        raise GeometryError(f"a result needs at least one pixel, got {out_shape}")
    image = _coarsest_image(scene, box.width / out_shape[1], box.height / out_shape[0])
    return _plan(scene, image, _window(scene, image, box), out_shape)


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
) -> ReadPlan:
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
    if is_whole and width == out_shape[1] and height == out_shape[0]:
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
    )
