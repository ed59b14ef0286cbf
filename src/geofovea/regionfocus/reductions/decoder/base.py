"""Reductions that act between decoder layers: what they see, and what they give back.

A driver of the pipeline runs the layers, shows a `DecoderView` before each layer
that the reduction asked for, and really shortens the sequence by its answer. Layers are counted
from 0; to act before layer l is to act after the l-th of them. Only vision tokens are ever chosen
from; all others stay. This module knows no model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import Stage, TokenChoice
from geofovea.regionfocus.reductions.decoder.schedule import Schedule

__all__ = [
    "DecoderReduction",
    "DecoderStage",
    "DecoderView",
    "Positions",
    "Sublayer",
    "sequence_after",
]

Positions = Literal["original", "contiguous"]
"""Whether survivors keep their positions, with gaps, or are numbered anew after every step.

Only a prompt that counts its tokens one by one is numbered anew: rows and columns stay.
"""

Sublayer = Literal["attention", "feed_forward"]


class DecoderView(Protocol):
    """What a reduction sees of one sequence of s tokens that is about to enter a layer.

    Attributes:
        layer: The layer that comes next, from 0.
        depth: Layers of the decoder.
        original: Vision tokens that the prompt had.
        hidden: ``(s, d)``, what would enter the layer.
        visual: int64 ``(n,)``, ascending places of the vision tokens left in the sequence.
        text: int64 ``(t,)``, ascending places of what follows the image.
        embedded_visual: ``(original, d)``, vision tokens as the prompt had them.
        embedded_text: ``(t, d)``, embeddings of what follows the image.
        carried: One row for each vision token left, under any name; the driver drops the rows of
            those that are dropped. Under ``levels`` stands each token's level, where it is known;
            under ``sizes`` how many tokens each stands for, after a merge; under ``importance``
            what a reduction on projected tokens found of each, where it tells that.
    """

    @property
    def layer(self) -> int: ...  # noqa: D102 - see the class
    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def original(self) -> int: ...  # noqa: D102
    @property
    def hidden(self) -> Tensor: ...  # noqa: D102
    @property
    def visual(self) -> Tensor: ...  # noqa: D102
    @property
    def text(self) -> Tensor: ...  # noqa: D102
    @property
    def embedded_visual(self) -> Tensor: ...  # noqa: D102
    @property
    def embedded_text(self) -> Tensor: ...  # noqa: D102
    @property
    def carried(self) -> MutableMapping[str, Tensor]: ...  # noqa: D102

    def rows(self, queries: Tensor, back: int = 0) -> Tensor:
        """Causal attention of some rows over the whole sequence, float32 ``(heads, q, s)``.

        Args:
            queries: Their places, int64 ``(q,)``; few, since each costs heads × s numbers.
            back: 0 for the layer that comes next, 1 for the one that just ran, and so on, at most
                the reduction's ``reach``.
        """
        ...

    def mean_rows(self, queries: Tensor, back: int = 0) -> Tensor:
        """Mean of `rows` over heads and any number of queries, float32 ``(s,)``, block by block."""
        ...

    def nearness(self, queries: Tensor) -> Tensor:
        """What attention gives for nearness alone, float32 ``(q, s)``.

        Vectors of ones, turned to the positions of query and key as the model turns them, have
        these products over the root of their numbers, √head_dim at distance 0.

        Args:
            queries: Their places, int64 ``(q,)``.
        """
        ...

    def keys(self) -> Tensor:
        """Rotated keys of the next layer, mean over heads, float32 ``(s, head_dim)``."""
        ...

    def values(self) -> Tensor:
        """Values of the next layer, float32 ``(key heads, s, head_dim)``."""
        ...


class DecoderReduction(Protocol):
    """Chooses or merges vision tokens between decoder layers."""

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        ...

    @property
    def stage(self) -> Stage:
        """Where it acts."""
        ...

    @property
    def positions(self) -> Positions:
        """What becomes of the positions of survivors."""
        ...

    @property
    def reach(self) -> int:
        """How many layers back it asks for attention rows."""
        ...

    def layers(self, depth: int) -> tuple[int, ...]:
        """The layers before which it wants to be asked, ascending."""
        ...

    def watched(self, depth: int) -> frozenset[int]:
        """The layers whose sublayers it wants to watch."""
        ...

    def watch(self, view: DecoderView, sublayer: Sublayer, before: Tensor, after: Tensor) -> None:
        """See a sublayer's normed input and its output before the residual, both ``(s, d)``."""
        ...

    def reduce(self, view: DecoderView) -> TokenChoice:
        """Keep some of the n vision tokens left; indices count among these, none may be kept."""
        ...


class DecoderStage(ABC):
    """The rules that all reductions between layers share; a method adds only its choice."""

    name: ClassVar[str]
    stage: ClassVar[Stage] = "decoder_layer"
    reach: ClassVar[int] = 0
    requires: ClassVar[frozenset[str]] = frozenset()
    """What it cannot do without among what is ``carried``."""
    schedule: Schedule
    positions: Positions

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `DecoderReduction`."""
        return tuple(self.schedule.counts(1, depth))

    def watched(self, depth: int) -> frozenset[int]:  # noqa: ARG002
        """See `DecoderReduction`; nothing, unless a method says otherwise."""
        return frozenset()

    def watch(  # noqa: B027 - most methods watch nothing
        self, view: DecoderView, sublayer: Sublayer, before: Tensor, after: Tensor
    ) -> None:
        """See `DecoderReduction`; nothing, unless a method says otherwise."""

    def reduce(self, view: DecoderView) -> TokenChoice:
        """See `DecoderReduction`."""
        n = len(view.visual)
        k = min(self.schedule.counts(view.original, view.depth)[view.layer], n)
        if k == n:
            return TokenChoice(torch.arange(n))
        return self._choose(view, k)

    @abstractmethod
    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        """Keep ``k`` of the vision tokens left, ``1 <= k < n``."""


def sequence_after(length: int, visual: Tensor, index: Tensor) -> Tensor:
    """Places of a sequence that are left when only some of its vision tokens are.

    Args:
        length: Tokens of the sequence.
        visual: int64 ``(n,)``, places of the vision tokens.
        index: int64 ``(k,)``, which of those stay, in any order.

    Returns:
        int64 ``(length - n + k,)``, ascending.
    """
    stays = torch.ones(length, dtype=torch.bool, device=visual.device)
    stays[visual] = False
    stays[visual[index.to(visual.device)]] = True
    return stays.nonzero()[:, 0]
