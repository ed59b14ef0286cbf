"""Where the places are that a question names: found one by one, under one budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import shapely
import torch
from torch import Tensor

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.focus.presence import Presence
from geofovea.pipeline.relations.outlines import (
    Outliner,
    PlaceTokens,
    centers_within,
    tiles_around,
    token_side,
)
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.descent import Encode, score_look
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.search.multi_place import SharedTiles, Walk
from geofovea.regionfocus.search.router import is_area
from geofovea.regionfocus.search.tile_budget import start_tiles
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.geodesic import Point
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["Located", "Locator", "doubted"]

# prompted focuses weight their picks 1, 1/2, 1/3: the second pick is no rival of the first
_RIVAL_SHARE = 0.6
_MOST_RIVALS = 8
# Chosen in 48 scenes of both worlds. What had joined its surroundings filled .8 of its area or
# more, and most that filled so much had not.
_FULL_SHARE = 0.8
_FULL_DOUBT = 0.3
# What joined an outline after it first grew is mostly no part of the place, and then the place is
# smaller: an error to one side, which is half as large again where it is taken for one to both.
_JOINED_DOUBT = 1.5
# shares of the way between the centers of two outlines, and of the side that land may have joined
_DRIFT_DOUBT, _SIDE_DOUBT = 0.2, 0.6
# a first outline of fewer tokens than this says little of how large the place is
_FEW_TOKENS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """All that was looked at for some names.

    Attributes:
        places: One for each name; None for one that was not found.
        looks: What was looked at for all of them, coarse to fine; scores are those of the focus
            where it was asked, and else mark the regions.
        tokens: Those of the regions.
    """

    places: tuple[LocatedPlace | None, ...]
    looks: tuple[LevelLook, ...]
    tokens: TokenSet


class Locator:
    """Finds named places of one scene.

    A focus says where to look, and the region grows from there over what looks alike. What has an
    extent of its own (an airport) grows on the base level; a thing is walked down to first. Then
    the outline is drawn again level by level, until it is fine enough or the tiles are spent. Where
    it can be told which tiles show the place, nothing far beyond them is outlined.
    """

    def __init__(
        self, pyramid: Pyramid, grid: tuple[int, int], encode: Encode, presence: Presence
    ) -> None:
        """Keep what is asked.

        Args:
            pyramid: Of the scene.
            grid: ``(rows, cols)`` of tokens in a tile.
            encode: Makes tokens of tiles.
            presence: Says how likely a region shows what it should.
        """
        self._pyramid, self._grid = pyramid, grid
        self._encode = SharedTiles(encode)
        self._presence = presence
        self._marks: dict[Tile, Tensor] = {}

    def locate(self, foci: Sequence[tuple[str, Focus]], budget: Budget, walk: Walk) -> Located:
        """Find some places; the start is paid once, the rest of the tiles is shared evenly.

        Args:
            foci: The names, each with the focus that follows its `place_question`.
            budget: Its tiles are the most that are encoded.
            walk: Descends to a thing.

        Raises:
            BudgetError: If the budget is less than one tile.
        """
        start = start_tiles(self._pyramid, budget.tiles)
        each, over = divmod(budget.tiles - len(start), len(foci))
        places, kept = [], []
        for number, (name, focus) in enumerate(foci):
            place, region = self._one(name, focus, start, each + (number < over), walk)
            places.append(place)
            kept += [] if region is None else [region.tokens.select(region.inside)]
        return Located(tuple(places), self._looks(), self._kept(kept, start))

    def _one(
        self, name: str, focus: Focus, start: Sequence[Tile], tiles: int, walk: Walk
    ) -> tuple[LocatedPlace | None, PlaceTokens | None]:
        before = len(self._encode.cache)
        base = self._encode(start).at_level(start[-1].level)
        is_thing = self._presence.is_told_by_native_tiles(name)
        # one tile is kept to show closely whether what was outlined is what was meant
        kept = int(is_thing and tiles > 1)
        tiles -= kept

        def left() -> int:
            return tiles - max(0, len(self._encode.cache) - max(before, len(start)))

        if not len(base):
            return None, None
        level = base.tiles[0].level
        if is_area(name) or level == 0:
            look = LevelLook(level, base.tiles, base, torch.zeros(len(base)))
            looks = [score_look(look, focus, chained=False)]
        else:
            descent = walk(len(start) + (tiles + 1) // 2, self._encode, focus)
            looks = [look for look in descent.looks if look.level <= level and len(look.tokens)]
        for look in looks:
            self._mark(look.tokens, look.scores)
        if all(look.is_flat for look in looks):
            return None, None
        ground = base.features.to("cpu", torch.float64).mean(0)
        area = self._area_of(name, base, left())
        outliner = Outliner(self._pyramid, self._grid, self._encode, focus, ground, area)
        look, region = outliner.grown(looks, left())
        if is_area(name):
            region = outliner.with_surround(look, region)
        first = looks[0]
        share = _share_around(first, region.shape, self._side(first.level))
        rivals = self._rivals(name, look, region, area)
        outlines = outliner.redrawn(region, left())
        for outline in outlines:
            self._mark(outline.tokens, outline.inside.float())
        region = outlines[-1]
        if kept:
            self._encode([self._native_tile_of(region)])
        own, around = region.tokens.select(region.inside), self._tiles_over(region)
        is_there, score = self._presence.is_there(name, own, share, around)
        place = LocatedPlace(
            name,
            region.shape,
            region.level,
            self._side(region.level),
            score,
            tuple(own.tiles),
            rivals,
        )
        place = doubted(place, outlines, area)
        if is_thing:
            place = replace(place, drift=max(place.drift, _half(region)))
        return (place if is_there else None), region

    def _rivals(
        self, name: str, look: LevelLook, region: PlaceTokens, area: shapely.Geometry | None
    ) -> tuple[Point, ...]:
        """Centers of what draws about as much of the focus, away from the region.

        A model that can say what it sees has to see the same there. Beyond the area that the place
        lies in there is none.
        """
        side = self._side(look.level)
        centers = look.tokens.centers_scene
        best = _share_around(look, region.shape, side)
        free = ~_near(centers, region.shape, 1.5 * side)
        if area is not None:
            free &= centers_within(look.tokens, area)
        scores, rivals = look.scores.clone().double(), list[Point]()
        scores[~free] = 0
        total = float(look.scores.sum(dtype=torch.float64)) or 1.0
        while len(rivals) < _MOST_RIVALS and float(scores.max()) > 0:
            peak = int(scores.argmax())
            around = (centers - centers[peak]).abs().amax(1) <= 1.5 * side
            share = float(scores[around].sum()) / total
            if share < _RIVAL_SHARE * best:
                break
            scores[around] = 0
            if self._presence.is_rival(name, look.tokens.select(around), share):
                rivals.append((float(centers[peak, 0]), float(centers[peak, 1])))
        return tuple(rivals)

    def _area_of(self, name: str, base: TokenSet, tiles: int) -> shapely.Geometry | None:
        """The tiles that may show a place, of the base level or the next finer one.

        Finer ones tell it more closely, and the outline needs them anyway.

        Args:
            name: What is looked for.
            base: The tokens of the base level.
            tiles: Tiles that may be encoded.

        Returns:
            None where that cannot be told.
        """
        boxes = self._boxes_showing(name, base)
        level = base.tiles[0].level - 1
        if boxes and level > 0:
            boxes = self._finer_boxes(name, boxes, level, tiles) or boxes
        shapes = [shapely.box(*box.as_tuple()) for box in boxes]
        return shapely.union_all(shapes) if shapes else None

    def _finer_boxes(self, name: str, boxes: list[Box], level: int, tiles: int) -> list[Box]:
        """Those of the tiles of a level that may show a place, and of their neighbors in turn."""
        end, known, shown = len(self._encode.cache) + tiles, set[Tile](), list[Box]()
        margin = 0.0
        while boxes:
            near = [t for box in boxes for t in tiles_around(self._pyramid, level, box, margin)]
            fresh = list(dict.fromkeys(tile for tile in near if tile not in known))
            missing = sum(tile not in self._encode.cache for tile in fresh)
            if not fresh or len(self._encode.cache) + missing > end:
                break
            known.update(fresh)
            boxes = self._boxes_showing(name, self._encode(fresh))
            shown += boxes
            margin = 1.0
        return shown

    def _boxes_showing(self, name: str, tokens: TokenSet) -> list[Box]:
        """Those of the tiles that may show a place; not of what the edge of the scene cuts.

        Of such a tile too little is shown to tell, unless there is no other.
        """
        shown = self._presence.tiles_showing(name, tokens)
        boxes = {tile: self._pyramid.box_scene(tile) for tile in shown}
        side = {tile: self._pyramid.tile_size * 2.0**tile.level for tile in shown}
        whole = [box for tile, box in boxes.items() if box.area >= side[tile] ** 2 / 2]
        return whole or list(boxes.values())

    def _native_tile_of(self, region: PlaceTokens) -> Tile:
        """The native tile over the middle of a region."""
        x, y = region.box.center
        return self._pyramid.tiles_over(0, Box(x - 0.5, y - 0.5, x + 0.5, y + 0.5))[0]

    def _tiles_over(self, region: PlaceTokens) -> list[TokenSet]:
        """What was encoded of the tiles over a region, up to the base level."""
        levels = range(self._pyramid.base_level + 1)
        box, pyramid = region.box, self._pyramid
        over = [tile for level in levels for tile in tiles_around(pyramid, level, box, 0)]
        return [self._encode.cache[tile] for tile in over if tile in self._encode.cache]

    def _side(self, level: int) -> float:
        return token_side(self._pyramid, self._grid, level)

    def _mark(self, tokens: TokenSet, scores: Tensor) -> None:
        for index, tile in enumerate(tokens.tiles):
            own = scores[tokens.tile_index == index].detach().to("cpu", torch.float32)
            self._marks[tile] = self._marks.get(tile, 0) + own

    def _looks(self) -> tuple[LevelLook, ...]:
        by_level: dict[int, list[Tile]] = {}
        for tile in sorted(self._encode.cache):
            by_level.setdefault(tile.level, []).append(tile)
        looks = []
        for level, tiles in sorted(by_level.items(), reverse=True):
            sets = [self._encode.cache[tile] for tile in tiles]
            scores = [
                self._marks.get(tile, torch.zeros(len(one)))
                for tile, one in zip(tiles, sets, strict=True)
            ]
            looks.append(LevelLook(level, tuple(tiles), TokenSet.concat(sets), torch.cat(scores)))
        return tuple(looks)

    def _kept(self, kept: Sequence[TokenSet], start: Sequence[Tile]) -> TokenSet:
        """The tokens of all regions, each once."""
        tokens = (
            TokenSet.concat(list(kept)) if kept else self._encode(start).select(torch.arange(0))
        )
        if not len(tokens):
            return tokens
        keys = torch.cat([tokens.levels[:, None].double(), tokens.boxes_scene], dim=1)
        _, first = torch.unique(keys, dim=0, return_inverse=True)
        seen = {int(group): i for i, group in reversed(list(enumerate(first.tolist())))}
        return tokens.select(torch.tensor(sorted(seen.values()))).in_reading_order()


def _half(region: PlaceTokens) -> float:
    """Half of a region, in scene pixels: a thing stands somewhere in it, on the same ground."""
    box = region.box
    return max(box.width, box.height) / 2


def doubted(
    place: LocatedPlace, outlines: Sequence[PlaceTokens], area: shapely.Geometry | None
) -> LocatedPlace:
    """A place with what its outlines tell of land that may have joined it.

    Finer outlines are smaller than the coarse ones that they mend. One that is larger took in what
    the first left out. So did one that fills the area that the place may lie in.

    Args:
        place: What was outlined last.
        outlines: As they were drawn, one after the other.
        area: Where it may lie, in scene pixels; None where nobody knows.
    """
    is_full = area is not None and place.region.area >= _FULL_SHARE * area.area
    joined = _joined_share(outlines)
    doubt = math.hypot(_JOINED_DOUBT * joined, _FULL_DOUBT if is_full else 0.0)
    side = math.sqrt(place.region.area)
    drift = math.hypot(_DRIFT_DOUBT * _drift(outlines), _SIDE_DOUBT * joined * side)
    return replace(place, area_doubt=doubt, drift=drift)


def _joined_share(outlines: Sequence[PlaceTokens]) -> float:
    """The share of the last of several outlines by which it is larger than the first."""
    first = next((one for one in outlines if one.count >= _FEW_TOKENS), outlines[-1])
    return max(0.0, 1 - float(first.shape.area / outlines[-1].shape.area))


def _drift(outlines: Sequence[PlaceTokens]) -> float:
    """How far the center of the last of several outlines lies from those of the others."""
    *earlier, last = (outline.shape.centroid for outline in outlines)
    return max((last.distance(center) for center in earlier), default=0.0)


def _share_around(look: LevelLook, shape: shapely.Geometry, side: float) -> float:
    """The share of a look's scores that falls on a shape and what is a token away, in [0, 1]."""
    near = _near(look.tokens.centers_scene, shape, side)
    total = float(look.scores.sum(dtype=torch.float64))
    return min(1.0, float(look.scores[near].sum(dtype=torch.float64)) / total) if total else 0.0


def _near(points: Tensor, shape: shapely.Geometry, distance: float) -> Tensor:
    grown = shape.buffer(distance, join_style="mitre")
    inside = shapely.intersects_xy(grown, points[:, 0].numpy(), points[:, 1].numpy())
    return torch.from_numpy(inside)
