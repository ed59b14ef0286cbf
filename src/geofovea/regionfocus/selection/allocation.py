"""How a token budget is shared by levels and by parts of one level."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from geofovea.errors import BudgetError

__all__ = ["allot", "even_shares"]


def allot(
    counts_by_level: Mapping[int, int],
    tokens: int,
    overview: int | None = None,
    finest_share: float = 0.6,
) -> dict[int, int]:
    """Share a token budget among levels: most to the finest, the rest evenly.

    What a level cannot use flows on to the others, so the budget is spent whenever there are
    tokens enough.

    Args:
        counts_by_level: Tokens that each level offers.
        tokens: The budget.
        overview: A level to serve first; it alone may fill the budget. None serves the overview as
            any other level. Measured: at a tenth of the tokens an overview that is kept whole
            leaves too little of what the question is about.
        finest_share: Least share of what remains that the finest of the other levels gets, as far
            as it has tokens.

    Returns:
        Tokens per level, for every level of ``counts_by_level``.

    Raises:
        BudgetError: If the budget is not positive, or the share is not in [0, 1].
    """
    if tokens < 1 or not 0 <= finest_share <= 1:
        raise BudgetError(
            "sharing tokens needs a budget of at least 1 and a finest_share in [0, 1], "
            f"got {tokens} and {finest_share}"
        )
    shares = dict.fromkeys(counts_by_level, 0)
    if overview in shares:
        shares[overview] = min(tokens, counts_by_level[overview])
    remaining = tokens - sum(shares.values())
    others = [level for level in shares if level != overview]
    if not others:
        return shares
    finest = min(others)
    between_left = remaining - min(counts_by_level[finest], math.ceil(finest_share * remaining))
    between = [level for level in others if level != finest]
    sizes = [counts_by_level[level] for level in between]
    shares |= dict(zip(between, even_shares(sizes, between_left), strict=True))
    remaining -= sum(shares[level] for level in between)
    shares[finest] = min(counts_by_level[finest], remaining)
    return shares


def even_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Whole shares of a total, as equal as sizes allow, that never exceed them."""
    shares, remaining = [0] * len(sizes), total
    by_size = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for served, i in enumerate(by_size):
        shares[i] = min(sizes[i], remaining // (len(sizes) - served))
        remaining -= shares[i]
    return shares
