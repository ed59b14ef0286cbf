"""ToMe: merge the most alike pairs of an even and an odd token.

Bolya et al., "Token Merging: Your ViT But Faster", ICLR 2023, arXiv 2210.09461.

Acts inside the vision encoder, between attention and MLP of every layer, on the head mean of the
keys; or on any list of tokens, on their features. Needs features (in the encoder: keys). Each token
of even place finds its best of odd place; the best r of these pairs merge. Sizes are carried along,
and the logarithm of a key's size is added to its attention logit (proportional attention).

Time O(n²d/4) a round for the n tokens of a tile, memory O(n).

Where this differs from the released code: the output is in order of position, and a
merged token of a list stands where its members have their middle; zero vectors are like nothing
instead of NaN; protected tokens of any place are left out; a budget below half is reached in
several rounds; even and odd count within a tile, and tiles do not merge.
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
from geofovea.regionfocus.reductions.encoder.base import LayerView
from geofovea.regionfocus.reductions.encoder.layer_merger import LayerMerger
from geofovea.regionfocus.reductions.primitives.merging import (
    MergeState,
    Pairs,
    matched_rows,
    merge_down,
    merge_units,
    nearest,
)
from geofovea.regionfocus.scoring import top_indices

__all__ = [
    "ToMe",
    "ToMeEncoder",
    "behind_class",
    "best_of_odd",
    "match_behind_class",
    "match_in",
    "match_tome",
    "odd_places",
    "tome_pairs",
]


def best_of_odd(
    metric: Tensor, units: Tensor | None = None, *, protect_first: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The best odd partner of each even token.

    Args:
        metric: ``(n, d)``, n >= 2.
        units: int64 ``(n,)``: tokens count as even and odd within their unit, and only find
            partners in it.
        protect_first: Whether token 0 is a class token, which never merges.

    Returns:
        Even tokens int64 ``(e,)``, the cosine to their partners float32 ``(e,)`` (-inf for those
        that must not merge), and the partners int64 ``(e,)``.
    """
    rows = matched_rows(metric)
    odd = odd_places(len(rows), units, metric.device)
    evens, odds = (~odd).nonzero()[:, 0], odd.nonzero()[:, 0]
    if not len(odds):
        return evens, rows.new_full((len(evens),), -torch.inf), evens
    within = None if units is None else (units[evens], units[odds])
    best, place = nearest(rows[evens], rows[odds], units=within)
    if protect_first:
        best[evens == 0] = -torch.inf
    return evens, best, odds[place]


def tome_pairs(
    metric: Tensor, r: int, units: Tensor | None = None, *, protect_first: bool = False
) -> Pairs:
    """The ``r`` most alike pairs of an even source and an odd destination, best first.

    ``r`` is cut to half of the tokens that may merge, and to the pairs there are.

    Raises:
        ModelError: If ``r`` is negative.
    """
    if r < 0:
        raise ModelError(f"ToMe merges at least 0 tokens, got {r}; give r >= 0")
    if len(metric) < 2:
        return _no_pairs(metric.device)
    evens, best, partners = best_of_odd(metric, units, protect_first=protect_first)
    most = min((len(metric) - int(protect_first)) // 2, int((best > -torch.inf).sum()))
    order = top_indices(best, min(r, most))
    return evens[order], partners[order]


def odd_places(n: int, units: Tensor | None, device: torch.device) -> Tensor:
    """Whether a token has an odd place among the tokens of its unit, bool ``(n,)``."""
    each = torch.arange(n, device=device)
    if units is None:
        return each % 2 == 1
    order = torch.argsort(units, stable=True)
    is_first = torch.ones_like(each, dtype=torch.bool)
    is_first[1:] = units[order][1:] != units[order][:-1]
    first = torch.where(is_first, each, 0).cummax(0).values
    odd = torch.empty_like(is_first)
    odd[order] = (each - first) % 2 == 1
    return odd


def _no_pairs(device: torch.device) -> Pairs:
    none = torch.empty(0, dtype=torch.int64, device=device)
    return none, none


def match_tome(state: MergeState, r: int) -> Pairs:
    """`tome_pairs` of a state, for `merge_down`."""
    return tome_pairs(state.metric, r, state.units)


def match_behind_class(state: MergeState, r: int) -> Pairs:
    """`tome_pairs` of patches behind a class token, for `merge_down`: patch 0 counts as odd."""
    return behind_class(state.metric, lambda rows: tome_pairs(rows, r, protect_first=True))


def match_in(view: LayerView) -> Callable[[MergeState, int], Pairs]:
    """How tokens of an encoder layer pair, for `merge_down`."""
    return match_behind_class if view.has_class else match_tome


def behind_class(metric: Tensor, pair: Callable[[Tensor], Pairs]) -> Pairs:
    """Pairs among patches, found by ``pair`` with a row for the class token before them."""
    rows = torch.cat([metric.new_zeros(1, metric.shape[1]), metric])
    sources, destinations = pair(rows)
    return sources - 1, destinations - 1


@dataclass(frozen=True, slots=True)
class ToMe(Selector):
    """Pairs of alike tokens merge until k are left."""

    name: ClassVar[str] = "tome"
    merges: ClassVar[bool] = True

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        state = MergeState.start(context.features, context.features, units=merge_units(context))
        return merge_down(state, k, match_tome).outcome(context.boxes_scene)


@dataclass(frozen=True, slots=True)
class ToMeEncoder(LayerMerger):
    """The same inside the vision encoder."""

    name: ClassVar[str] = "tome"

    def begin(self, view: LayerView) -> MergeState:
        """See `LayerMerger`."""
        return MergeState.start(view.hidden, view.mean_key, view.sizes)

    def pairing(self, view: LayerView) -> Callable[[MergeState, int], Pairs]:
        """See `LayerMerger`."""
        return match_in(view)
