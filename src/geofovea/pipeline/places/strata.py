"""Which tiles are counted: strata by what a coarse level shows, and a random draw from each.

The coarse score of a tile is known for every tile, and high where things are likely. Tiles are put
in groups of like scores; the likeliest are all looked at, and of every other group some are drawn,
more where the scores are higher.

Source: Cochran, Sampling Techniques, 3rd ed. 1977: stratified random sampling (ch. 5), strata by
the cumulative square root rule of Dalenius and Hodges (5A.7), a certainty stratum.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofovea.errors import BudgetError

__all__ = ["Stratum", "draw_order", "make_strata"]

_CERTAIN_SHARE = 0.5
_STRATA = 3
_FEWEST_DRAWN = 4
# of the average score: what a group of no score may hold all the same
_FLOOR = 1 / 4


@dataclass(frozen=True, slots=True)
class Stratum:
    """A group of tiles of like scores.

    Attributes:
        members: Indices of its tiles.
        drawn: Those that are looked at: all of them, or a simple random sample without replacement,
            in the order of the draw.
        expected: How dense things are here by the scores, over the average of all tiles; 1 where
            scores say nothing, and never below a fifth, for they may be wrong.

    Raises:
        BudgetError: If nothing is drawn from tiles that are there, or a stranger is.
    """

    members: tuple[int, ...]
    drawn: tuple[int, ...]
    expected: float = 1.0

    def __post_init__(self) -> None:
        if bool(self.members) != bool(self.drawn) or not set(self.drawn) <= set(self.members):
            raise BudgetError(
                f"{len(self.drawn)} of {len(self.members)} tiles cannot be a sample of a stratum"
            )

    @property
    def is_certain(self) -> bool:
        """Whether every tile is looked at."""
        return len(self.drawn) == len(self.members)

    @property
    def weight(self) -> float:
        """How many tiles of the stratum one that was drawn stands for."""
        return len(self.members) / len(self.drawn)


def draw_order(count: int, seed: int = 0) -> list[int]:
    """The order in which ``make_strata`` draws tiles, of each stratum and of all together.

    What was looked at of its beginning is a random sample of all tiles, and counts as drawn.

    Args:
        count: Of tiles.
        seed: Equal seeds draw equal tiles.
    """
    order = list(range(count))
    random.Random(f"geofovea-strata-{seed}").shuffle(order)
    return order


def make_strata(scores: ArrayLike, count: int, seed: int = 0) -> list[Stratum]:
    """Strata over tiles with ``count`` tiles drawn in all.

    Args:
        scores: What a coarse level says of each tile, at least zero, ``(n,)``.
        count: Tiles that may be looked at.
        seed: Equal seeds draw equal tiles.

    Raises:
        BudgetError: If less than one tile may be looked at.
    """
    known = np.nan_to_num(np.asarray(scores, dtype=np.float64), nan=0.0).clip(min=0)
    if count < 1:
        raise BudgetError(f"a sample needs at least 1 tile, got {count}")
    rank = {index: number for number, index in enumerate(draw_order(len(known), seed))}
    # of equal scores, in random order: no corner of the scene is preferred. It is not that of the
    # draw, or those beyond the edge of a stratum would be drawn last
    order = list(range(len(known)))
    random.Random(f"geofovea-ties-{seed}").shuffle(order)
    order.sort(key=lambda index: -known[index])
    if count >= len(order):
        everything = tuple(order)
        return [Stratum(everything, everything)]
    # what cannot be told apart is drawn from evenly
    certain = int(_CERTAIN_SHARE * count) if float(np.ptp(known)) > 0 else 0
    strata = []
    if certain:
        surest = tuple(order[:certain])
        # in random order: what a budget ends is a random sample of them
        drawn = tuple(sorted(surest, key=rank.__getitem__))
        strata.append(Stratum(surest, drawn, _expected(known, surest)))
    groups = _groups(known, order[certain:], count - certain)
    for group, number in zip(groups, _allotted(known, groups, count - certain), strict=True):
        drawn = tuple(sorted(group, key=rank.__getitem__)[:number])
        strata.append(Stratum(tuple(group), drawn, _expected(known, group)))
    return strata


def _expected(known: NDArray[np.float64], group: Sequence[int]) -> float:
    """How dense things are expected in a group, over the average: the mean score, with a floor."""
    average = float(known.mean())
    density = float(known[list(group)].mean()) / average if average else 1.0
    return (density + _FLOOR) / (1 + _FLOOR)


def _groups(known: NDArray[np.float64], order: Sequence[int], count: int) -> list[list[int]]:
    """Runs of falling scores with equal shares of the cumulative square root of the score."""
    most = max(1, min(_STRATA, count // _FEWEST_DRAWN))
    roots = np.sqrt(known[list(order)])
    if most == 1 or not float(np.ptp(known)) > 0:
        return [list(order)]
    # an even floor, so that a group of zeros is a group and not an endless tail
    cumulative = np.cumsum(roots + roots.mean())
    cuts = np.searchsorted(cumulative, cumulative[-1] * np.arange(1, most) / most)
    edges = [0, *(int(cut) + 1 for cut in cuts), len(order)]
    groups = [list(order[a:b]) for a, b in pairwise(edges)]
    return [group for group in groups if group]


def _allotted(known: NDArray[np.float64], groups: Sequence[Sequence[int]], count: int) -> list[int]:
    """How many tiles each group gets: by its size times the root of its mean score, at least some.

    A count that is rare has a variance like its mean, so this is the optimum of Neyman.
    """
    fewest = [min(len(group), _FEWEST_DRAWN, max(1, count // len(groups))) for group in groups]
    weights = np.array([len(group) * np.sqrt(_expected(known, group)) for group in groups])
    numbers = list(fewest)
    while sum(numbers) < count:
        room = [len(group) > number for group, number in zip(groups, numbers, strict=True)]
        if not any(room):
            break
        lack = np.where(room, weights / weights.sum() - np.array(numbers) / count, -np.inf)
        numbers[int(lack.argmax())] += 1
    return numbers
