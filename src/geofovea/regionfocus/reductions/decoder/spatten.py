"""SpAtten: keep tokens by the attention that they received in all layers so far.

Source: SpAtten, "Efficient Sparse Attention Architecture with Cascade Token and Head Pruning"; its
variant for language models keeps per head the first, the most important and the last entries of a
cache. The hardware is not our affair.

Two uses. `SpAtten` acts between decoder layers: importance is the sum of attention over layers,
heads and queries; a token removed never returns. It needs the attention of every row of every layer
up to its last step: O(s² · d) per layer, in blocks, never s² memory; that cost is what it is for
judging, not for speed. `evicted` acts on the cache after prefill (stage: cache), O(s log s) a head.

``faithful``: `cumulative_attention`, `evicted`. ``fixed`` differs in stable ties, and in an even
choice when no score is finite. Like every sum under a causal mask, it favors early tokens.

No name of a reduction reaches `evicted`: the cache of a host here holds the same entries for all
heads, as a stock layer needs it, and a head of SpAtten keeps its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.primitives.sums import summed

__all__ = ["CacheBudget", "SpAtten", "cumulative_attention", "evicted"]

_CARRIED = "received_so_far"

_CASCADE = Schedule.of((0.25, 0.5), (0.5, 0.25), (0.75, 0.125))


@dataclass(frozen=True, slots=True)
class SpAtten(DecoderStage):
    """Keep what received most attention since the first layer.

    Attributes:
        schedule: When to drop; a cascade at the quarters of the depth, ours, unless told otherwise.
        positions: Of survivors.
    """

    schedule: Schedule = _CASCADE
    positions: Positions = "original"
    name: ClassVar[str] = "spatten"
    reach: ClassVar[int] = 1

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `DecoderReduction`: every layer up to the last step, to add up its attention."""
        return tuple(range(1, max(self.schedule.counts(1, depth)) + 1))

    def reduce(self, view: DecoderView) -> TokenChoice:
        """See `DecoderReduction`."""
        everyone = torch.arange(len(view.hidden), device=view.visual.device)
        received = view.mean_rows(everyone, back=1)[view.visual] * len(everyone)
        before = view.carried.get(_CARRIED)
        view.carried[_CARRIED] = received if before is None else before + received
        n = len(view.visual)
        k = min(self.schedule.counts(view.original, view.depth).get(view.layer, n), n)
        return TokenChoice(torch.arange(n)) if k == n else self._choose(view, k)

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        return keep_best(view.carried[_CARRIED], k)


def cumulative_attention(attention: Iterable[Tensor]) -> Tensor:
    """Attention that each token received in all layers, heads and queries, float32 ``(s,)``.

    Args:
        attention: Of each layer, ``(heads, q, s)``, at least one; sums to heads · q a layer.
    """
    return summed(torch.stack([summed(layer.float(), (0, 1)) for layer in attention]), 0)


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
