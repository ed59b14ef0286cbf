"""Tokens far from each other: which one to begin with, and which one is next.

Both answers are exact without a table of all pairs. A distance to the nearest of some tokens can
only fall when there are more of them, so one that is not up to date is a bound from above; what is
bounded below the best found so far need not be compared any further.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from geofovea.regionfocus.reductions.primitives.similarity import NOISE, row_blocks, without_noise

__all__ = ["farthest_first", "most_isolated"]

_BESIDE = 512
"""Tokens that follow each other and are compared first: of a picture, they are often alike."""

_AT_ONCE = 256
"""Most tokens that are compared with all others at a time."""

_CANDIDATES = 256
"""Tokens that one round picks among."""


def most_isolated(unit: Tensor, broken: Tensor) -> int:
    """The token whose nearest other is farthest; of equals the first.

    O(n² d) time where all tokens are equally far from each other, little more than O(n d) where
    neighbors in the sequence tell most of them apart; O(n) memory.

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

    Goes in rounds: the tokens with the largest bounds are compared with the picks and with each
    other, and picked one after the other on the host for as long as the best of them beats the
    bound of all others. So a GPU is waited for once a round, of a hundred picks as a rule, and the
    others are compared with the picks only where a round would find none. O(k n d) time in products
    of matrices at most, O(n) memory.

    Args:
        unit: float32 ``(n, d)`` of unit length.
        broken: bool ``(n,)``, tokens that come last.
        start: The first token.
        k: From 1 to n.
        weights: ``(n,)`` above 0, factors of the distances; equal tokens go in order of weight.

    Returns:
        int64 ``(k,)`` on the host.
    """
    # distance to the nearest pick, or a bound of it; below zero for those that no distance counts
    gap = unit.new_full((len(unit),), torch.inf).masked_fill(broken, -1)
    gap[start] = -torch.inf
    _bring_down(gap, unit, [start], weights)
    order, pending = [start], list[int]()
    while len(order) < k:
        picks = _picks_of_round(gap, unit, pending, k - len(order), weights)
        if picks:
            order += picks
            pending += picks
        else:
            # bounds of others stood in the way; without any waiting, a round finds one at least
            _bring_down(gap, unit, pending, weights)
            pending = []
    return torch.tensor(order)


def _picks_of_round(
    gap: Tensor, unit: Tensor, pending: Sequence[int], most: int, weights: Tensor | None
) -> list[int]:
    """Picks among the likeliest tokens, whose gaps are brought up to date in place.

    Args:
        gap: ``(n,)``, distance to the nearest pick or a bound of it; of picks themselves, −inf.
        unit: ``(n, d)``.
        pending: Picks that gaps may not know of.
        most: Picks that are wanted at most.
        weights: As for `farthest_first`.
    """
    best, index = gap.sort(descending=True, stable=True)
    count = min(_CANDIDATES, len(gap))
    some = index[:count].sort().values
    now = gap[some]
    if pending:
        picks = unit[torch.tensor(pending, device=unit.device)]
        now = torch.minimum(now, _gaps(unit, some, picks, weights))
    # the best of the others is the bound; with the table all comes over at once
    others = best.new_full((2, count), -torch.inf)
    if count < len(gap):
        others[0], others[1] = best[count], index[count].float()
    heads = torch.stack([now, some.float()])
    sheet = torch.cat([heads, others, _gaps_among(unit, some, weights)]).cpu().numpy()
    gaps, names, (bound, *_), (first, *_) = sheet[:4]
    table, round_picks = sheet[4:], list[int]()
    while len(round_picks) < most:
        top = int(gaps.argmax())
        value = gaps[top]
        if value == -np.inf or (value, -names[top]) < (bound, -first):
            break
        round_picks.append(int(names[top]))
        np.minimum(gaps, table[top], out=gaps)
        gaps[top] = -np.inf
    gap[some] = torch.from_numpy(gaps).to(gap.device)
    return round_picks


def _bring_down(gap: Tensor, unit: Tensor, picks: Sequence[int], weights: Tensor | None) -> None:
    """Bring all gaps up to date with some picks, in place."""
    pick_rows = unit[torch.tensor(picks, device=unit.device)]
    for block in row_blocks(len(unit), len(picks)):
        gap[block] = torch.minimum(gap[block], _gaps(unit, block, pick_rows, weights))


def _gaps(unit: Tensor, rows: Tensor | slice, picks: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted distance of some rows of ``unit`` to the nearest of some picks ``(p, d)``."""
    gaps = without_noise(1 - (unit[rows] @ picks.T).amax(dim=1))
    return _weighted(gaps, rows, weights)


def _gaps_among(unit: Tensor, some: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted distance of some tokens (columns) to each of them (rows)."""
    return _weighted(without_noise(1 - unit[some] @ unit[some].T), some, weights)


def _weighted(gaps: Tensor, rows: Tensor | slice, weights: Tensor | None) -> Tensor:
    # the noise keeps the weights of equal tokens apart
    return gaps if weights is None else weights[rows] * (gaps + NOISE)


def _table(unit: Tensor, some: Tensor, others: Tensor) -> Tensor:
    """Distances of some tokens to others, a token infinitely far from itself."""
    table = without_noise(1 - unit[some] @ unit[others].T)
    return table.masked_fill_(some[:, None] == others, torch.inf)
