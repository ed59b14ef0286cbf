"""Tokens far from each other: which one to begin with, and which one is next.

Both answers are exact without a table of all pairs. A distance to the nearest of some tokens can
only fall when there are more of them, so one that is not up to date is a bound from above; what is
bounded below the best found so far need not be compared any further.
"""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.similarity import NOISE, row_blocks, without_noise

__all__ = ["farthest_first", "most_isolated"]

_BESIDE = 512
"""Tokens that follow each other and are compared first: of a picture, they are often alike."""

_AT_ONCE = 256
"""Most tokens that are compared with all others at a time."""

_WAITING = 64
"""Picks that only likely tokens are compared with, before all tokens are."""

_LIKELY = 8
"""Tokens that are brought up to date at first; four times as many at every further try."""


def most_isolated(unit: Tensor, broken: Tensor) -> int:
    """The token whose nearest other is farthest; of equals the first.

    O(n² d) time where all tokens are equally far from each other, little more than O(n d) where
    neighbours in the sequence tell most of them apart; O(n) memory.

    Args:
        unit: ``(n, d)`` of unit length, n of at least 1.
        broken: bool ``(n,)``, tokens that are worse than any other.
    """
    n = len(unit)
    bound = unit.new_empty(n)
    for start in range(0, n, _BESIDE):
        some = torch.arange(start, min(n, start + _BESIDE), device=unit.device)
        bound[some] = _table(unit, some, some).amin(dim=1)
    bound[broken] = -1
    every = torch.arange(n, device=unit.device)
    order = torch.argsort(-bound, stable=True)
    best, place = -torch.inf, n
    at_once = next(row_blocks(_AT_ONCE, n)).stop
    for candidates in torch.split(order, at_once):
        hope = bound[candidates]
        some = candidates[(hope > best) | ((hope == best) & (candidates < place))]
        if not len(some):
            continue
        table = _table(unit, some, every)
        bound = torch.minimum(bound, table.amin(dim=0))
        exact = table.amin(dim=1).masked_fill(broken[some], -1)
        top = float(exact.max())
        first = int(some[exact == top].min())
        if (top, -first) > (best, -place):
            best, place = top, first
    return place


def farthest_first(
    unit: Tensor, broken: Tensor, start: int, k: int, weights: Tensor | None = None
) -> Tensor:
    """Farthest-first order from a given token; equal distances go in order of index.

    O(k n d) time in products of matrices, O(n) memory.

    Args:
        unit: ``(n, d)`` of unit length.
        broken: bool ``(n,)``, tokens that come last.
        start: The first token.
        k: From 1 to n.
        weights: ``(n,)`` above 0, factors of the distances; equal tokens go in order of weight.

    Returns:
        int64 ``(k,)`` on the device of the features.
    """
    n = len(unit)
    order = torch.empty(k, dtype=torch.int64, device=unit.device)
    # distance to the nearest pick, or a bound of it; below zero for those that no distance counts
    gap = unit.new_full((n,), torch.inf).masked_fill(broken, -1)
    is_known = torch.zeros_like(broken)
    waiting = 0
    for step in range(k):
        if step == 0:
            pick = start
        else:
            if waiting == _WAITING or step == 1:
                _bring_down(gap, unit, order[step - waiting : step], weights)
                waiting = 0
            is_known.fill_(waiting == 0)
            likely = _LIKELY
            while not bool(is_known[pick := int(gap.argmax())]):
                some = gap.topk(min(likely, n)).indices
                some[-1] = pick
                picks = unit[order[step - waiting : step]]
                gap[some] = torch.minimum(gap[some], _gaps(unit, some, picks, weights))
                is_known[some] = True
                likely *= 4
        order[step] = pick
        gap[pick] = -torch.inf
        waiting += 1
    return order


def _bring_down(gap: Tensor, unit: Tensor, picks: Tensor, weights: Tensor | None) -> None:
    """Bring all gaps up to date with some picks, in place."""
    for block in row_blocks(len(unit), len(picks)):
        gap[block] = torch.minimum(gap[block], _gaps(unit, block, unit[picks], weights))


def _gaps(unit: Tensor, rows: Tensor | slice, picks: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted distance of some rows of ``unit`` to the nearest of some picks ``(p, d)``."""
    gaps = without_noise(1 - (unit[rows] @ picks.T).amax(dim=1))
    # the noise keeps the weights of equal tokens apart
    return gaps if weights is None else weights[rows] * (gaps + NOISE)


def _table(unit: Tensor, some: Tensor, others: Tensor) -> Tensor:
    """Distances of some tokens to others, a token infinitely far from itself."""
    table = without_noise(1 - unit[some] @ unit[others].T)
    return table.masked_fill_(some[:, None] == others, torch.inf)
