"""Where the places are that a question names: found one by one, under one budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import shapely
import torch
from torch import Tensor

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.presence import Presence
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.descent import Encode, score_look
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.search.multi_place import SharedTiles, Walk
from geofovea.regionfocus.search.router import is_area
from geofovea.regionfocus.search.tile_budget import start_tiles
from geofovea.regionfocus.selection.grown import grow_region, redraw_region, with_surround
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.geo.geodesic import Point
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["Located", "Locator"]

_ENOUGH_TOKENS = 36
"""A region of so many tokens is drawn well enough: six across."""

_MANY_TOKENS = 100
"""A region of fewer tokens is drawn once more, finer than it grew: neighbors may have joined it."""

_FEW_TOKENS = 12
"""A region of fewer tokens may be two neighbors in one."""

# prompted focuses weight their picks 1, 1/2, 1/3: the second pick is no rival of the first
_RIVAL_SHARE = 0.6
_MOST_FOLLOWED = 12
_MOST_RIVALS = 8


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


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """Tokens of one level that show a place, among those that were looked at there."""

    tokens: TokenSet
    inside: Tensor

    @property
    def count(self) -> int:
        return int(self.inside.sum())

    @property
    def boxes(self) -> list[Box]:
        return [Box(*corners) for corners in self.tokens.boxes_scene[self.inside].tolist()]

    @property
    def shape(self) -> shapely.Geometry:
        return shapely.union_all([shapely.box(*box.as_tuple()) for box in self.boxes])

    @property
    def level(self) -> int:
        return self.tokens.tiles[0].level


class Locator:
    """Finds named places of one scene.

    A focus says where to look, and the region grows from there over what looks alike. What has an
    extent of its own (an airport) grows on the base level; a thing is walked down to first. Then
    the outline is drawn again level by level, until it is fine enough or the tiles are spent.
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
    ) -> tuple[LocatedPlace | None, _Region | None]:
        before = len(self._encode.cache)
        base = self._encode(start).at_level(start[-1].level)
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
        spent = max(0, len(self._encode.cache) - max(before, len(start)))
        ground = looks[0].tokens.features.to("cpu", torch.float64).mean(0)
        look, region = self._grown(looks, ground, tiles - spent)
        if is_area(name):
            region = self._with_surround(look, region, ground)
        first = looks[0]
        share = _share_around(first, region.shape, self._side(first.level))
        rivals = self._rivals(name, look, region)
        spent = max(0, len(self._encode.cache) - max(before, len(start)))
        outlines = self._redrawn(region, focus, ground, tiles - spent)
        region = outlines[-1]
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
            _drift(outlines),
        )
        return (place if is_there else None), region

    def _grown(
        self, looks: Sequence[LevelLook], ground: Tensor, tiles: int
    ) -> tuple[LevelLook, _Region]:
        """The region on the finest look that shows all of it.

        What goes on beyond the tiles of a look is followed into their neighbors. What takes more
        of them than there are is seen from farther away, as far as it is large enough there.
        """
        best: tuple[LevelLook, _Region] | None = None
        for seen in reversed(looks):
            if best and best[1].shape.area < self._side(seen.level) ** 2:
                break
            look, region, is_whole = self._followed(seen, ground, tiles)
            best = look, region
            if is_whole:
                break
        assert best is not None  # noqa: S101 - there is a look
        return best

    def _followed(
        self, look: LevelLook, ground: Tensor, tiles: int
    ) -> tuple[LevelLook, _Region, bool]:
        """A look with the tiles that its region goes on in; whether it shows all of the region."""
        size = self._pyramid.tile_size

        def grown(tokens: TokenSet) -> Tensor:
            return grow_region(tokens, _padded(look.scores, tokens), self._grid, size, ground)

        most = min(tiles, _MOST_FOLLOWED)
        region, is_whole = self._drawn_over(look.tiles, grown, most, look.tokens)
        assert region is not None  # noqa: S101 - the tiles of a look are there, and it has a peak
        scores = _padded(look.scores, region.tokens)
        return LevelLook(look.level, region.tokens.tiles, region.tokens, scores), region, is_whole

    def _drawn_over(
        self,
        tiles: Sequence[Tile],
        draw: Callable[[TokenSet], Tensor],
        most: int,
        tokens: TokenSet | None = None,
    ) -> tuple[_Region | None, bool]:
        """A region drawn over some tiles, and over their neighbors while it goes on in them.

        Args:
            tiles: Where it begins, of one level.
            draw: Which of some tokens are of the region.
            most: Tiles that may be encoded.
            tokens: Those of the tiles, if they are there; those of further tiles follow them.

        Returns:
            What was drawn, None where nothing is; and whether it is whole, or ended for want of
            tiles.
        """
        end, region = len(self._encode.cache) + most, None
        level, covered, missing = tiles[0].level, list(tiles), [] if tokens else list(tiles)
        while True:
            fresh = sum(tile not in self._encode.cache for tile in missing)
            if len(self._encode.cache) + fresh > end:
                return region, False
            more = [self._encode(missing)] if missing else []
            tokens = TokenSet.concat([*([tokens] if tokens else []), *more])
            inside = draw(tokens) if len(tokens) else torch.zeros(0, dtype=torch.bool)
            if not inside.any():
                return None, False
            region = _Region(tokens, inside)
            around = self._around(region, level, self._side(level) / 4)
            missing = [tile for tile in around if tile not in covered]
            if not missing or len(missing) > _MOST_FOLLOWED:
                return region, not missing
            covered += missing

    def _with_surround(self, look: LevelLook, region: _Region, ground: Tensor) -> _Region:
        """An area with what encloses the part of it that stands out."""
        size = self._pyramid.tile_size
        inside = with_surround(look.tokens, look.scores, region.inside, self._grid, size, ground)
        return _Region(look.tokens, inside)

    def _around(self, region: _Region, level: int, margin: float) -> list[Tile]:
        """The tiles of a level over a region and some pixels around it."""
        x0, y0, x1, y1 = region.shape.bounds
        window = Box(x0 - margin, y0 - margin, x1 + margin, y1 + margin)
        inside = window.intersection(Box(0, 0, self._pyramid.width, self._pyramid.height))
        return [] if inside is None else list(self._pyramid.tiles_over(level, inside))

    def _redrawn(
        self, region: _Region, focus: Focus, ground: Tensor, tiles: int
    ) -> tuple[_Region, ...]:
        """The region, and again on finer levels, while it has few tokens and there are tiles."""
        end, outlines = len(self._encode.cache) + tiles, [region]
        while region.level > 0 and region.count < _wanted_tokens(region, outlines[0]):
            if region.count >= _FEW_TOKENS:
                # how far it reaches is told by a few tiles here, and by many on a finer level
                left = end - len(self._encode.cache)
                region = self._drawn(region, region.level, focus, ground, left) or region
                outlines.append(region)
            left = end - len(self._encode.cache)
            wants_more = region.count < _wanted_tokens(region, outlines[0])
            finer = wants_more and self._drawn(region, region.level - 1, focus, ground, left)
            self._mark(region.tokens, region.inside.float())
            if not finer:
                break
            region = finer
            outlines.append(region)
        return tuple(outlines)

    def _drawn(
        self, region: _Region, level: int, focus: Focus, ground: Tensor, tiles: int
    ) -> _Region | None:
        """The region drawn on its own level or a finer one, followed beyond the tiles over it.

        Compared with what is around it, a place may reach farther than it grew. None where it shows
        nothing, or more tiles would be needed than there are: a region that a tile cuts has its
        center elsewhere, and the one before is whole.
        """
        wanted = self._around(region, level, self._side(region.level))
        if not wanted:
            return None
        drawn, is_whole = self._drawn_over(
            wanted, lambda tokens: self._finer(region, tokens, focus, ground), tiles
        )
        return drawn if is_whole else None

    def _finer(self, region: _Region, tokens: TokenSet, focus: Focus, ground: Tensor) -> Tensor:
        """The tokens of a finer level that show a region.

        A few coarse tokens may hold two neighbors that look alike; so the focus is asked again
        which of them is meant.
        """
        size = self._pyramid.tile_size
        if region.count < _FEW_TOKENS:
            tiles = tuple(sorted(tokens.tiles))
            look = LevelLook(tiles[0].level, tiles, tokens, torch.zeros(len(tokens)))
            look = score_look(look, focus, chained=False)
            if not look.is_flat:
                return grow_region(tokens, look.scores, self._grid, size, ground)
        return redraw_region(tokens, region.boxes, self._grid, size)

    def _rivals(self, name: str, look: LevelLook, region: _Region) -> tuple[Point, ...]:
        """Centers of what draws about as much of the focus, away from the region.

        A model that can say what it sees has to see the same there.
        """
        side = self._side(look.level)
        boxes = look.tokens.boxes_scene
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        best = _share_around(look, region.shape, side)
        free = ~_near(centers, region.shape, 1.5 * side)
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

    def _tiles_over(self, region: _Region) -> list[TokenSet]:
        """What was encoded of the tiles over a region, up to the base level."""
        levels = range(self._pyramid.base_level + 1)
        over = [tile for level in levels for tile in self._around(region, level, 0)]
        return [self._encode.cache[tile] for tile in over if tile in self._encode.cache]

    def _side(self, level: int) -> float:
        return self._pyramid.tile_size * 2.0**level / min(self._grid)

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


def _wanted_tokens(region: _Region, grown: _Region) -> int:
    """How many tokens end the drawing of a region that first grew as another one."""
    return _MANY_TOKENS if region.level == grown.level else _ENOUGH_TOKENS


def _padded(scores: Tensor, tokens: TokenSet) -> Tensor:
    """Scores of the first of some tokens, and zero for those that were added after them."""
    return torch.cat([scores, scores.new_zeros(len(tokens) - len(scores))])


def _drift(outlines: Sequence[_Region]) -> float:
    """How far the center of the last of several outlines lies from those of the others."""
    *earlier, last = (outline.shape.centroid for outline in outlines)
    return max((last.distance(center) for center in earlier), default=0.0)


def _share_around(look: LevelLook, shape: shapely.Geometry, side: float) -> float:
    """The share of a look's scores that falls on a shape and what is a token away, in [0, 1]."""
    boxes = look.tokens.boxes_scene
    near = _near((boxes[:, :2] + boxes[:, 2:]) / 2, shape, side)
    total = float(look.scores.sum(dtype=torch.float64))
    return min(1.0, float(look.scores[near].sum(dtype=torch.float64)) / total) if total else 0.0


def _near(points: Tensor, shape: shapely.Geometry, distance: float) -> Tensor:
    grown = shape.buffer(distance, join_style="mitre")
    inside = shapely.intersects_xy(grown, points[:, 0].numpy(), points[:, 1].numpy())
    return torch.from_numpy(inside)
