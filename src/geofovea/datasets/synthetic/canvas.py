"""A window of one level that pictures of a world are painted on, later over earlier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.sprites import sprite, sprite_box, with_near_infrared
from geofovea.datasets.synthetic.textures import material
from geofovea.datasets.synthetic.world import Hall, Site, Thing, World
from geofovea.tiling.pyramid import Box

__all__ = ["Canvas", "Materials"]

Materials = Callable[[str], tuple[NDArray[np.uint8], ...]]
"""The textures of a material by its name, see ``material``."""

_FRAME_WIDTH = 10
_COARSEST_LEVEL_WITH_THINGS = 4
"""Beyond it a thing is less than two level pixels long and its pad hides it."""

_COARSEST_LEVEL_WITH_PADS = 8


class Canvas:
    """A window of one level on which regions and sprites are painted, later over earlier."""

    def __init__(
        self,
        level: int,
        x0_level: int,
        y0_level: int,
        width: int,
        height: int,
        bands: int = 3,
        material: Materials = material,
    ) -> None:
        """Start with mid gray.

        Args:
            level: See ``render_window``.
            x0_level: See ``render_window``.
            y0_level: See ``render_window``.
            width: See ``render_window``.
            height: See ``render_window``.
            bands: 3, or 4 with near infrared.
            material: Gives the textures by name, in as many bands.
        """
        self.level = level
        self.step = 1 << level
        self.x0_level, self.y0_level = x0_level, y0_level
        self.width, self.height = width, height
        self._box = Box(
            x0_level * self.step,
            y0_level * self.step,
            (x0_level + width) * self.step,
            (y0_level + height) * self.step,
        )
        self._material = material
        self._bands = np.full((height, width, bands), 128, np.uint8)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture so far, (height, width, bands)."""
        return self._bands

    @property
    def box(self) -> Box:
        """The window in scene pixels."""
        return self._box

    def sees(self, box: Box) -> bool:
        """Whether a box in scene pixels shares area with this window."""
        return self.box.intersection(box) is not None

    def fill(self, box: Box, name: str, gain: float = 1.0, phase: tuple[int, int] = (0, 0)) -> None:
        """Cover a box in scene pixels with a material, its borders blended by coverage.

        Args:
            box: What to cover, whole scene pixels.
            name: A material.
            gain: Brightness factor.
            phase: Shift ``(x, y)`` of the texture in scene pixels.
        """
        cover_x = self._coverage(box.x0, box.x1, self.x0_level, self.width)
        cover_y = self._coverage(box.y0, box.y1, self.y0_level, self.height)
        if cover_x is None or cover_y is None:
            return
        (col0, col1, weight_x), (row0, row1, weight_y) = cover_x, cover_y
        patch = self.texture((col0, row0, col1, row1), name, gain, phase)
        view = self._bands[row0:row1, col0:col1]
        if min(patch.shape[:2]) == 1:
            # a single line is both the first and the last: blend along both axes together
            alpha = (weight_y[:, None] * weight_x)[..., None]
            view[:] = (view * (1 - alpha) + patch * alpha + 0.5).astype(np.uint8)
            return
        border = [view[0].copy(), view[-1].copy(), view[:, 0].copy(), view[:, -1].copy()]
        view[:] = patch
        # only the outermost pixels can be covered in part
        _blend(view[:, 0], border[2], weight_x[0])
        _blend(view[:, -1], border[3], weight_x[-1])
        _blend(view[0], border[0], weight_y[0])
        _blend(view[-1], border[1], weight_y[-1])

    def view(self, box: Box) -> tuple[int, int, int, int] | None:
        """Pixels ``(x0, y0, x1, y1)`` of this window that a box in scene pixels touches."""
        cover_x = self._coverage(box.x0, box.x1, self.x0_level, self.width)
        cover_y = self._coverage(box.y0, box.y1, self.y0_level, self.height)
        if cover_x is None or cover_y is None:
            return None
        return cover_x[0], cover_y[0], cover_x[1], cover_y[1]

    def texture(
        self,
        view: tuple[int, int, int, int],
        name: str,
        gain: float = 1.0,
        phase: tuple[int, int] = (0, 0),
    ) -> NDArray[np.uint8]:
        """What a material shows in pixels ``(x0, y0, x1, y1)`` of this window."""
        col0, row0, col1, row1 = view
        pyramid = self._material(name)
        texture = pyramid[min(self.level, len(pyramid) - 1)]
        columns = (np.arange(col0, col1) + self.x0_level + (phase[0] >> self.level)) % len(texture)
        rows = (np.arange(row0, row1) + self.y0_level + (phase[1] >> self.level)) % len(texture)
        if texture.shape[-1] == 4:
            # four bytes are one number, which is found faster
            packed = texture.view(np.uint32)[..., 0][rows[:, None], columns]
            patch = packed.view(np.uint8).reshape(*packed.shape, 4)
        else:
            patch = texture[rows[:, None], columns]
        if gain != 1.0:
            patch = np.clip(np.arange(256) * gain + 0.5, 0, 255).astype(np.uint8)[patch]
        return patch

    def _coverage(
        self, lo_scene: float, hi_scene: float, first_level: int, count: int
    ) -> tuple[int, int, NDArray[np.float32]] | None:
        """Pixels ``[start, stop)`` along one axis that an interval covers, and how far it does."""
        lo, hi = lo_scene / self.step - first_level, hi_scene / self.step - first_level
        start, stop = max(0, int(np.floor(lo))), min(count, int(np.ceil(hi)))
        if start >= stop:
            return None
        edges = np.arange(start, stop, dtype=np.float32)
        return start, stop, np.minimum(edges + 1, hi) - np.maximum(edges, lo)

    def fill_flat_cells(self, world: World) -> None:
        """Cover the scene with the mean colors of its cells' terrains, all cells at once."""
        names = sorted({name for row in world.terrain for name in row})
        colors = np.array([material(name)[-1][0, 0] for name in names])
        cells = np.array([[names.index(name) for name in row] for row in world.terrain])
        x_scene = (np.arange(self.width) + self.x0_level + 0.5) * self.step
        y_scene = (np.arange(self.height) + self.y0_level + 0.5) * self.step
        cols = np.flatnonzero((x_scene >= 0) & (x_scene < world.width))
        rows = np.flatnonzero((y_scene >= 0) & (y_scene < world.height))
        cell_cols = (x_scene[cols] // world.cell_side).astype(int)
        cell_rows = (y_scene[rows] // world.cell_side).astype(int)
        self._bands[np.ix_(rows, cols)] = colors[cells[np.ix_(cell_rows, cell_cols)]]

    def furnish(self, site: Site, apron: str) -> None:
        """Paint the pad of a site on its grounds, and what stands there.

        Args:
            site: Whose grounds are painted already.
            apron: Material of the ring around the pad.
        """
        if not self.sees(site.apron):
            return
        pad, wide = site.pad, _FRAME_WIDTH
        self.fill(site.apron, apron)
        if self.level > _COARSEST_LEVEL_WITH_PADS:
            return
        self.fill(Box(pad.x0 - wide, pad.y0 - wide, pad.x1 + wide, pad.y1 + wide), "frame")
        self.fill(pad, site.surface)
        if self.level > _COARSEST_LEVEL_WITH_THINGS:
            return
        self.paste(site.hall)
        for thing in site.things:
            self.paste(thing)

    def paste(self, item: Thing | Hall) -> None:
        """Paint a thing or a hall, averaged down to this level."""
        if not self.sees(sprite_box(item)):
            return
        picture = sprite(item)
        rgba: NDArray[Any] = picture.rgba
        if self._bands.shape[-1] == 4:
            is_planted = isinstance(item, Hall) and item.roof == "planted"
            rgba = with_near_infrared(picture.rgba, is_planted=is_planted)
        rows, cols = picture.rgba.shape[:2]
        # the canvas grows to whole level pixels, so that its mean is the mean of native pixels
        left, top = picture.x0 % self.step, picture.y0 % self.step
        right, bottom = -(left + cols) % self.step, -(top + rows) % self.step
        if self.step > 1:
            rgba = np.pad(rgba, ((top, bottom), (left, right), (0, 0)))
            rgba = _means(rgba, self.step)
        row, col = picture.y0 // self.step - self.y0_level, picture.x0 // self.step - self.x0_level
        row0, col0 = max(row, 0), max(col, 0)
        row1, col1 = min(row + len(rgba), self.height), min(col + rgba.shape[1], self.width)
        if row0 >= row1 or col0 >= col1:
            return
        rgba = rgba[row0 - row : row1 - row, col0 - col : col1 - col]
        view = self._bands[row0:row1, col0:col1]
        view[:] = (view * (1 - rgba[..., -1:] / 255) + rgba[..., :-1] + 0.5).astype(np.uint8)


def _means(pixels: NDArray[np.uint8], step: int) -> NDArray[np.float64]:
    """Means of ``step x step`` pixels; whole sums by axis are faster than a mean over both."""
    rows, columns, bands = len(pixels) // step, pixels.shape[1] // step, pixels.shape[2]
    lines = pixels.reshape(rows, step, -1).sum(1, dtype=np.uint32)
    means: NDArray[np.float64] = lines.reshape(rows, columns, step, bands).sum(2) / step**2
    return means


def _blend(view: NDArray[np.uint8], below: NDArray[np.uint8], weight: float) -> None:
    """Let what was below shine through pixels that are covered by ``weight`` in [0, 1]."""
    if weight < 1:
        view[:] = (below * (1 - weight) + view * weight + 0.5).astype(np.uint8)
