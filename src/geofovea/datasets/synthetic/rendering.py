"""Rendering of any window of a synthetic world at any level, without rendering the rest.

Level ``l`` shows the mean of ``2**l × 2**l`` native pixels, as the overviews of a raster do, so a
model that learns from these pictures meets the same ones when it reads the raster. From level 6 on
that is an approximation: terrain is drawn flat there and roads, less than half a pixel wide, are
left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.canvas import Canvas
from geofovea.datasets.synthetic.earth.land import EarthWorld
from geofovea.datasets.synthetic.earth.scenes import render_earth
from geofovea.datasets.synthetic.world import Site, World
from geofovea.errors import DataError
from geofovea.tiling.pyramid import Box

__all__ = ["Canvas", "render_window"]

_ROAD_HALF_WIDTH = 12
_COARSEST_LEVEL_WITH_TEXTURE = 5
"""Beyond it terrain is as good as flat, roads vanish, and a scene has very many cells."""


def render_window(
    world: World,
    level: int,
    x0_level: int,
    y0_level: int,
    width: int,
    height: int,
    bands: int = 3,
) -> NDArray[np.uint8]:
    """Render ``width × height`` level pixels from a corner given in level pixels.

    Args:
        world: Of any version.
        level: See above.
        x0_level: Left edge of the window.
        y0_level: Upper edge.
        width: In level pixels.
        height: In level pixels.
        bands: 3 for red, green and blue; 4 with near infrared, which version 1 does not have.

    Returns:
        Shape (height, width, bands). Beyond the scene the picture is mid gray.

    Raises:
        DataError: If the world does not have that many bands.
    """
    if bands not in (3, world.bands):
        raise DataError(
            f"a synthetic world of version {world.version} has 3 bands"
            + (f" or {world.bands}" if world.bands > 3 else "")
            + f", got bands={bands}"
        )
    if isinstance(world, EarthWorld):
        pixels = render_earth(world, level, x0_level, y0_level, width, height)[..., :bands]
    else:
        pixels = _render_cells(world, Canvas(level, x0_level, y0_level, width, height))
    return pixels if world.light == 1 else _lit(pixels, world.light)


def _render_cells(world: World, canvas: Canvas) -> NDArray[np.uint8]:
    """A world of version 1."""
    sites = [site for site in world.sites if canvas.sees(site.box)]
    if not any(canvas.box.share_inside(site.box) == 1 for site in sites):
        _draw_terrain(canvas, world)
    for site in sites:
        _draw_site(canvas, site)
    return canvas.pixels()


def _lit(pixels: NDArray[np.uint8], light: float) -> NDArray[np.uint8]:
    """A picture in another light."""
    table: NDArray[np.uint8] = np.clip(np.arange(256) * light + 0.5, 0, 255).astype(np.uint8)
    lit: NDArray[np.uint8] = table[pixels]
    return lit


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
    canvas.furnish(site, "apron")
