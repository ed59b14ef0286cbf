"""SpAtten, cache part: each head keeps its first, its most important and its last entries.

Source: SpAtten, "Efficient Sparse Attention Architecture with Cascade Token and Head Pruning", in
the variant for language models, mit-han-lab/spatten-llm. O(s log s) a head.

``faithful``: `evicted`, with logits for scores. ``fixed`` differs in stable ties, takes any batch,
and `SpattenKv` takes attention for scores: logits add up to less where some are negative. Each head
keeps its own entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.budget import share_up
from geofovea.regionfocus.cache_policies.base import CachePolicy, CacheView, attention_rows
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["CacheBudget", "SpattenKv", "evicted", "important_heads"]


@dataclass(frozen=True, slots=True)
class SpattenKv(CachePolicy):
    """Keep the vision entries that each key head attends to most.

    The first and the last entries of the release are the words around the pictures here, and stay.

    Attributes:
        share: Of the vision entries, rounded up.

    Raises:
        ModelError: If the share is not above 0 and at most 1.
    """

    share: float = 0.25
    name: ClassVar[str] = "spatten_kv"
    needs_question: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ModelError(f"share={self.share} must be above 0 and at most 1")

    def keep(self, view: CacheView) -> Tensor:
        """See `CachePolicy`."""
        received = attention_rows(view).sum(1).reshape(len(view.keys), -1, view.length).sum(1)
        n = len(view.visual)
        k = min(n, max(1, share_up(self.share, n)))
        visual, words = view.visual.cpu(), view.words.cpu()
        heads = []
        for scores in received:
            cleaned, _ = clean_scores(scores)
            best = visual[top_indices(cleaned[visual], k)]
            heads.append(torch.cat([best, words]).sort().values)
        return torch.stack(heads).to(view.keys.device)


def important_heads(outputs: Tensor, k: int) -> Tensor:
    """The ``k`` heads whose outputs are largest in sum, int64 ascending.

    Args:
        outputs: ``(heads, m, head_dim)`` of the tokens so far.
        k: Heads that stay.
    """
    return top_indices(outputs.float().abs().sum((1, 2)).cpu(), k).sort().values


@dataclass(frozen=True, slots=True)
class CacheBudget:
    """What each head's cache may hold.

    Attributes:
        first: Entries at the start, always kept.
        important: Entries of the middle, by score.
        recent: Entries at the end, always kept; tokens that are about to come count among them.

    Raises:
        BudgetError: If a number is negative, or there is no room at all.
    """

    first: int = 4
    important: int = 128
    recent: int = 128

    def __post_init__(self) -> None:
        if min(self.first, self.important, self.recent) < 0 or self.size < 1:
            raise BudgetError(
                "a cache needs room for at least one entry and no negative number of them, got "
                f"{self.first} first, {self.important} important, {self.recent} recent"
            )

    @property
    def size(self) -> int:
        """Entries in all."""
        return self.first + self.important + self.recent


def evicted(
    keys: Tensor, values: Tensor, scores: Tensor, budget: CacheBudget, *, coming: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """A cache after eviction; each head keeps its own entries.

    Args:
        keys: ``(b, heads, s, d)``, already rotated, so places may close up.
        values: ``(b, heads, s, d)``.
        scores: ``(b, heads, q, s)``, of the current step; added up over queries. The published code
            takes logits.
        budget: What may stay.
        coming: Tokens that are about to be added; the recent part makes room for them.

    Returns:
        Keys, values, and the entries that stay, int64 ``(b, heads, k)`` ascending; all of them
        while the budget holds them and those that come.

    Raises:
        BudgetError: If more tokens come than the recent part takes.
    """
    s = keys.shape[2]
    if coming > budget.recent:
        raise BudgetError(
            f"{coming} tokens cannot come into a recent part of {budget.recent}; feed fewer at "
            "once, or enlarge the recent part"
        )
    if s + coming <= budget.size:
        every = torch.arange(s, device=keys.device).expand(*keys.shape[:2], s)
        return keys, values, every
    end = s - (budget.recent - coming)
    middle = scores.float().sum(2)[..., budget.first : end]
    # NaN never wins, as everywhere; the stable sort takes equal entries in their order
    middle = torch.where(middle.isnan(), -torch.inf, middle)
    order = torch.argsort(-middle, dim=-1, stable=True)[..., : budget.important]
    best = order.sort(-1).values + budget.first
    fixed = (torch.arange(budget.first), torch.arange(end, s))
    start, recent = (part.to(keys.device).expand(*best.shape[:2], -1) for part in fixed)
    stays = torch.cat([start, best, recent], -1)
    where = stays[..., None].expand(-1, -1, -1, keys.shape[-1])
    return keys.gather(2, where), values.gather(2, where), stays
