"""DyMU: merge every pair above a threshold, so that simple images keep fewer tokens.

Wang et al., "DyMU: Dynamic Merging and Virtual Unmerging for Efficient VLMs" (arXiv id not given
by our source). The second half, virtual unmerging, stands in ``virtual_unmerging``.

Acts inside the vision encoder, between attention and MLP of every layer, on the head mean of the
keys; or on any list of tokens, on their features. Needs what ToMe needs. ToMe's r is replaced by a
threshold for each layer, calibrated on unlabeled images: of the pooled best likenesses of a batch
of B images, the largest that exactly B·r exceed, at least 0, averaged over batches.

Time O(n²d/4) a round for the n tokens of a tile, memory O(n).

`batch_threshold` is the released one. The classes here differ as ToMe's do, and in the budget,
which the method does not know: pairs above the threshold merge, in rounds, until none or k is left;
then the best of the others, to keep the budget. With ``is_adaptive`` a simple image may end below
k. Nothing here calibrates the thresholds of a model: all layers take one of 0.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.base import LayerView, Place
from geofovea.regionfocus.reductions.encoder.tome import (
    behind_class,
    best_of_odd,
    match_in,
    match_tome,
)
from geofovea.regionfocus.reductions.primitives.merging import (
    MergeState,
    Pairs,
    merge_down,
    merge_units,
)
from geofovea.regionfocus.scoring import top_indices

__all__ = [
    "DyMU",
    "DyMUEncoder",
    "DyMURun",
    "batch_threshold",
    "dymu_pairs",
    "merge_above",
]


def dymu_pairs(
    metric: Tensor, threshold: float, units: Tensor | None = None, *, protect_first: bool = False
) -> Pairs:
    """Every pair of an even source and its odd destination above the threshold, best first."""
    if len(metric) < 2:
        none = torch.empty(0, dtype=torch.int64, device=metric.device)
        return none, none
    evens, best, partners = best_of_odd(metric, units, protect_first=protect_first)
    order = top_indices(best, int((best > threshold).sum()))
    return evens[order], partners[order]


def batch_threshold(metrics: Sequence[Tensor], r: int, *, protect_first: bool = False) -> float:
    """The threshold at which a batch of B images merges ``r`` pairs an image on average.

    Args:
        metrics: ``(n, d)`` of each image.
        r: Pairs an image, at least 1.
        protect_first: Whether token 0 is a class token.

    Returns:
        The pooled best likeness that B·r others exceed, at least 0.

    Raises:
        ModelError: If ``r`` is not positive, or the images have fewer than B·r pairs.
    """
    best = [best_of_odd(m, protect_first=protect_first)[1] for m in metrics if len(m) > 1]
    pooled = torch.cat(best) if best else torch.empty(0)
    pooled = pooled[pooled > -torch.inf].sort(descending=True).values
    rank = len(metrics) * r
    if not 1 <= rank <= len(pooled):
        raise ModelError(
            f"r must be from 1 to half of the tokens of an image, got r = {r} for {len(metrics)} "
            f"images with {len(pooled)} pairs; choose a smaller r"
        )
    return max(0.0, float(pooled[rank])) if rank < len(pooled) else 0.0


def _check(threshold: float) -> None:
    if not -1 <= threshold <= 1:
        raise ModelError(f"a threshold is a cosine, -1 to 1, got {threshold}; calibrate one")


def _merge_alike(state: MergeState, k: int, threshold: float) -> MergeState:
    """Merge pairs above the threshold, the best first, until none or ``k`` is left."""
    while len(state) > k:
        sources, destinations = dymu_pairs(state.metric, threshold, state.units)
        if not len(sources):
            break
        most = len(state) - k
        state = state.merge((sources[:most], destinations[:most]))
    return state


def merge_above(view: LayerView, threshold: float) -> MergeState:
    """One round in an encoder layer: every pair of patches above the threshold."""
    state = MergeState.start(view.hidden, view.mean_key, view.sizes)
    if view.has_class:
        pairs = behind_class(
            state.metric, lambda rows: dymu_pairs(rows, threshold, protect_first=True)
        )
    else:
        pairs = dymu_pairs(state.metric, threshold)
    return state.merge(pairs) if len(pairs[0]) else state


@dataclass(frozen=True, slots=True)
class DyMU(Selector):
    """Alike tokens merge first, in rounds; then the rest, as far as the budget asks.

    Attributes:
        threshold: Cosine above which two tokens count as alike.
        is_adaptive: Whether alike tokens go on merging below the budget.

    Raises:
        ModelError: If the threshold is not a cosine.
    """

    threshold: float = 0.9
    is_adaptive: bool = False
    name: ClassVar[str] = "dymu"
    merges: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check(self.threshold)

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        state = MergeState.start(context.features, context.features, units=merge_units(context))
        state = _merge_alike(state, 1 if self.is_adaptive else k, self.threshold)
        return merge_down(state, k, match_tome).outcome(context.boxes_scene)


@dataclass(frozen=True, slots=True)
class DyMUEncoder:
    """The same inside the vision encoder, with a threshold for each layer.

    Each layer merges one round of pairs above its threshold, whatever k. At the last layer, what is
    still above the budget merges too.

    Attributes:
        thresholds: One for each layer (see `batch_threshold`); the last holds for all further.

    Raises:
        ModelError: If a threshold is not a cosine, or there is none.
    """

    thresholds: tuple[float, ...] = (0.9,)
    name: ClassVar[str] = "dymu"
    place: ClassVar[Place] = "attention"
    is_proportional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.thresholds:
            raise ModelError("DyMU needs at least one threshold, got none; calibrate some")
        for threshold in self.thresholds:
            _check(threshold)

    def start(self, n: int, k: int, layers: int) -> DyMURun:  # noqa: ARG002
        """See `EncoderReduction`."""
        last = self.thresholds[-1:] * layers
        return DyMURun(k, (*self.thresholds, *last)[:layers])


@dataclass(frozen=True, slots=True)
class DyMURun:
    """One image on its way through the encoder."""

    k: int
    thresholds: tuple[float, ...]

    def needs(self, layer: int) -> frozenset[str]:
        """See `EncoderRun`."""
        return frozenset({"keys"}) if layer < len(self.thresholds) else frozenset()

    def step(self, view: LayerView) -> TokenChoice | None:
        """See `EncoderRun`."""
        state = merge_above(view, self.thresholds[view.layer])
        if view.layer == len(self.thresholds) - 1:
            state = merge_down(state, self.k, match_in(view))
        return state.outcome() if len(state) < len(view.hidden) else None
