"""The native tiles that a question is about, and which of them to look at first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from geofovea.errors import BudgetError
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.focus.factory import default_focus, focus_model_of
from geofovea.pipeline.focus.indexed import indexed_likeness
from geofovea.pipeline.index.likeness import SceneLikeness
from geofovea.pipeline.places.in_tile.looking import TileLooker
from geofovea.pipeline.places.merging import SEAM_PX
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.scoring import mass_collector
from geofovea.regionfocus.search.looks import Descent
from geofovea.tiling.geo.region import Region, checked_region
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["NativeTiles", "RankedTiles", "indexed_places", "native_count"]

MOST_TILES = 4_000_000
"""Native tiles that are listed in memory; a scene of more is asked about by region."""

_RULED_OUT = 0.1


def native_count(pyramid: Pyramid) -> int:
    """Native tiles of a scene."""
    rows, cols = pyramid.grid_shape(0)
    return rows * cols


@dataclass(frozen=True, slots=True, eq=False)
class RankedTiles:
    """Native tiles as an index ranks them, without their pixels.

    Attributes:
        tiles: All of them, the likeliest first.
        ruled_out: Which of the tiles that were ranked, in reading order, the index rules out.
    """

    tiles: tuple[Tile, ...]
    ruled_out: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class NativeTiles:
    """Every native tile of a scene, or of a region, in reading order.

    Attributes:
        tiles: The tiles.
        pyramid: Of the scene.
        region: What alone is asked about; None for the whole scene.
    """

    tiles: tuple[Tile, ...]
    pyramid: Pyramid
    region: Region | None

    @staticmethod
    def of(pyramid: Pyramid, region: Region | None = None) -> NativeTiles:
        """The tiles of a scene that share area with a region.

        Raises:
            BudgetError: If there are too many to list.
            GeometryError: If the region is none.
        """
        checked_region(region)
        frame = Box(0, 0, pyramid.width, pyramid.height)
        if region is not None:
            # the rest of a large scene costs nothing
            bounds = frame.intersection(Box(*region.geometry.bounds))
            if bounds is None:
                return NativeTiles((), pyramid, region)
            frame = bounds
        side = pyramid.tile_size
        rows = math.ceil(frame.y1 / side) - int(frame.y0 // side)
        cols = math.ceil(frame.x1 / side) - int(frame.x0 // side)
        if rows * cols > MOST_TILES:
            raise BudgetError(
                f"there are {rows * cols} native tiles, at most {MOST_TILES} are listed: name a "
                "region= that is smaller"
            )
        tiles = pyramid.tiles_over(0, frame)
        if region is not None:
            mask = region.overlap_mask([pyramid.box_scene(tile).as_tuple() for tile in tiles])
            tiles = [tile for tile, is_in in zip(tiles, mask, strict=True) if is_in]
        return NativeTiles(tuple(tiles), pyramid, region)

    def coarse_level(self, most: int) -> int | None:
        """The finest coarse level with at most so many tiles over these; None where none has."""
        for level in range(1, self.pyramid.top_level + 1):
            rows, cols = self.pyramid.grid_shape(level)
            if self.region is None and rows * cols > most:
                continue
            if len(self.over(level)) <= most:
                return level
        return None

    def reached_by(self, places: Sequence[Place]) -> list[Tile]:
        """Those that places reach into, or touch; whole tiles reach nowhere."""
        reached = dict[Tile, None]()
        for place in places:
            if place.outline == "tile":
                continue
            box = place.box_scene
            grown = Box(
                max(0.0, box.x0 - SEAM_PX),
                max(0.0, box.y0 - SEAM_PX),
                min(self.pyramid.width, box.x1 + SEAM_PX),
                min(self.pyramid.height, box.y1 + SEAM_PX),
            )
            reached |= dict.fromkeys(self.pyramid.tiles_over(0, grown))
        inside = set(self.tiles)
        return [tile for tile in reached if tile in inside]

    def over(self, level: int) -> list[Tile]:
        """The tiles of a coarse level that lie over these."""
        rows_cols = dict.fromkeys((tile.row >> level, tile.col >> level) for tile in self.tiles)
        return [Tile(level, row, col) for row, col in rows_cols]

    def share_of(self, tiles: Sequence[Tile]) -> float:
        """The share of the area of all that some of them cover, in [0, 1]."""
        area = sum(self.pyramid.box_scene(tile).area for tile in tiles)
        total = sum(self.pyramid.box_scene(tile).area for tile in self.tiles)
        return min(1.0, area / total) if total else 1.0

    def attention(self, descent: Descent) -> NDArray[np.float64]:
        """How much attention each tile drew, by the finest look that covers it, float64 ``(n,)``.

        1 is the average over the scene; 0 is a place without data. Scores of a descent are masses
        of chains, so that those of all levels compare; the overview is not scored, and tiles that
        no scored look covers have the average.
        """
        drawn = np.ones(len(self.tiles))
        every = self.pyramid.width * self.pyramid.height
        areas = np.array([self.pyramid.box_scene(tile).area for tile in self.tiles])
        for number, look in enumerate(descent.looks):
            if not len(look.tokens):
                continue
            collect = mass_collector(look.tokens, self.tiles, self.pyramid)
            cover = collect(torch.ones(len(look.tokens))).numpy()
            seen = self._under(look.tiles)
            if number == 0 and len(descent.looks) > 1:
                # the overview alone: only what has no data is known of it
                drawn[seen & (cover <= 0)] = 0.0
                continue
            masses = collect(look.scores).numpy()
            drawn[seen] = (masses * every / areas)[seen]
        return drawn

    def reached(self, descent: Descent) -> list[Tile]:
        """Those that a descent reached, in reading order."""
        finest = descent.looks[-1]
        inside = set(self.tiles)
        return [tile for tile in finest.tiles if tile in inside] if not finest.level else []

    def is_ruled_out(self, descent: Descent) -> NDArray[np.bool_]:
        """Which tiles a coarser level rules out: no data, or under a tenth of the average."""
        result: NDArray[np.bool_] = self.attention(descent) < _RULED_OUT
        return result

    def ranked(self, likeness: SceneLikeness) -> RankedTiles:
        """The tiles by what the vectors of an index say of their places."""
        boxes = self.boxes()
        areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
        # per area: tiles at the edge are smaller, and no less likely for that
        densities = np.where(likeness.shows_data(boxes), likeness.masses(boxes) / areas, -1.0)
        order = np.argsort(-densities, kind="stable")
        return RankedTiles(tuple(self.tiles[i] for i in order), likeness.is_unlike(boxes))

    def boxes(self) -> NDArray[np.float64]:
        """The box of each tile, float64 ``(n, 4)`` as x0, y0, x1, y1 in scene pixels."""
        boxes = [self.pyramid.box_scene(tile).as_tuple() for tile in self.tiles]
        return np.array(boxes, np.float64).reshape(-1, 4)

    def _under(self, looked: Sequence[Tile]) -> NDArray[np.bool_]:
        """Which tiles lie under some tiles of one coarser level."""
        known = {(tile.row, tile.col) for tile in looked}
        level = looked[0].level if looked else 0
        return np.array([(t.row >> level, t.col >> level) in known for t in self.tiles], dtype=bool)


def indexed_places(
    session: SceneSession, looker: TileLooker, focus: str | None, focus_model: str | None = None
) -> SceneLikeness | None:
    """How like a phrase each place is by the index of a session; None where it does not lead.

    Args:
        session: The scene, the model and the index.
        looker: Whose phrase it is, and what it spends.
        focus: What the caller named; another one than ``similarity`` leads in place of the index.
        focus_model: The dual encoder that the caller named.

    Raises:
        ModelError: If the encoder is not that of the index, or cannot be loaded.
        DataError: If the index is damaged.
    """
    index = session.index
    focus = focus or default_focus(session.host, index)
    encoder_name = focus_model_of(focus, focus_model, index)
    if index is None or focus != "similarity" or encoder_name is None:
        return None
    encoder = load_dual_encoder(encoder_name)
    with looker.usage.clock.stage("focus"):
        return indexed_likeness(index, encoder, looker.phrase, looker.usage)
