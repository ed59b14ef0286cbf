"""The tokens of a descent that survive a reduction, which may be told what a host showed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import Reduction, Stage, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.baselines import Strided
from geofovea.regionfocus.search.looks import Descent, LevelLook
from geofovea.regionfocus.selection.allocation import allot, even_shares
from geofovea.regionfocus.selection.places import look_at
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["Informed", "keep_tokens", "reduce_look"]


@dataclass(slots=True, eq=False)
class Informed:
    """A reduction with what makes its contexts; it is one itself.

    Attributes:
        reduction: What chooses.
        context_of: What it may know of the tokens of a look.
        seconds: Time that contexts and choices took so far.
    """

    reduction: Reduction
    context_of: Callable[[LevelLook], TokenContext]
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """See `Reduction`."""
        return self.reduction.name

    @property
    def stage(self) -> Stage:
        """See `Reduction`."""
        return self.reduction.stage

    @property
    def requires(self) -> frozenset[str]:
        """See `Reduction`."""
        return self.reduction.requires

    def reduce(self, context: TokenContext, k: int) -> TokenChoice:
        """See `Reduction`."""
        return self.reduction.reduce(context, k)

    def reduce_look(self, look: LevelLook, k: int) -> TokenChoice:
        """Keep ``k`` of the tokens of a look, told of all that is known of them."""
        started = time.perf_counter()
        try:
            return self.reduction.reduce(self.context_of(look), k)
        finally:
            self.seconds += time.perf_counter() - started


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
    token_sets, scores = [], []
    for look in descent.looks:
        parts = [look]
        if places and look is descent.looks[-1]:
            parts = [look_at(look, place) for place in places]
        sizes = [len(part.tokens) for part in parts]
        for part, share in zip(parts, even_shares(sizes, shares[look.level]), strict=True):
            part_tokens, part_scores = reduce_look(part, share, reduction)
            token_sets.append(part_tokens)
            scores.append(part_scores)
    tokens = TokenSet.concat(token_sets)
    order = tokens.reading_order()
    return tokens.select(order), torch.cat(scores)[order]


def reduce_look(look: LevelLook, count: int, reduction: Reduction) -> tuple[TokenSet, Tensor]:
    """At most ``count`` tokens of a look, and float32 scores aligned with them."""
    # a reduction keeps at least one token: a look without a share keeps none
    choice = TokenChoice(torch.arange(0))
    if count:
        is_blind = look.is_flat and "scores" in reduction.requires
        choose = Strided() if is_blind else reduction
        choice = _reduce(choose, look, count)
    tokens = replace(look.tokens.select(choice.index), importance=choice.importance)
    if choice.features is not None:
        tokens = replace(tokens, features=choice.features)
    return tokens, look.scores[choice.index]


def _reduce(reduction: Reduction, look: LevelLook, k: int) -> TokenChoice:
    """Keep ``k`` of the tokens of a look; one that is not informed knows features and scores."""
    if isinstance(reduction, Informed):
        return reduction.reduce_look(look, k)
    return reduction.reduce(TokenContext.of(look.tokens, look.scores), k)
