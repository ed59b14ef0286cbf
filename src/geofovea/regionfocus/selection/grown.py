"""From the token that a focus points at to all tokens of the same thing: its extent.

A focus says where to look, and that is often one corner of what was meant: the attention for a word
falls on what tells the thing apart. The rest of the thing looks like that corner and touches it, so
a region grows from the peak over neighbors with similar features (region growing, after Adams and
Bischof, IEEE TPAMI 16(6), 1994). One level finer the same region is drawn again with sharper edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.token_neighbors import neighbors_of
from geofovea.regionfocus.tokens import TokenSet, token_cells
from geofovea.tiling.pyramid import Box

__all__ = ["LIKENESS", "grow_region", "redraw_region", "with_surround"]

LIKENESS = 0.35
"""Cosine of centered features from which on a token looks like the peak."""

SURROUND_RATIO = 5.0
"""How many times the attention of all else a token of the surround draws, if it is of one thing."""

_SEED_SHARE = 0.2
_ENCLOSED_SHARE = 0.5
_ROUNDS = 3


def grow_region(
    tokens: TokenSet,
    scores: Tensor,
    grid: tuple[int, int],
    tile_size: int,
    ground: Tensor | None = None,
    likeness: float = LIKENESS,
    may_join: Tensor | None = None,
) -> Tensor:
    """The connected tokens around the best one that look like it, bool ``(n,)``.

    Features are compared after the mean of the scene is taken away: what all tokens share tells
    none apart.

    Args:
        tokens: n tokens of one level.
        scores: What a focus gave them, ``(n,)``, at least zero.
        grid: ``(rows, cols)`` of tokens in a tile.
        tile_size: Side of a tile in level pixels.
        ground: The mean feature of the scene, ``(d,)``; that of these tokens if None.
        likeness: The least cosine, in (-1, 1).
        may_join: Which tokens may be of it besides the best one, bool ``(n,)``; all if None.

    Raises:
        GeometryError: If there is no token, or the tokens are of several levels.
    """
    _check_level(tokens)
    peak = int(scores.argmax())
    features = tokens.features.to("cpu", torch.float64)
    mean = features.mean(0) if ground is None else ground.to("cpu", torch.float64)
    features = _unit(features - mean)
    weights = scores.to("cpu", torch.float64)
    weights = torch.where(weights >= _SEED_SHARE * weights.max(), weights, 0.0)
    like = features @ _unit(weights @ features) >= likeness
    if may_join is not None:
        like &= may_join
    like[peak] = True
    return _connected(tokens, like, peak, grid, tile_size)


def with_surround(
    tokens: TokenSet,
    scores: Tensor,
    region: Tensor,
    grid: tuple[int, int],
    tile_size: int,
    ground: Tensor | None = None,
) -> Tensor:
    """A region with what encloses it, where the focus holds both for one thing; bool ``(n,)``.

    What stands out of a thing may be outlined alone: the pad of an airport, the pitch of a stadium.
    Around it lies an even surround, the rest of the thing. Unlike the land beyond, it draws some
    attention, too. So tokens join the region that look like what touches it, are connected to it,
    and each draw at least `SURROUND_RATIO` times the median of what lies beyond. They do so only
    together, and where they enclose the region. Land that goes on beyond the thing and looks like
    its surround stays out, for it draws less.

    Args:
        tokens: n tokens of one level, far beyond the region.
        scores: What a focus gave them, ``(n,)``, at least zero.
        region: Which of them are the region, bool ``(n,)``.
        grid: ``(rows, cols)`` of tokens in a tile.
        tile_size: Side of a tile in level pixels.
        ground: See `grow_region`.

    Raises:
        GeometryError: If there is no token, or the tokens are of several levels.
    """
    _check_level(tokens)
    ring = _ring(tokens, region)
    if not ring.any():
        return region
    features = tokens.features.to("cpu", torch.float64)
    mean = features.mean(0) if ground is None else ground.to("cpu", torch.float64)
    features = _unit(features - mean)
    like = features @ _unit(features[ring].mean(0)) >= LIKENESS
    beyond = ~(ring | region)
    if not beyond.any():
        return region
    draws = (scores > 0) & (scores >= SURROUND_RATIO * scores[beyond].median())
    parts = _components(tokens, (like & draws) | region, grid, tile_size)
    surround = (parts == parts[region][0]) & ~region
    encloses = int((surround & ring).sum()) >= _ENCLOSED_SHARE * int(ring.sum())
    return region | surround if encloses else region


def redraw_region(
    tokens: TokenSet,
    region: Sequence[Box],
    grid: tuple[int, int],
    tile_size: int,
    may_join: Tensor | None = None,
) -> Tensor:
    """The same region on a finer level, bool ``(n,)``; never empty where it shows anything.

    Tokens inside of the coarse region and those around it give two means, each token joins the
    nearer one, and so on for a few rounds (Lloyd's algorithm with two centers).

    Args:
        tokens: n tokens of one level, from tiles over the region and around it.
        region: Boxes of the coarse tokens, in scene pixels.
        grid: ``(rows, cols)`` of tokens in a tile.
        tile_size: Side of a tile in level pixels.
        may_join: Which tokens may be of it, bool ``(n,)``; all if None.

    Raises:
        GeometryError: If there is no token, or the tokens are of several levels.
    """
    _check_level(tokens)
    x, y = tokens.centers_scene.unbind(1)
    before = torch.zeros(len(tokens), dtype=torch.bool)
    for box in region:
        before |= (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
    if may_join is not None and (before & may_join).any():
        before &= may_join
    if not before.any():
        return before
    features = _unit(tokens.features.to("cpu", torch.float64))
    inside = before.clone()
    for _ in range(_ROUNDS):
        if not inside.any() or inside.all():
            break
        far, near = features[~inside].mean(0), features[inside].mean(0)
        inside = (features - near).square().sum(1) < (features - far).square().sum(1)
        if may_join is not None:
            inside &= may_join
    seeds = inside & before
    inside = inside if seeds.any() else before
    seeds = inside & before
    parts = _components(tokens, inside, grid, tile_size)
    counts = torch.bincount(parts[seeds])
    return parts == int(counts.argmax())


def _connected(
    tokens: TokenSet, like: Tensor, peak: int, grid: tuple[int, int], tile_size: int
) -> Tensor:
    parts = _components(tokens, like, grid, tile_size)
    return parts == int(parts[peak])


def _components(tokens: TokenSet, member: Tensor, grid: tuple[int, int], tile_size: int) -> Tensor:
    """The number of the connected part of each member, int64 ``(n,)``; -1 for all others.

    Tokens are connected that share an edge.
    """
    places = _addresses(tokens, grid, tile_size).tolist()
    index = {(row, col): i for i, (row, col) in enumerate(places) if member[i]}
    parts = torch.full((len(tokens),), -1, dtype=torch.int64)
    number = 0
    for start in index.values():
        if parts[start] >= 0:
            continue
        stack = [start]
        parts[start] = number
        while stack:
            row, col = places[stack.pop()]
            for step in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
                other = index.get(step)
                if other is not None and parts[other] < 0:
                    parts[other] = number
                    stack.append(other)
        number += 1
    return parts


def _ring(tokens: TokenSet, region: Tensor) -> Tensor:
    """The tokens that touch a region, at corners too, and are not of it; bool ``(n,)``."""
    neighbors = neighbors_of(tokens)
    return (region[neighbors] & (neighbors >= 0)).any(1) & ~region


def _addresses(tokens: TokenSet, grid: tuple[int, int], tile_size: int) -> Tensor:
    """Row and column of each token among all of its level, int64 ``(n, 2)``."""
    cells = token_cells(tokens, grid, tile_size)
    tiles = torch.tensor([(tile.row, tile.col) for tile in tokens.tiles])[tokens.tile_index]
    return cells + tiles * torch.tensor(grid)


def _check_level(tokens: TokenSet) -> None:
    levels = {tile.level for tile in tokens.tiles}
    if not len(tokens) or len(levels) != 1:
        raise GeometryError(
            f"a region needs tokens of one level, got {len(tokens)} of levels {sorted(levels)}"
        )


def _unit(vectors: Tensor) -> Tensor:
    return torch.nn.functional.normalize(vectors, dim=-1)
