"""How a place is outlined: from the tokens that the focus points at to all that show it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import shapely
import torch
from torch import Tensor

from geofovea.regionfocus.focus import Focus
from geofovea.regionfocus.search.descent import score_look
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.regionfocus.search.multi_place import SharedTiles
from geofovea.regionfocus.selection.grown import (
    LIKENESS,
    grow_region,
    redraw_region,
    with_surround,
)
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

__all__ = ["Outliner", "PlaceTokens", "centers_within", "tiles_around", "token_side"]

_ENOUGH_TOKENS = 36
"""A region of so many tokens is drawn well enough: six across."""

_MANY_TOKENS = 100
"""A region of fewer tokens is drawn once more, finer than it grew: neighbors may have joined it."""

_FEW_TOKENS = 12
"""A region of fewer tokens may be two neighbors in one."""

_MOST_FOLLOWED = 12

_MARGIN = 1 / 8
"""How far a place reaches beyond the tiles that show it, in sides of a tile of the base level."""

_LIKENESSES = (LIKENESS, 0.5, 0.65, 0.8)
_FULL_SHARE = 0.7
"""What takes up more of the area that it may lie in has joined what is around it."""


@dataclass(frozen=True, slots=True, eq=False)
class PlaceTokens:
    """Tokens of one level that show a place, among those that were looked at there.

    Attributes:
        tokens: All that were looked at.
        inside: Which of them show the place, bool ``(n,)``.
    """

    tokens: TokenSet
    inside: Tensor

    @property
    def count(self) -> int:
        """How many show it."""
        return int(self.inside.sum())

    @property
    def boxes(self) -> list[Box]:
        """Those of the tokens that show it, in scene pixels."""
        return [Box(*corners) for corners in self.tokens.boxes_scene[self.inside].tolist()]

    @property
    def shape(self) -> shapely.Geometry:
        """What they cover, in scene pixels."""
        return shapely.union_all([shapely.box(*box.as_tuple()) for box in self.boxes])

    @property
    def box(self) -> Box:
        """The box around what they cover, in scene pixels."""
        return Box(*self.shape.bounds)

    @property
    def level(self) -> int:
        """The level of its tokens."""
        return self.tokens.tiles[0].level


@dataclass(frozen=True, slots=True, eq=False)
class Outliner:
    """Draws the outline of one place.

    Attributes:
        pyramid: Of the scene.
        grid: ``(rows, cols)`` of tokens in a tile.
        encode: Makes tokens of tiles, each once.
        focus: Says again which of two neighbors that look alike is meant.
        ground: The mean feature of the scene, ``(d,)``.
        area: Where its peak lies, in scene pixels; nothing farther than a token beyond joins it.
            None where nobody knows.
    """

    pyramid: Pyramid
    grid: tuple[int, int]
    encode: SharedTiles
    focus: Focus
    ground: Tensor
    area: shapely.Geometry | None = None

    def side(self, level: int) -> float:
        """Of a token of a level, in scene pixels."""
        return token_side(self.pyramid, self.grid, level)

    def grown(self, looks: Sequence[LevelLook], tiles: int) -> tuple[LevelLook, PlaceTokens]:
        """The place on the finest look that shows all of it.

        What goes on beyond the tiles of a look is followed into their neighbors. What takes more
        of them than there are is seen from farther away, as far as it is large enough there.

        Args:
            looks: Coarse to fine, at least one, with the scores of the focus.
            tiles: Tiles that may be encoded.
        """
        end, best = len(self.encode.cache) + tiles, None
        for seen in reversed(looks):
            if best and best[1].shape.area < self.side(seen.level) ** 2:
                break
            look, region, is_whole = self._followed(seen, end - len(self.encode.cache))
            best = look, region
            if is_whole:
                break
        assert best is not None  # noqa: S101 - there is a look
        return best

    def with_surround(self, look: LevelLook, region: PlaceTokens) -> PlaceTokens:
        """An area with what encloses the part of it that stands out."""
        size, tokens = self.pyramid.tile_size, look.tokens
        inside = with_surround(tokens, look.scores, region.inside, self.grid, size, self.ground)
        return PlaceTokens(tokens, region.inside | (inside & self._may_join(tokens)))

    def redrawn(self, region: PlaceTokens, tiles: int) -> tuple[PlaceTokens, ...]:
        """The place, and again on finer levels, while it has few tokens and there are tiles."""
        end, outlines = len(self.encode.cache) + tiles, [region]
        while region.level > 0 and region.count < _wanted_tokens(region, outlines[0]):
            if region.count >= _FEW_TOKENS:
                # how far it reaches is told by a few tiles here, and by many on a finer level
                left = end - len(self.encode.cache)
                region = self._drawn(region, region.level, left) or region
                outlines.append(region)
            left = end - len(self.encode.cache)
            wants_more = region.count < _wanted_tokens(region, outlines[0])
            finer = wants_more and self._drawn(region, region.level - 1, left)
            if not finer:
                break
            region = finer
            outlines.append(region)
        return tuple(outlines)

    def _followed(self, look: LevelLook, tiles: int) -> tuple[LevelLook, PlaceTokens, bool]:
        """A look with the tiles that its region goes on in; whether it shows all of the region."""

        def grown(tokens: TokenSet) -> Tensor:
            return self._around_peak(tokens, _padded(look.scores, tokens))

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
    ) -> tuple[PlaceTokens | None, bool]:
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
        end, region = len(self.encode.cache) + most, None
        level, covered, missing = tiles[0].level, list(tiles), [] if tokens else list(tiles)
        while True:
            fresh = sum(tile not in self.encode.cache for tile in missing)
            if len(self.encode.cache) + fresh > end:
                return region, False
            more = [self.encode(missing)] if missing else []
            tokens = TokenSet.concat([*([tokens] if tokens else []), *more])
            inside = draw(tokens) if len(tokens) else torch.zeros(0, dtype=torch.bool)
            if not inside.any():
                return None, False
            region = PlaceTokens(tokens, inside)
            around = tiles_around(self.pyramid, level, region.box, self.side(level) / 4)
            missing = [tile for tile in around if tile not in covered]
            if not missing or len(missing) > _MOST_FOLLOWED:
                return region, not missing
            covered += missing

    def _drawn(self, region: PlaceTokens, level: int, tiles: int) -> PlaceTokens | None:
        """The region drawn on its own level or a finer one, followed beyond the tiles over it.

        Compared with what is around it, a place may reach farther than it grew. None where it shows
        nothing or only a part, or more tiles would be needed than there are: a region that a tile
        cuts has its center elsewhere, and the one before is whole.
        """
        wanted = tiles_around(self.pyramid, level, region.box, self.side(region.level))
        if not wanted:
            return None
        drawn, is_whole = self._drawn_over(
            wanted, lambda tokens: self._finer(region, tokens), tiles
        )
        return drawn if drawn and is_whole and not self._is_lost(region, drawn) else None

    def _is_lost(self, region: PlaceTokens, drawn: PlaceTokens) -> bool:
        """Whether more than the edges of a region is gone where it was drawn again.

        Something in the place stood out then. A token all along them is what edges mend at most.
        """
        core = region.shape.buffer(-self.side(region.level), join_style="mitre")
        return bool(drawn.shape.area < core.area)

    def _finer(self, region: PlaceTokens, tokens: TokenSet) -> Tensor:
        """The tokens of a finer level that show a region.

        A few coarse tokens may hold two neighbors that look alike; so the focus is asked again
        which of them is meant. So it is where what looks alike around the place joined it.
        """
        size, may_join = self.pyramid.tile_size, self._may_join(tokens)
        drawn = redraw_region(tokens, region.boxes, self.grid, size, may_join)
        if region.count < _FEW_TOKENS or self._is_full(drawn, may_join):
            tiles = tuple(sorted(tokens.tiles))
            look = LevelLook(tiles[0].level, tiles, tokens, torch.zeros(len(tokens)))
            look = score_look(look, self.focus, chained=False)
            if not look.is_flat:
                return self._around_peak(tokens, look.scores)
        return drawn

    def _around_peak(self, tokens: TokenSet, scores: Tensor) -> Tensor:
        """The tokens around the best one that look like it; more so where too much does."""
        size, may_join = self.pyramid.tile_size, self._may_join(tokens)
        if self.area is None:
            return grow_region(tokens, scores, self.grid, size, self.ground)
        likely = scores * centers_within(tokens, self.area).to(scores.dtype)
        scores = likely if float(likely.sum()) > 0 else scores
        inside = may_join
        for likeness in _LIKENESSES:
            inside = grow_region(
                tokens, scores, self.grid, size, self.ground, likeness, may_join=may_join
            )
            if not self._is_full(inside, may_join):
                break
        return inside

    def _is_full(self, inside: Tensor, may_join: Tensor) -> bool:
        is_full = int(inside.sum()) >= _FULL_SHARE * int(may_join.sum())
        return self.area is not None and is_full

    def _may_join(self, tokens: TokenSet) -> Tensor:
        if self.area is None:
            return torch.ones(len(tokens), dtype=torch.bool)
        # what of the place reaches into the next tile is too little to be told there
        margin = self.pyramid.tile_size * 2.0**self.pyramid.base_level * _MARGIN
        return centers_within(tokens, self.area.buffer(margin, join_style="mitre"))


def token_side(pyramid: Pyramid, grid: tuple[int, int], level: int) -> float:
    """The longer side of a token of a level, in scene pixels; ``grid`` is that of a tile."""
    return pyramid.tile_size * 2.0**level / min(grid)


def tiles_around(pyramid: Pyramid, level: int, box: Box, margin: float) -> list[Tile]:
    """The tiles of a level over a box and some scene pixels around it."""
    window = Box(box.x0 - margin, box.y0 - margin, box.x1 + margin, box.y1 + margin)
    inside = window.intersection(Box(0, 0, pyramid.width, pyramid.height))
    return [] if inside is None else list(pyramid.tiles_over(level, inside))


def centers_within(tokens: TokenSet, shape: shapely.Geometry) -> Tensor:
    """Which tokens have their center within a shape of scene pixels, bool ``(n,)``."""
    x, y = tokens.centers_scene.unbind(1)
    return torch.from_numpy(shapely.intersects_xy(shape, x.numpy(), y.numpy()))


def _wanted_tokens(region: PlaceTokens, grown: PlaceTokens) -> int:
    """How many tokens end the drawing of a region that first grew as another one."""
    return _MANY_TOKENS if region.level == grown.level else _ENOUGH_TOKENS


def _padded(scores: Tensor, tokens: TokenSet) -> Tensor:
    """Scores of the first of some tokens, and zero for those that were added after them."""
    return torch.cat([scores, scores.new_zeros(len(tokens) - len(scores))])
