"""Windows of a world of version 2: land, sites with soft borders, and the air above them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.canvas import Canvas
from geofovea.datasets.synthetic.earth.air import through_air
from geofovea.datasets.synthetic.earth.grounds import ground
from geofovea.datasets.synthetic.earth.land import EarthWorld
from geofovea.datasets.synthetic.earth.noise import smooth_noise
from geofovea.datasets.synthetic.earth.pixels import draw_land
from geofovea.datasets.synthetic.world import Site
from geofovea.tiling.pyramid import Box

__all__ = ["render_earth"]

_CORNER = 190
_RAGGED = 26
_SOFT = 10
"""Scene pixels over which the grounds of a site fade into the land."""

_PLAIN = _CORNER * 0.3 + 2 * _RAGGED + _SOFT
"""So far inside its box a site covers everything, corners included."""


def render_earth(
    world: EarthWorld, level: int, x0_level: int, y0_level: int, width: int, height: int
) -> NDArray[np.uint8]:
    """Render ``width x height`` level pixels; see ``render_window``.

    Returns:
        Red, green, blue and near infrared, (height, width, 4). Beyond the scene mid gray.
    """
    canvas = Canvas(level, x0_level, y0_level, width, height, bands=4, material=ground)
    sites = [site for site in world.sites if canvas.sees(site.box)]
    if not any(canvas.box.share_inside(_plain(world, site)) == 1 for site in sites):
        canvas.pixels()[:] = draw_land(world, level, x0_level, y0_level, width, height)
    for site in sites:
        _lay_grounds(canvas, world, site)
        canvas.furnish(site, site.lawn or "apron")
    through_air(world, level, x0_level, y0_level, canvas.pixels())
    return canvas.pixels()


def _plain(world: EarthWorld, site: Site) -> Box:
    """The part of a site that its ragged border does not reach."""
    box = site.box
    if box.area == world.width * world.height:
        return box
    return Box(box.x0 + _PLAIN, box.y0 + _PLAIN, box.x1 - _PLAIN, box.y1 - _PLAIN)


def _lay_grounds(canvas: Canvas, world: EarthWorld, site: Site) -> None:
    view = canvas.view(site.box)
    if view is None:
        return
    x0, y0, x1, y1 = view
    patch = canvas.texture(view, site.kind, site.gain)
    pixels = canvas.pixels()[y0:y1, x0:x1]
    if canvas.box.intersection(site.box) == _inside(canvas, world, site):
        pixels[:] = patch
        return
    cover = _cover(canvas, world, site, view)[..., None]
    pixels[:] = (pixels * (256 - cover) + patch * cover + 128) >> 8


def _inside(canvas: Canvas, world: EarthWorld, site: Site) -> Box | None:
    return canvas.box.intersection(_plain(world, site))


def _cover(
    canvas: Canvas, world: EarthWorld, site: Site, view: tuple[int, int, int, int]
) -> NDArray[np.uint16]:
    """How far the grounds cover each pixel, 0 to 256: a rounded box with a ragged outline."""
    x0, y0, x1, y1 = view
    step, box = canvas.step, site.box
    x = (canvas.x0_level + np.arange(x0, x1) + 0.5) * step
    y = (canvas.y0_level + np.arange(y0, y1) + 0.5) * step
    corner = min(_CORNER, box.width / 4, box.height / 4)
    reach = corner + 2 * _RAGGED
    center_x, center_y = box.center
    out_x = np.maximum(np.abs(x - center_x) - box.width / 2 + reach, 0).astype(np.float32)
    out_y = np.maximum(np.abs(y - center_y) - box.height / 2 + reach, 0).astype(np.float32)
    distance = np.sqrt(out_x * out_x + (out_y * out_y)[:, None]) - np.float32(corner)
    seed = world.land.seed + 83
    distance += np.float32(_RAGGED) * (
        smooth_noise(x, y, seed, 170) + np.float32(0.5) * smooth_noise(x, y, seed + 1, 40)
    )
    share = np.clip(0.5 - distance / max(_SOFT, step), 0, 1)
    cover: NDArray[np.uint16] = (share * 256).astype(np.uint16)
    return cover
