"""How a token budget is shared by levels, and the tokens that survive it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from geofovea.errors import BudgetError
from geofovea.regionfocus.descent import Descent
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.selector import Reduction
from geofovea.regionfocus.reductions.strided import Strided
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["allot", "keep_tokens"]


def allot(
    counts_by_level: Mapping[int, int], tokens: int, overview: int, finest_share: float = 0.6
) -> dict[int, int]:
    """Share a token budget among levels: overview whole, then the finest, then the rest evenly.

    What a level cannot use flows on to the others, so the budget is spent whenever there are
    tokens enough.

    Args:
        counts_by_level: Tokens that each level offers.
        tokens: The budget.
        overview: The level of the overview, served first; it alone may fill the budget.
        finest_share: Least share of what remains after the overview that the finest of the other
            levels gets, as far as it has tokens.

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
    left = tokens - sum(shares.values())
    others = [level for level in shares if level != overview]
    if not others:
        return shares
    finest = min(others)
    between_left = left - min(counts_by_level[finest], math.ceil(finest_share * left))
    # levels with the fewest tokens choose first: what they leave raises the share of the others
    between = sorted((lv for lv in others if lv != finest), key=lambda lv: counts_by_level[lv])
    for served, level in enumerate(between):
        shares[level] = min(counts_by_level[level], between_left // (len(between) - served))
        between_left -= shares[level]
    left -= sum(shares[level] for level in between)
    shares[finest] = min(counts_by_level[finest], left)
    return shares


def keep_tokens(
    descent: Descent, budget_tokens: int, reduction: Reduction
) -> tuple[TokenSet, Tensor]:
    """The tokens of a descent that reach the decoder, and their scores.

    The reduction chooses within each level, for scores of two levels cannot be compared. On a
    level where they are all equal, such as an overview that was never scored, a reduction by score
    would keep the top of the scene; evenly spaced tokens are kept instead.

    Returns:
        At most ``budget_tokens`` tokens in reading order, and float32 ``(n,)`` aligned with them.

    Raises:
        BudgetError: If the budget is not positive.
        ModelError: If the reduction requires what the tokens do not have.
    """
    counts = {look.level: len(look.tokens) for look in descent.looks}
    shares = allot(counts, budget_tokens, overview=descent.looks[0].level)
    kept, scores = [], []
    for look in descent.looks:
        # a reduction keeps at least one token: a level without a share keeps none
        index, merged = torch.arange(0), None
        if shares[look.level]:
            is_blind = look.is_flat and "scores" in reduction.requires
            choose = Strided() if is_blind else reduction
            context = TokenContext.of(look.tokens, look.scores)
            choice = choose.reduce(context, shares[look.level])
            index, merged = choice.index, choice.features
        chosen = look.tokens.select(index)
        kept.append(chosen if merged is None else replace(chosen, features=merged))
        scores.append(look.scores[index])
    tokens = TokenSet.concat(kept)
    order = tokens.reading_order()
    return tokens.select(order), torch.cat(scores)[order]
