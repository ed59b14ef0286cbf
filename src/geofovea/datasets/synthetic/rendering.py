"""Rendering of any window of a synthetic world at any level, without rendering the rest.

Level ``l`` shows the mean of ``2**l × 2**l`` native pixels, as the overviews of a raster do, so a
model that learns from these pictures meets the same ones when it reads the raster. From level 6 on
that is an approximation: terrain is drawn flat there and roads, less than half a pixel wide, are
left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.sprites import sprite, sprite_box
from geofovea.datasets.synthetic.textures import material
from geofovea.datasets.synthetic.world import Hall, Site, Thing, World
from geofovea.tiling.pyramid import Box

__all__ = ["Canvas", "render_window"]

_ROAD_HALF_WIDTH = 12
_FRAME_WIDTH = 10
_COARSEST_LEVEL_WITH_THINGS = 4
"""Beyond it a thing is less than two level pixels long and its pad hides it."""

_COARSEST_LEVEL_WITH_TEXTURE = 5
"""Beyond it terrain is as good as flat, roads vanish, and a scene has very many cells."""

_COARSEST_LEVEL_WITH_PADS = 8


def render_window(
    world: World, level: int, x0_level: int, y0_level: int, width: int, height: int
) -> NDArray[np.uint8]:
    """Render ``width × height`` level pixels from a corner given in level pixels.

    Returns:
        RGB of shape (height, width, 3). Beyond the scene the picture is mid gray.
    """
    canvas = Canvas(level, x0_level, y0_level, width, height)
    sites = [site for site in world.sites if canvas.sees(site.box)]
    if not any(canvas.box.share_inside(site.box) == 1 for site in sites):
        _draw_terrain(canvas, world)
    for site in sites:
        _draw_site(canvas, site)
    return canvas.pixels() if world.light == 1 else _lit(canvas.pixels(), world.light)


class Canvas:
    """A window of one level on which regions and sprites are painted, later over earlier."""

    def __init__(self, level: int, x0_level: int, y0_level: int, width: int, height: int) -> None:
        """Start with mid gray; arguments as in ``render_window``."""
        self.level = level
        self.step = 1 << level
        self.x0_level, self.y0_level = x0_level, y0_level
        self.width, self.height = width, height
        self._rgb = np.full((height, width, 3), 128, np.uint8)

    def pixels(self) -> NDArray[np.uint8]:
        """The picture so far, (height, width, 3)."""
        return self._rgb

    @property
    def box(self) -> Box:
        """The window in scene pixels."""
        return Box(
            self.x0_level * self.step,
            self.y0_level * self.step,
            (self.x0_level + self.width) * self.step,
            (self.y0_level + self.height) * self.step,
        )

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
        pyramid = material(name)
        texture = pyramid[min(self.level, len(pyramid) - 1)]
        columns = (np.arange(col0, col1) + self.x0_level + (phase[0] >> self.level)) % len(texture)
        rows = (np.arange(row0, row1) + self.y0_level + (phase[1] >> self.level)) % len(texture)
        patch = texture[rows[:, None], columns]
        if gain != 1.0:
            patch = np.clip(np.arange(256) * gain + 0.5, 0, 255).astype(np.uint8)[patch]
        view = self._rgb[row0:row1, col0:col1]
        if min(patch.shape[:2]) == 1:
            # one line is first and last at once: blended along both axes together
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

    def _coverage(
        self, lo_scene: float, hi_scene: float, first_level: int, count: int
    ) -> tuple[int, int, NDArray[np.float32]] | None:
        """The window's pixels ``[start, stop)`` along one axis that an interval covers, how far."""
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
        self._rgb[np.ix_(rows, cols)] = colors[cells[np.ix_(cell_rows, cell_cols)]]

    def paste(self, item: Thing | Hall) -> None:
        """Paint a thing or a hall, averaged down to this level."""
        if not self.sees(sprite_box(item)):
            return
        picture = sprite(item)
        rows, cols = picture.rgba.shape[:2]
        # the canvas grows to whole level pixels, so that its mean is the mean of native pixels
        left, top = picture.x0 % self.step, picture.y0 % self.step
        right, bottom = -(left + cols) % self.step, -(top + rows) % self.step
        rgba = picture.rgba
        if self.step > 1:
            rgba = np.pad(rgba, ((top, bottom), (left, right), (0, 0)))
            rgba = rgba.reshape(
                len(rgba) // self.step, self.step, rgba.shape[1] // self.step, self.step, 4
            ).mean((1, 3))
        row, col = picture.y0 // self.step - self.y0_level, picture.x0 // self.step - self.x0_level
        row0, col0 = max(row, 0), max(col, 0)
        row1, col1 = min(row + len(rgba), self.height), min(col + rgba.shape[1], self.width)
        if row0 >= row1 or col0 >= col1:
            return
        rgba = rgba[row0 - row : row1 - row, col0 - col : col1 - col]
        view = self._rgb[row0:row1, col0:col1]
        view[:] = (view * (1 - rgba[..., 3:] / 255) + rgba[..., :3] + 0.5).astype(np.uint8)


def _lit(pixels: NDArray[np.uint8], light: float) -> NDArray[np.uint8]:
    """A picture in another light."""
    table: NDArray[np.uint8] = np.clip(np.arange(256) * light + 0.5, 0, 255).astype(np.uint8)
    lit: NDArray[np.uint8] = table[pixels]
    return lit


def _blend(view: NDArray[np.uint8], below: NDArray[np.uint8], weight: float) -> None:
    """Let what was below shine through pixels that are covered by ``weight`` in [0, 1]."""
    if weight < 1:
        view[:] = (below * (1 - weight) + view * weight + 0.5).astype(np.uint8)


def _draw_terrain(canvas: Canvas, world: World) -> None:
    if canvas.level > _COARSEST_LEVEL_WITH_TEXTURE:
        canvas.fill_flat_cells(world)
        return
    side, box = world.cell_side, canvas.box
    rows, cols = len(world.terrain), len(world.terrain[0])
    first_row, last_row = max(0, int(box.y0 // side)), min(rows, int(-(-box.y1 // side)))
    first_col, last_col = max(0, int(box.x0 // side)), min(cols, int(-(-box.x1 // side)))
    for row in range(first_row, last_row):
        for col in range(first_col, last_col):
            cell = Box(
                col * side,
                row * side,
                min((col + 1) * side, world.width),
                min((row + 1) * side, world.height),
            )
            phase = ((row * 7 + col * 13) % 8 * 64, (row * 11 + col * 5) % 8 * 64)
            canvas.fill(cell, world.terrain[row][col], phase=phase)
    road = _ROAD_HALF_WIDTH
    for row in range(first_row, last_row + 1):
        _draw_road(canvas, world, Box(0, row * side - road, world.width, row * side + road))
    for col in range(first_col, last_col + 1):
        _draw_road(canvas, world, Box(col * side - road, 0, col * side + road, world.height))


def _draw_road(canvas: Canvas, world: World, box: Box) -> None:
    inside = box.intersection(Box(0, 0, world.width, world.height))
    if inside:
        canvas.fill(inside, "road")


def _draw_site(canvas: Canvas, site: Site) -> None:
    canvas.fill(site.box, site.kind, site.gain)
    if not canvas.sees(site.apron):
        return
    pad = site.pad
    frame = Box(
        pad.x0 - _FRAME_WIDTH, pad.y0 - _FRAME_WIDTH, pad.x1 + _FRAME_WIDTH, pad.y1 + _FRAME_WIDTH
    )
    canvas.fill(site.apron, "apron")
    if canvas.level > _COARSEST_LEVEL_WITH_PADS:
        return
    canvas.fill(frame, "frame")
    canvas.fill(pad, site.surface)
    if canvas.level > _COARSEST_LEVEL_WITH_THINGS:
        return
    canvas.paste(site.hall)
    for thing in site.things:
        canvas.paste(thing)
