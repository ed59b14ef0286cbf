"""Mergers inside the vision encoder: about as many tokens merge in every layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.encoder.base import LayerView, Place
from geofovea.regionfocus.reductions.encoder.schedule import steady_counts
from geofovea.regionfocus.reductions.primitives.merging import MergeState, Pairs, merge_down

__all__ = ["LayerMerger", "LayerMergerRun"]


class LayerMerger(ABC):
    """What such mergers share; a method adds what it looks at, and who goes into whom."""

    name: ClassVar[str]
    place: ClassVar[Place] = "attention"
    is_proportional: ClassVar[bool] = True
    fields: ClassVar[frozenset[str]] = frozenset({"keys"})
    """What it asks of each layer; see `Need`."""

    def start(self, n: int, k: int, layers: int) -> LayerMergerRun:
        """See `EncoderReduction`."""
        return LayerMergerRun(self, steady_counts(n, k, layers))

    @abstractmethod
    def begin(self, view: LayerView) -> MergeState:
        """The tokens of a layer, none of which has merged in it yet."""

    @abstractmethod
    def pairing(self, view: LayerView) -> Callable[[MergeState, int], Pairs]:
        """How tokens of a layer pair, for `merge_down`."""


@dataclass(frozen=True, slots=True)
class LayerMergerRun:
    """One image on its way through the encoder.

    Attributes:
        merger: What merges.
        counts: Tokens that are left after each layer.
    """

    merger: LayerMerger
    counts: tuple[int, ...]

    def needs(self, layer: int) -> frozenset[str]:
        """See `EncoderRun`."""
        return self.merger.fields if layer < len(self.counts) else frozenset()

    def step(self, view: LayerView) -> TokenChoice | None:
        """See `EncoderRun`."""
        k = self.counts[view.layer]
        if len(view.hidden) <= k:
            return None
        return merge_down(self.merger.begin(view), k, self.merger.pairing(view)).outcome()
