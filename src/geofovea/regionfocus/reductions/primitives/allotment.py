"""Tokens shared among tiles or crops by weight: exact in total, never above a capacity."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence

from geofovea.errors import BudgetError

__all__ = ["allot_tokens"]


def allot_tokens(
    weights: Sequence[float], capacities: Sequence[int], total: int, least: int = 0
) -> list[int]:
    """Share ``total`` tokens among parts in proportion to their weights.

    Each part gets the floor of its quota, up to its capacity; what is left goes token by token to
    the part with room that is furthest below its quota, the first of equal ones.

    Args:
        weights: One per part; what is negative or not finite weighs nothing, and if nothing
            weighs anything, all weigh the same.
        capacities: Most tokens that each part can take.
        total: Tokens to share.
        least: Tokens that every part gets first, as far as its capacity goes.

    Returns:
        Tokens of each part; their sum is ``total``. Of two parts of equal capacity the one of
        greater weight never gets less. O(parts + leftover · log parts).

    Raises:
        BudgetError: If the parts cannot take ``total``, or ``least`` needs more than it.
    """
    if len(weights) != len(capacities):
        raise BudgetError(f"{len(weights)} weights do not fit {len(capacities)} capacities")
    if not 0 <= total <= sum(capacities):
        raise BudgetError(
            f"cannot share {total} tokens among parts that hold {sum(capacities)}; "
            "ask for at least 0 and at most that many"
        )
    shares = [min(least, capacity) for capacity in capacities]
    if (remainder := total - sum(shares)) < 0:
        raise BudgetError(
            f"{least} tokens for each of {len(capacities)} parts are more than the {total} that "
            "there are; lower the floor or raise the budget"
        )
    masses = [w if math.isfinite(w) and w > 0 else 0.0 for w in weights]
    if not any(masses):
        masses = [1.0] * len(masses)
    whole = math.fsum(masses)
    quotas = [have + remainder * mass / whole for have, mass in zip(shares, masses, strict=True)]
    # a quota that is whole but for rounding must not lose a token to it
    floors = [
        min(math.floor(quota + 1e-9), capacity)
        for quota, capacity in zip(quotas, capacities, strict=True)
    ]
    return _filled_up(floors, quotas, capacities, total)


def _filled_up(
    shares: Sequence[int], quotas: Sequence[float], capacities: Sequence[int], total: int
) -> list[int]:
    """Shares that add up to ``total``: the rest goes to the parts furthest below their quotas."""
    filled = list(shares)
    gaps = [
        (round(share - quota, 9), part)
        for part, (share, quota) in enumerate(zip(shares, quotas, strict=True))
        if share < capacities[part]
    ]
    heapq.heapify(gaps)
    for _ in range(total - sum(shares)):
        gap, part = heapq.heappop(gaps)
        filled[part] += 1
        if filled[part] < capacities[part]:
            heapq.heappush(gaps, (gap + 1, part))
    return filled
