"""What every vision token shows, by name: the dense labels that make a model learn to see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.vocabulary import (
    COLORS,
    FILLER_SITES,
    SHAPES,
    SITES,
    STATUSES,
    SURFACES,
    THINGS,
)
from geofovea.datasets.synthetic.world import Hall, Site, Thing, World
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["DENSE_LABELS", "IGNORED", "TokenBoxes", "dense_labels"]

IGNORED = -100
"""Label of a token that a dense loss must skip, torch's default."""

DENSE_LABELS = {
    "site": len(SITES) + len(FILLER_SITES) + 1,
    "setting": 2,
    "surface": len(SURFACES) + 1,
    "thing": len(THINGS) + 2,
    "color": len(COLORS),
    "status": len(STATUSES),
    "shape": len(SHAPES),
}
"""What each token learns to name, and among how many classes; 0 is "nothing" where there is one."""

_SITE_KINDS = (*SITES, *FILLER_SITES)
_COLOR_NAMES = tuple(COLORS)
_FINEST_LEVEL_WITHOUT_THINGS = 2
_FINEST_LEVEL_WITHOUT_SURFACE = 4
_FINEST_LEVEL_WITHOUT_SETTING = 6
_COARSEST_LEVEL_WITHIN_SITE = 1
"""Up to this level a tile on a site shows nothing of what is around it."""


class TokenBoxes:
    """The boxes of a tile's tokens, row-major, for overlaps with boxes of the scene."""

    def __init__(self, pyramid: Pyramid, tile: Tile, grid: int) -> None:
        self.level = tile.level
        self.scene_box = pyramid.box_scene(tile)
        self._side = (pyramid.tile_size << tile.level) / grid
        self._edges_x = tile.col * (pyramid.tile_size << tile.level) + np.arange(grid) * self._side
        self._edges_y = tile.row * (pyramid.tile_size << tile.level) + np.arange(grid) * self._side
        self.area = self._side**2
        self.on_scene = self.overlap(Box(0, 0, pyramid.width, pyramid.height)) > 0

    def overlap(self, box: Box) -> NDArray[np.float64]:
        """Common area of each token with a box, in square scene pixels, shape (grid²,)."""
        along_x = np.minimum(self._edges_x + self._side, box.x1) - np.maximum(self._edges_x, box.x0)
        along_y = np.minimum(self._edges_y + self._side, box.y1) - np.maximum(self._edges_y, box.y0)
        return np.outer(along_y.clip(0), along_x.clip(0)).ravel()

    def over_any(self, boxes: tuple[Box, ...]) -> NDArray[np.bool_]:
        """Which tokens share area with at least one of the boxes, shape (grid²,)."""
        hits = np.zeros(len(self.on_scene), bool)
        for box in boxes:
            hits |= self.overlap(box) > 0
        return hits

    @property
    def centers(self) -> tuple[list[float], list[float]]:
        """Centers of the columns and of the rows, in scene pixels."""
        half = self._side / 2
        return [float(x) + half for x in self._edges_x], [float(y) + half for y in self._edges_y]


def dense_labels(world: World, boxes: TokenBoxes) -> NDArray[np.int64]:
    """Class of every token for each of ``DENSE_LABELS``, int64 (labels, grid²).

    What a level is too coarse to show is ``IGNORED``.
    """
    labels = {name: np.full(len(boxes.on_scene), IGNORED) for name in DENSE_LABELS}
    labels["site"][boxes.on_scene] = 0
    if boxes.level < _FINEST_LEVEL_WITHOUT_SURFACE:
        labels["surface"][boxes.on_scene] = 0
    if boxes.level < _FINEST_LEVEL_WITHOUT_THINGS:
        labels["thing"][boxes.on_scene] = 0
    if boxes.level < _FINEST_LEVEL_WITHOUT_SETTING:
        settings = np.array(world.settings_over(*boxes.centers)).ravel() == "urban"
        labels["setting"][boxes.on_scene] = settings[boxes.on_scene]
    for site in world.sites:
        if boxes.scene_box.intersection(site.box):
            _label_site(labels, boxes, site)
    return np.stack([labels[name] for name in DENSE_LABELS])


def _label_site(labels: dict[str, NDArray[np.int64]], boxes: TokenBoxes, site: Site) -> None:
    grounds = boxes.overlap(site.box)
    covered = (grounds > 0.3 * boxes.area) | (grounds > 0.5 * site.box.area)
    labels["site"][covered] = 1 + _SITE_KINDS.index(site.kind)
    if boxes.level <= _COARSEST_LEVEL_WITHIN_SITE:
        labels["setting"][grounds > 0] = IGNORED
    if boxes.level < _FINEST_LEVEL_WITHOUT_SURFACE:
        pad = boxes.overlap(site.pad) > 0.4 * boxes.area
        labels["surface"][pad] = 1 + SURFACES.index(site.surface)
    if boxes.level >= _FINEST_LEVEL_WITHOUT_THINGS:
        return
    best = np.zeros(len(boxes.on_scene))
    items: list[Hall | Thing] = [site.hall, *site.things]
    for item in items:
        common = boxes.overlap(item.box)
        here = (common > best) & ((common > 0.3 * boxes.area) | (common > 0.4 * item.box.area))
        best = np.maximum(best, np.where(here, common, 0))
        if isinstance(item, Hall):
            labels["thing"][here] = 1 + len(THINGS)
            labels["color"][here] = labels["status"][here] = IGNORED
            labels["shape"][here] = SHAPES.index(item.shape)
        else:
            labels["thing"][here] = 1 + THINGS.index(item.kind)
            labels["color"][here] = _COLOR_NAMES.index(item.color)
            labels["status"][here] = STATUSES.index(item.status)
            labels["shape"][here] = IGNORED
