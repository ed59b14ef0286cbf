"""IMA: from some layer on, vision tokens skip the feed-forward, attention or both.

Source: "Skipping Computations in Multimodal LLMs" and "Implicit Multimodal Alignment",
mshukor/ima-lmms. Vision tokens change little in the later layers of a decoder, so what is not
computed of them is hardly missed. Needs no training and no signal. A frozen token still gives its
keys and values, 4nd² of the 8nd² + 6ndm + 2n²d operations of n tokens of width d and a feed-forward
of m units.

``faithful``: `released_skip` is what the release makes of the tokens that skip: they get their own
norm on top, where the text says that they pass. Its mode without attention leaves no residual at
all. ``fixed``, the default: what is skipped adds nothing. The paper also masks weights by one
pattern for words and vision; that makes weights smaller and not sequences, and is not here.

Measured on the embedded model (4 layers, 144 questions, .819 without): no feed-forward for vision
from layer 0, 1, 2 or 3: .451, .806, .819, .819; frozen: .479, .806, .819, .819.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan, LayerView, check_start

__all__ = ["Ima", "Skip", "released_skip"]

Skip = Literal["ffn", "attention", "both", "parallel"]
"""What is left out; ``parallel`` leaves out nothing, but both parts read the same input."""

_PLANS = {
    "ffn": LayerPlan(feeds=False),
    "attention": LayerPlan(attends=False),
    "both": LayerPlan(attends=False, feeds=False),
    "parallel": LayerPlan(is_parallel=True),
}


@dataclass(frozen=True, slots=True)
class Ima(LayerMethod):
    """Skip parts of every ``interval``-th layer from ``start`` to ``end``.

    Attributes:
        skip: What is skipped.
        start: The first layer; None for the second half of them.
        interval: 1 for every layer.
        end: The layer behind the last one; None for all.

    Raises:
        ModelError: If there is no such part or no such layer.
    """

    skip: Skip = "both"
    start: int | None = None
    interval: int = 1
    end: int | None = None
    name: ClassVar[str] = "ima"

    def __post_init__(self) -> None:
        if self.skip not in _PLANS:
            raise ModelError(f"ima skips one of {', '.join(_PLANS)}, got {self.skip!r}")
        check_start(self.start or 0)
        if self.interval < 1:
            raise ModelError(f"ima skips every layer or every n-th, got interval={self.interval}")

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `LayerMethod`."""
        start = depth // 2 if self.start is None else self.start
        end = depth if self.end is None else min(self.end, depth)
        return tuple(range(start, end, self.interval))

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`."""
        acts = view.layer in self.layers(view.depth)
        return _PLANS[self.skip] if acts else LayerPlan()


def released_skip(states: Tensor, norm: Callable[[Tensor], Tensor]) -> Tensor:
    """What the release makes of tokens that skip the feed-forward, ``(n, d)``.

    Args:
        states: ``(n, d)``, behind the attention of the layer.
        norm: The norm before the feed-forward.
    """
    return states + norm(states)
