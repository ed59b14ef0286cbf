"""Tiles of one scene on the grid of another, each read through a window of its own and resampled.

A scene is never resampled whole. A tile of the reference grid is a quadrilateral of the other
scene; the level of that scene that is just fine enough is read in the box around it, and the tile
is sampled from there. Radiometry, overviews, level files, nodata and masks are those of the scene's
own reader.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import GeometryError
from geofovea.tiling.geo.alignment import Alignment
from geofovea.tiling.overviews.level_files import level_files_of
from geofovea.tiling.pixels.radiometry import FILL, Radiometry
from geofovea.tiling.pixels.warping import mapped_grid, sample_bilinear
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.reader import TilePixels, TileReader
from geofovea.tiling.scene import Scene

__all__ = ["AlignedReader"]

Points = NDArray[np.float64]
RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_MOST_READ = 16
"""Pixels that are read for one pixel of the result, at most."""

_MOST_SAMPLES = 4
# a level that is coarser than a pixel of the result by less than this is as good as one that fits
_NEARLY = 1.03


class AlignedReader:
    """Reads one scene on the grid of another; one reader may serve many threads."""

    def __init__(self, reader: TileReader, alignment: Alignment, pyramid: Pyramid) -> None:
        """Join what the reads need.

        Args:
            reader: Of the scene that is read.
            alignment: Where pixels of the reference lie in it.
            pyramid: Of the reference.

        Raises:
            GeometryError: If the pyramid is not that of the reference, or the reader not that of
                the other scene.
        """
        reference, other = alignment.reference.box, alignment.other.box
        if (pyramid.width, pyramid.height) != (reference.width, reference.height):
            raise GeometryError(
                f"the pyramid is for {pyramid.width} x {pyramid.height} pixels, the reference has "
                f"{reference.width:.0f} x {reference.height:.0f}"
            )
        if reader.scene.box != other:
            raise GeometryError(
                f"the reader is of {reader.scene.path!r}, the alignment of {alignment.other.path!r}"
            )
        self.pyramid = pyramid
        self.alignment = alignment
        self._reader = reader

    @property
    def scene(self) -> Scene:
        """The scene whose pixels are read."""
        return self._reader.scene

    @property
    def radiometry(self) -> Radiometry:
        """How its pixels become RGB."""
        return self._reader.radiometry

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened while reading that anyone who uses an answer should know."""
        return self._reader.notes

    def prepare(self, tile: Tile) -> None:
        """Build the level files of the scene now, if a tile needs them.

        Raises:
            GeometryError: If the tile is not on the pyramid's grid.
            GeoFoveaError: As ``TileReader.prepare`` does.
        """
        if level_files_of(self.scene) is None:
            self.pyramid.valid_size(tile)  # refuses a tile off the grid
            return
        level = min(self._level(self._places_of(tile)), self._reader.pyramid.top_level)
        self._reader.prepare(Tile(level, 0, 0))

    def read(self, tile: Tile) -> TilePixels:
        """Read one tile of the reference's grid; pixels that the scene does not show are not valid.

        Raises:
            GeometryError: If the tile is not on the pyramid's grid.
            GeoFoveaError: As ``TileReader.read`` does.
        """
        cols, rows = self.pyramid.valid_size(tile)
        side = self.pyramid.tile_size
        rgb, valid = np.full((side, side, 3), FILL, np.uint8), np.zeros((side, side), bool)
        rgb[:rows, :cols], valid[:rows, :cols] = self._sampled(self._places_of(tile))
        return TilePixels(tile, rgb, valid, (cols, rows))

    def read_box(self, box: Box, out_shape: tuple[int, int]) -> tuple[RGB, Mask]:
        """Read any box in reference pixels as a picture of ``(rows, cols)`` pixels.

        Raises:
            GeometryError: If the picture is empty.
            GeoFoveaError: As ``TileReader.read_box`` does.
        """
        if min(out_shape) < 1:
            raise GeometryError(f"a picture needs at least one pixel, got {out_shape}")
        step = (box.width / out_shape[1], box.height / out_shape[0])
        move = self.alignment.other_from_reference
        return self._sampled(mapped_grid(move, (box.x0, box.y0), step, out_shape))

    def _places_of(self, tile: Tile) -> Points:
        """Where the valid pixels of a tile lie in the scene, ``(rows, cols, 2)``."""
        cols, rows = self.pyramid.valid_size(tile)
        step = float(1 << tile.level)
        origin = (
            tile.col * self.pyramid.tile_size * step,
            tile.row * self.pyramid.tile_size * step,
        )
        move = self.alignment.other_from_reference
        return mapped_grid(move, origin, (step, step), (rows, cols))

    def _sampled(self, places: Points) -> tuple[RGB, Mask]:
        shape = places.shape[:2]
        rgb, valid = np.full((*shape, 3), FILL, np.uint8), np.zeros(shape, bool)
        level = self._level(places)
        window = self._window(places, level)
        if window is None:
            return rgb, valid
        x0, y0, x1, y1 = window
        step, scene = 1 << level, self.scene
        end = float(min(x1 * step, scene.width)), float(min(y1 * step, scene.height))
        box = Box(float(x0 * step), float(y0 * step), *end)
        picture, known = self._reader.read_box(box, (y1 - y0, x1 - x0))
        on_picture = places / step - (x0, y0)
        values, valid = _supersampled(picture, known, on_picture)
        rgb[valid] = (values[valid] + 0.5).astype(np.uint8)
        return rgb, valid

    def _level(self, places: Points) -> int:
        """The coarsest level of the scene that still has a pixel for each place.

        It is coarser where its part would be out of proportion, as where one grid is much wider
        than high in the other.
        """
        finest = min(_spacing(places)) * _NEARLY
        longest = max(self.scene.width, self.scene.height)
        level = min(max(0, math.floor(math.log2(max(finest, 1)))), longest.bit_length() - 1)
        most = _MOST_READ * max(places.shape[0] * places.shape[1], 4096)
        while (window := self._window(places, level)) is not None:
            x0, y0, x1, y1 = window
            if (x1 - x0) * (y1 - y0) <= most:
                break
            level += 1
        return level

    def _window(self, places: Points, level: int) -> tuple[int, int, int, int] | None:
        """The part ``(x0, y0, x1, y1)`` of a level that some places are sampled from, if any."""
        scene, step = self.scene, 1 << level
        x, y = places[..., 0], places[..., 1]
        with np.errstate(invalid="ignore"):
            inside = (x >= 0) & (y >= 0) & (x <= scene.width) & (y <= scene.height)
        if not inside.any():
            return None
        edges = []
        for values, size in ((x[inside], scene.width), (y[inside], scene.height)):
            # a neighbor on either side to interpolate with
            low = max(0, math.floor(float(values.min()) / step) - 1)
            high = min(-(-size // step), math.floor(float(values.max()) / step) + 2)
            edges.append((min(low, high - 1), high))
        (x0, x1), (y0, y1) = edges
        return x0, y0, x1, y1


def _spacing(places: Points) -> tuple[float, float]:
    """How far places ``(rows, cols, 2)`` lie apart along their columns and their rows."""
    spacing = []
    for axis in (1, 0):
        steps = np.hypot(*np.moveaxis(np.diff(places, axis=axis), -1, 0))
        steps = steps[np.isfinite(steps)]
        spacing.append(float(np.median(steps)) if steps.size else 1.0)
    return spacing[0], spacing[1]


def _supersampled(picture: RGB, known: Mask, places: Points) -> tuple[NDArray[np.float32], Mask]:
    """Sample a picture; the mean of several samples where its pixels are finer than the places."""
    across, down = (min(_MOST_SAMPLES, max(1, round(s))) for s in _spacing(places))
    if across == down == 1 or min(places.shape[:2]) < 2:
        return sample_bilinear(picture, known, places)
    along_cols, along_rows = np.gradient(places, axis=1), np.gradient(places, axis=0)
    total = np.zeros((*places.shape[:2], 3), np.float32)
    count = np.zeros(places.shape[:2], np.float32)
    for i in range(across):
        for j in range(down):
            offset = ((i + 0.5) / across - 0.5) * along_cols + ((j + 0.5) / down - 0.5) * along_rows
            values, valid = sample_bilinear(picture, known, places + offset)
            total += np.where(valid[..., None], values, 0)
            count += valid
    mean = (total / np.maximum(count, 1)[..., None]).astype(np.float32)
    return mean, count * 2 >= across * down
