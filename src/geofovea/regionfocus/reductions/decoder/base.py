"""Reductions that act between decoder layers: when they act, what they see, what they give back.

A driver (``pipeline/decoder_pruning``) runs the layers, shows a `DecoderView` before each layer
that the reduction asked for, and really shortens the sequence by its answer. Layers are counted
from 0; to act before layer l is to act after the l-th of them. Only vision tokens are ever chosen
from; all others stay. This module knows no model.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar, Literal, Protocol

import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.reductions.base import Kept, Stage
from geofovea.regionfocus.reductions.primitives.similarity import row_blocks

__all__ = [
    "DecoderReduction",
    "DecoderStage",
    "DecoderView",
    "Positions",
    "Schedule",
    "Step",
    "Sublayer",
    "sequence_after",
    "summed",
    "summed_by",
]

Positions = Literal["original", "contiguous"]
"""Whether survivors keep their positions, with gaps, or are numbered anew after every step."""

Sublayer = Literal["attention", "feed_forward"]


@dataclass(frozen=True, slots=True)
class Step:
    """One shortening of the sequence.

    Attributes:
        layer: It happens before this layer: a whole number from 1 on, or a share of the depth.
        keep: Vision tokens that are left: a whole number, or a share of those the prompt had.

    Raises:
        ModelError: If the layer is neither a whole number of at least 1 nor between 0 and 1.
        BudgetError: If the number is neither a whole one of at least 1 nor above 0 and at most 1.
    """

    layer: int | float
    keep: int | float

    def __post_init__(self) -> None:
        # True is an int to Python, and layer True was hardly meant
        if isinstance(self.layer, bool) or not (
            self.layer >= 1 if isinstance(self.layer, int) else 0 < self.layer < 1
        ):
            raise ModelError(
                f"a step needs a layer of at least 1 or a share of the depth between 0 and 1, got "
                f"{self.layer!r}; before layer 0 choose a reduction that acts on projected tokens"
            )
        if isinstance(self.keep, bool) or not (
            self.keep >= 1 if isinstance(self.keep, int) else 0 < self.keep <= 1
        ):
            raise BudgetError(
                "a step keeps a whole number of at least 1 or a share above 0 and at most 1, got "
                f"{self.keep!r}; to drop every vision token choose todre_drop_all"
            )


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps in the order of their layers; what one keeps is never more than the one before kept.

    Attributes:
        steps: At least one.
        rounding: How a share of a number becomes whole: ``nearest`` (halves up) or ``down``, as
            some published codes have it.

    Raises:
        ModelError: If there is no step, or layers of one kind (whole, share) do not ascend.
        BudgetError: If numbers of one kind grow.
    """

    steps: tuple[Step, ...]
    rounding: Literal["nearest", "down"] = "nearest"

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        if not self.steps:
            raise ModelError("a schedule needs at least one step, got none")
        for kind in (int, float):
            layers = [step.layer for step in self.steps if isinstance(step.layer, kind)]
            if any(a >= b for a, b in pairwise(layers)):
                raise ModelError(f"the layers of a schedule must ascend, got {layers}")
            keeps = [step.keep for step in self.steps if isinstance(step.keep, kind)]
            if any(a < b for a, b in pairwise(keeps)):
                raise BudgetError(
                    f"a dropped token cannot come back, so a schedule may not grow, got {keeps}"
                )

    @classmethod
    def of(cls, *steps: tuple[int | float, int | float]) -> Schedule:
        """A schedule of ``(layer, keep)`` pairs."""
        return cls(tuple(Step(*step) for step in steps))

    def counts(self, original: int, depth: int) -> dict[int, int]:
        """Vision tokens left from each layer on, by layer, ascending.

        Where shares of a shallow depth fall on one layer, the later step holds.

        Args:
            original: Vision tokens in the prompt.
            depth: Layers of the decoder.

        Raises:
            ModelError: If a step stands at or behind the end of the decoder.
        """
        counts: dict[int, int] = {}
        left = original
        for step in self.steps:
            layer = _layer(step.layer, depth)
            if counts and layer < max(counts):
                raise ModelError(
                    f"with {depth} layers the steps at {[s.layer for s in self.steps]} are out of "
                    "order; give their layers all as whole numbers or all as shares"
                )
            left = min(left, self._count(step.keep, original))
            counts[layer] = left
        return counts

    def mean_tokens(self, original: int, depth: int) -> float:
        """Vision tokens that a layer sees, on average over all layers."""
        counts = self.counts(original, depth)
        ends = [*counts, depth]
        total = original * ends[0]
        total += sum(n * (ends[i + 1] - ends[i]) for i, n in enumerate(counts.values()))
        return total / depth

    def to_final(self, share: float) -> Schedule:
        """The same schedule, bent so that its last step keeps ``share``.

        Each share is raised to the power that takes the last one there, so a geometric schedule
        stays geometric.

        Raises:
            BudgetError: If a step keeps a whole number or all, or ``share`` is not in 0..1.
        """
        last = self.steps[-1].keep
        if not 0 < share < 1 or any(not isinstance(s.keep, float) for s in self.steps) or last == 1:
            raise BudgetError(
                f"only a schedule of shares can be bent, to a share between 0 and 1; got {share} "
                f"for {[step.keep for step in self.steps]}"
            )
        power = math.log(share) / math.log(last)
        steps = [replace(step, keep=step.keep**power) for step in self.steps]
        return replace(self, steps=(*steps[:-1], replace(steps[-1], keep=float(share))))

    def _count(self, keep: int | float, original: int) -> int:
        if isinstance(keep, int):
            return keep
        wanted = keep * original
        return max(1, math.floor(wanted + 0.5 if self.rounding == "nearest" else wanted))


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

    def reduce(self, view: DecoderView) -> Kept:
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

    def reduce(self, view: DecoderView) -> Kept:
        """See `DecoderReduction`."""
        n = len(view.visual)
        k = min(self.schedule.counts(view.original, view.depth)[view.layer], n)
        if k == n:
            return Kept(torch.arange(n))
        return self._choose(view, k)

    @abstractmethod
    def _choose(self, view: DecoderView, k: int) -> Kept:
        """Keep ``k`` of the vision tokens left, ``1 <= k < n``."""


def summed(values: Tensor, dims: int | tuple[int, ...]) -> Tensor:
    """Sums added up in double precision and rounded to float32, where the device can.

    Sums of equal numbers are then equal, whatever the order in which they were added.
    """
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    return values.sum(dims, dtype=wide).float()


def summed_by(values: Tensor, label: Tensor, count: int) -> Tensor:
    """Sums of ``(m, d)`` values by label ``(m,)``, float32 ``(count, d)``.

    A product of matrices, since scattered additions come in any order on an accelerator; in blocks,
    so that no table of all labels by all values is held.
    """
    every = torch.arange(count, device=label.device)
    values = values.float()
    sums = values.new_empty(count, values.shape[1])
    for block in row_blocks(count, len(label)):
        sums[block] = (label == every[block, None]).float() @ values
    return sums


def sequence_after(length: int, visual: Tensor, kept: Tensor) -> Tensor:
    """Places of a sequence that are left when only some of its vision tokens are.

    Args:
        length: Tokens of the sequence.
        visual: int64 ``(n,)``, places of the vision tokens.
        kept: int64 ``(k,)``, which of those stay, in any order.

    Returns:
        int64 ``(length - n + k,)``, ascending.
    """
    stays = torch.ones(length, dtype=torch.bool, device=visual.device)
    stays[visual] = False
    stays[visual[kept.to(visual.device)]] = True
    return stays.nonzero()[:, 0]


def _layer(layer: int | float, depth: int) -> int:
    found = layer if isinstance(layer, int) else max(1, math.floor(layer * depth + 0.5))
    if found >= depth and isinstance(layer, float) and depth > 1:
        return depth - 1
    if found >= depth:
        raise ModelError(
            f"a step before layer {layer} needs more than the {depth} layers of this decoder; "
            "choose an earlier one, or a share of the depth"
        )
    return found
