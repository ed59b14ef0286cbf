"""The tokens of a descent that survive a reduction, by what a host showed of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import Reduction, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.baselines import Strided
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.allocation import allot, even_shares
from geofovea.regionfocus.selection.places import look_at
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["ContextOf", "keep_tokens", "plain_context", "reduce_look"]


ContextOf = Callable[[LevelLook], TokenContext]
"""What a reduction may know of the tokens of a look."""


def plain_context(look: LevelLook) -> TokenContext:
    """Features and scores alone, where nothing more is known."""
    return TokenContext.of(look.tokens, look.scores)


def keep_tokens(
    descent: Descent,
    budget_tokens: int,
    reduction: Reduction,
    places: Sequence[Sequence[Tile]] = (),
    context_of: ContextOf = plain_context,
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
        context_of: What the reduction may know of the tokens of a look.

    Returns:
        At most ``budget_tokens`` tokens in reading order, and float32 ``(n,)`` aligned with them.

    Raises:
        BudgetError: If the budget is not positive.
        ModelError: If the reduction requires what the tokens do not have.
    """
    counts = {look.level: len(look.tokens) for look in descent.looks}
    shares = allot(counts, budget_tokens)
    token_sets, scores = [], []
    for look in descent.looks:
        parts = [look]
        if places and look is descent.looks[-1]:
            parts = [look_at(look, place) for place in places]
        sizes = [len(part.tokens) for part in parts]
        for part, share in zip(parts, even_shares(sizes, shares[look.level]), strict=True):
            part_tokens, part_scores = reduce_look(part, share, reduction, context_of)
            token_sets.append(part_tokens)
            scores.append(part_scores)
    tokens = TokenSet.concat(token_sets)
    order = tokens.reading_order()
    return tokens.select(order), torch.cat(scores)[order]


def reduce_look(
    look: LevelLook, count: int, reduction: Reduction, context_of: ContextOf = plain_context
) -> tuple[TokenSet, Tensor]:
    """At most ``count`` tokens of a look, and float32 scores aligned with them."""
    # a reduction keeps at least one token: a look without a share keeps none
    choice = TokenChoice(torch.arange(0))
    if count:
        is_blind = look.is_flat and "scores" in reduction.requires
        # evenly spaced tokens need no context, and a context may cost a run of the encoder
        choice = (
            Strided().reduce(plain_context(look), count)
            if is_blind
            else reduction.reduce(context_of(look), count)
        )
    tokens = replace(look.tokens.select(choice.index), importance=choice.importance)
    if choice.features is not None:
        tokens = replace(tokens, features=choice.features)
    if choice.boxes is not None:
        tokens = replace(tokens, boxes_scene=choice.boxes)
    return tokens, look.scores[choice.index]
