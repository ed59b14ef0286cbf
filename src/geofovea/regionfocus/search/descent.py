"""The descent: look coarsely, score, look closer where the score lies, down to native.

Its cost is the number of tiles encoded, which the budget bounds; the size of the scene enters only
through the number of levels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.focus import Focus, score_each
from geofovea.regionfocus.scoring import as_masses, chain_masses, mass_collector
from geofovea.regionfocus.search.diversity import BestOnly, Diversity
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.search.stopping import NeverStop, StopRule
from geofovea.regionfocus.search.tile_budget import GeometricSplit, Split, start_tiles
from geofovea.regionfocus.tokens import TokenSet
from geofovea.regionfocus.uniform_sampling import spread_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = [
    "Encode",
    "descend",
    "encode_looks",
    "find_candidates",
    "score_look",
    "score_looks",
]

Encode = Callable[[Sequence[Tile]], TokenSet]
"""Reads and encodes tiles; a tile that shows no data may yield no token."""


def descend(
    pyramid: Pyramid,
    budget_tiles: int,
    encode: Encode,
    focus: Focus,
    *,
    split: Split | None = None,
    chained: bool = False,
    diversity: Diversity | None = None,
    stop: StopRule | None = None,
    deadline: float | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Descent:
    """Walk from the start tiles toward native, under a tile budget.

    The candidates of a level are the tiles under those with tokens on the level before. The best
    are taken by score, then in reading order. If scores are flat, tiles are spread over the plane
    instead, because the first in reading order would all lie in one corner. Tiles that a level
    cannot use are left to the next finer one.

    The overview gets equal scores and is not scored by the focus, unless it is the whole start:
    nothing would be chosen by its scores.

    Args:
        pyramid: The pyramid of the scene.
        budget_tiles: Tiles that may be encoded, the overview included.
        encode: Makes the tokens of tiles; called once per level, never twice for a tile.
        focus: Scores the tokens of a level.
        split: How the budget is shared over levels; `GeometricSplit` by default.
        chained: Whether scores are carried down as those of chains (see
            `geofovea.regionfocus.scoring`); otherwise those of a level stand for themselves.
        diversity: Chooses among the candidates of a level; `BestOnly` by default.
        stop: May end the descent early; `NeverStop` by default.
        deadline: Reading of ``clock`` after which no further level is begun.
        clock: A monotonic clock in seconds.

    Raises:
        BudgetError: If the budget is less than one tile.
        ModelError: If the encoder answers with other tiles, or the focus with other shapes.
    """
    split, stop = split or GeometricSplit(), stop or NeverStop()
    diversity = diversity or BestOnly()
    start = start_tiles(pyramid, budget_tiles)
    plan = split.tiles_per_level(pyramid, budget_tiles)
    *looks, last = encode_looks(encode, start)
    looks.append(score_look(last, focus, chained=chained))
    remaining, spare = budget_tiles - len(start), 0
    stopped, is_blind = "", looks[-1].is_flat
    for level in sorted((lv for lv in plan if lv < last.level), reverse=True):
        if deadline is not None and clock() >= deadline:
            stopped = "time"
            break
        candidates, scores = find_candidates(pyramid, looks[-1], level)
        if not candidates:
            stopped = "nodata"
            break
        if reason := stop.reason(scores, looks):
            stopped = reason
            break
        count = min(plan[level] + spare, remaining)
        # chained scores of equal shares differ by rounding alone
        if is_blind if chained else looks[-1].is_flat:
            tiles = spread_tiles(candidates, count)
        else:
            tiles = sorted(diversity.choose(candidates, scores, count, (), last.level))
        spare, remaining = plan[level] + spare - len(tiles), remaining - len(tiles)
        if tiles:
            masses = dict(zip(candidates, scores.tolist(), strict=True)) if chained else None
            (look,) = encode_looks(encode, tiles)
            looks.append(score_look(look, focus, masses, chained=chained))
            is_blind = is_blind and _is_even(looks[-1])
    return Descent(tuple(looks), stopped or ("tiles" if looks[-1].level else "native"))


def encode_looks(encode: Encode, tiles: Sequence[Tile]) -> list[LevelLook]:
    """Encode tiles in one call and return a look per level, coarse to fine, with equal scores.

    Raises:
        ModelError: If the encoder answers with tokens of tiles that were not asked for.
    """
    tokens = encode(tiles)
    if strangers := set(tokens.tiles) - set(tiles):
        raise ModelError(
            f"the encoder must answer with tokens of the {len(tiles)} tiles it was given; "
            f"it also answered with {min(strangers)}"
        )
    looks = []
    for level in sorted({tile.level for tile in tiles}, reverse=True):
        tokens_level = tokens.at_level(level)
        equal = torch.full((len(tokens_level),), 1 / max(1, len(tokens_level)))
        tiles_level = tuple(sorted(tile for tile in tiles if tile.level == level))
        looks.append(LevelLook(level, tiles_level, tokens_level, equal))
    return looks


def score_look(
    look: LevelLook,
    focus: Focus,
    tile_masses: Mapping[Tile, float] | None = None,
    *,
    chained: bool = True,
) -> LevelLook:
    """A look with the scores that a focus gives its tokens; see `score_looks`."""
    (scored,) = score_looks([look], focus, tile_masses, chained=chained)
    return scored


def score_looks(
    looks: Sequence[LevelLook],
    focus: Focus,
    tile_masses: Mapping[Tile, float] | None = None,
    *,
    chained: bool = True,
) -> list[LevelLook]:
    """Looks with the scores that a focus gives their tokens; a look without tokens has none.

    Args:
        looks: What was encoded together, a look a level.
        focus: Asked once, about the tokens of each look.
        tile_masses: The mass that led to each tile, for chained scores; None for the first scored
            look.
        chained: Whether scores become those of chains; otherwise they are masses of this look.

    Raises:
        ModelError: If the focus answers with another shape.
    """
    scores = iter(score_each(focus, [look.tokens for look in looks if len(look.tokens)]))

    def scored(look: LevelLook) -> LevelLook:
        if not len(look.tokens):
            return look
        masses = as_masses(next(scores), len(look.tokens))
        if chained:
            masses = chain_masses(look.tokens, masses, tile_masses)
        return LevelLook(look.level, look.tiles, look.tokens, masses)

    return [scored(look) for look in looks]


def find_candidates(pyramid: Pyramid, look: LevelLook, level: int) -> tuple[list[Tile], Tensor]:
    """Tiles of a finer level that show some of a look's tokens, and their scores ``(m,)``."""
    under = sorted(
        {
            child
            for parent in look.tokens.tiles
            for child in pyramid.tiles_over(level, pyramid.box_scene(parent))
        }
    )
    # a child without any token above it is all padding or nodata: no tile is spent on it
    collected = mass_collector(look.tokens, under, pyramid)
    is_covered = collected(torch.ones(len(look.tokens))) > 0
    scores = collected(look.scores)[is_covered]
    return [tile for tile, shows in zip(under, is_covered.tolist(), strict=True) if shows], scores


def _is_even(look: LevelLook) -> bool:
    """Whether no token of a tile is preferred to another of it, up to rounding."""
    means = look.scores.new_zeros(len(look.tokens.tiles)).scatter_reduce(
        0, look.tokens.tile_index, look.scores, "mean", include_self=False
    )
    return torch.allclose(look.scores, means[look.tokens.tile_index], rtol=1e-5, atol=0)
