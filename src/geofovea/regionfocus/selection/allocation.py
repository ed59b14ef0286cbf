"""How a token budget is shared by levels, and the tokens that survive it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.base import Kept, Reduction
from geofovea.regionfocus.reductions.projected.baselines import Strided
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.informed import reduce_in_look
from geofovea.regionfocus.selection.places import look_at
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["allot", "even_shares", "keep_tokens", "reduce_look"]


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
    left = tokens - sum(shares.values())
    others = [level for level in shares if level != overview]
    if not others:
        return shares
    finest = min(others)
    between_left = left - min(counts_by_level[finest], math.ceil(finest_share * left))
    between = [level for level in others if level != finest]
    sizes = [counts_by_level[level] for level in between]
    shares |= dict(zip(between, even_shares(sizes, between_left), strict=True))
    left -= sum(shares[level] for level in between)
    shares[finest] = min(counts_by_level[finest], left)
    return shares


def keep_tokens(
    descent: Descent,
    budget_tokens: int,
    reduction: Reduction,
    places: Sequence[Sequence[Tile]] = (),
) -> tuple[TokenSet, Tensor]:
    """The tokens of a descent that reach the decoder, and their scores.

    The reduction chooses within each level, for scores of two levels cannot be compared. On a
    level where they are all equal, such as an overview that was never scored, a reduction by score
    would keep the top of the scene; evenly spaced tokens are kept instead.

    Args:
        descent: What was seen.
        budget_tokens: Tokens that may be kept.
        reduction: Chooses among the tokens of one level, or of one place.
        places: Tiles of the finest level by place, each tile once. Each place gets the same share
            of what that level gets; what one cannot use goes to the others.

    Returns:
        At most ``budget_tokens`` tokens in reading order, and float32 ``(n,)`` aligned with them.

    Raises:
        BudgetError: If the budget is not positive.
        ModelError: If the reduction requires what the tokens do not have.
    """
    counts = {look.level: len(look.tokens) for look in descent.looks}
    shares = allot(counts, budget_tokens)
    kept, scores = [], []
    for look in descent.looks:
        parts = [look]
        if places and look is descent.looks[-1]:
            parts = [look_at(look, place) for place in places]
        sizes = [len(part.tokens) for part in parts]
        for part, share in zip(parts, even_shares(sizes, shares[look.level]), strict=True):
            chosen, chosen_scores = reduce_look(part, share, reduction)
            kept.append(chosen)
            scores.append(chosen_scores)
    tokens = TokenSet.concat(kept)
    order = tokens.reading_order()
    return tokens.select(order), torch.cat(scores)[order]


def even_shares(sizes: Sequence[int], total: int) -> list[int]:
    """Whole shares of a total, as equal as sizes allow, that never exceed them."""
    shares, left = [0] * len(sizes), total
    by_size = sorted(range(len(sizes)), key=lambda i: sizes[i])
    for served, i in enumerate(by_size):
        shares[i] = min(sizes[i], left // (len(sizes) - served))
        left -= shares[i]
    return shares


def reduce_look(look: LevelLook, count: int, reduction: Reduction) -> tuple[TokenSet, Tensor]:
    """At most ``count`` tokens of a look, and float32 scores aligned with them."""
    # a reduction keeps at least one token: a look without a share keeps none
    choice = Kept(torch.arange(0))
    if count:
        is_blind = look.is_flat and "scores" in reduction.requires
        choose = Strided() if is_blind else reduction
        choice = reduce_in_look(choose, look, count)
    chosen = replace(look.tokens.select(choice.index), importance=choice.importance)
    if choice.features is not None:
        chosen = replace(chosen, features=choice.features)
    return chosen, look.scores[choice.index]
