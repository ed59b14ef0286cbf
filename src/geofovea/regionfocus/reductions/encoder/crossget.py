"""CrossGET: merge over the complete graph of tokens, the unimportant into the alike.

Shi et al., "CrossGET: Cross-Guided Ensemble of Tokens for Accelerating Vision-Language
Transformers", ICML 2024 (arXiv id not given by our source).

Acts inside the vision encoder, between attention and MLP, on the head mean of the keys with the
class token's attention as importance; or on any list of tokens, on their features with the scores
of the focus, if there are any. The paper trains cross tokens that give the importance; the matching
works with any. Tokens are ranked by their best likeness; a token may be absorbed only by those
ranked after it, so no two absorb each other; the r tokens of least importance minus likeness go.

Time O(n²d) a round for the n tokens of a tile, memory O(n).

`rank_tokens` and `crossget_match` are the released ones. The classes here differ: importance
decides who goes, and the merged value is the size-weighted mean, where the published weights, the
softmax of the importance of source and destination, do not conserve mass if several join one;
scores are divided by their largest, so that they compare with cosines; equal likeness goes by
index; zero vectors are like nothing; a small budget takes several rounds; tiles do not merge.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.base import LayerView, class_attention
from geofovea.regionfocus.reductions.encoder.layer_merger import LayerMerger
from geofovea.regionfocus.reductions.primitives.merging import (
    Allowed,
    MergeState,
    Pairs,
    matched_rows,
    merge_down,
    merge_units,
    nearest,
)
from geofovea.regionfocus.scoring import as_masses, top_indices

__all__ = ["CrossGET", "CrossGETEncoder", "crossget_match", "rank_tokens"]


def rank_tokens(
    metric: Tensor, units: Tensor | None = None, protected: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Tokens by their likeness to the most alike other, int64 ``(n,)``, and that likeness (n,).

    See `crossget_match` for the arguments.
    """
    rows = matched_rows(metric)
    best, _ = nearest(rows, rows, _others(protected), _pair_of(units))
    return top_indices(best, len(best)), best


def crossget_match(
    metric: Tensor,
    importance: Tensor,
    r: int,
    rank_order: Tensor | None = None,
    units: Tensor | None = None,
    protected: Tensor | None = None,
) -> Pairs:
    """Pairs of a source and its most alike destination, the first to go first.

    Args:
        metric: ``(n, d)``.
        importance: float32 ``(n,)``.
        r: Most pairs that are wanted; cut to half of the tokens that may merge.
        rank_order: Tokens by rank, int64 ``(n,)``; those of `rank_tokens` unless given.
        units: int64 ``(n,)``; tokens of different units do not pair.
        protected: bool ``(n,)``, tokens that never merge. As published: the first (class) token,
            and the last, which is the cross token.

    Raises:
        ModelError: If ``r`` is negative, or there is not one importance per token.
    """
    n = len(metric)
    if r < 0 or len(importance) != n:
        raise ModelError(
            f"CrossGET merges at least 0 of its tokens and needs one importance for each, got "
            f"r = {r}, {n} tokens and {len(importance)} importances"
        )
    rows, device = matched_rows(metric), metric.device
    if rank_order is None:
        rank_order, _ = rank_tokens(metric, units, protected)
    each = torch.arange(n, device=device)
    rank = torch.empty_like(each)
    rank[rank_order] = each

    may_pair = _others(protected)

    def after(sources: Tensor, destinations: Tensor) -> Tensor:
        later = rank[sources, None] < rank[destinations]
        return may_pair(sources, destinations) & later

    likeness, _ = nearest(rows, rows, after, _pair_of(units))
    goes_last = importance.to(device, torch.float32) - likeness  # +inf where none may absorb it
    free = n if protected is None else n - int(protected.sum())
    r = min(r, free // 2, int((likeness > -torch.inf).sum()))
    sources = top_indices(-goes_last, r)
    if not r:
        return sources, sources
    is_source = torch.zeros(n, dtype=torch.bool, device=device)
    is_source[sources] = True
    pool = (~is_source).nonzero()[:, 0]
    if protected is not None:
        pool = pool[~protected[pool]]
    within = None if units is None else (units[sources], units[pool])
    _, place = nearest(rows[sources], rows[pool], units=within)
    return sources, pool[place]


def _others(protected: Tensor | None) -> Allowed:
    """That a token may pair with every other, and protected ones with none."""

    def may_pair(sources: Tensor, destinations: Tensor) -> Tensor:
        allowed = sources[:, None] != destinations
        if protected is not None:
            allowed &= ~(protected[sources, None] | protected[destinations])
        return allowed

    return may_pair


def _pair_of(units: Tensor | None) -> tuple[Tensor, Tensor] | None:
    return None if units is None else (units, units)


def _match(state: MergeState, r: int) -> Pairs:
    assert state.importance is not None  # noqa: S101 - both classes start with one
    return crossget_match(state.metric, state.importance, r, units=state.units)


@dataclass(frozen=True, slots=True)
class CrossGET(Selector):
    """Tokens of little importance merge into the most alike, until k are left."""

    name: ClassVar[str] = "crossget"
    merges: ClassVar[bool] = True

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        importance = torch.zeros(n)
        if context.scores is not None:
            importance = _relative(as_masses(context.scores, n))
        state = MergeState.start(
            context.features, context.features, None, merge_units(context), importance
        )
        return merge_down(state, k, _match).outcome(context.boxes_scene)


@dataclass(frozen=True, slots=True)
class CrossGETEncoder(LayerMerger):
    """The same inside the vision encoder."""

    name: ClassVar[str] = "crossget"
    fields: ClassVar[frozenset[str]] = frozenset({"keys", "class_row"})

    def begin(self, view: LayerView) -> MergeState:
        """See `LayerMerger`."""
        importance = _relative(class_attention(view))
        return MergeState.start(view.hidden, view.mean_key, view.sizes, importance=importance)

    def pairing(self, view: LayerView) -> Callable[[MergeState, int], Pairs]:  # noqa: ARG002
        """See `LayerMerger`."""
        return _match


def _relative(importance: Tensor) -> Tensor:
    """Divided by the largest, so that it is of the size of a cosine."""
    return importance / importance.amax().clamp_min(torch.finfo(torch.float32).tiny)
