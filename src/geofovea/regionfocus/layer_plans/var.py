"""VAR: rows behind the picture move attention from sinks to the other vision tokens.

Source: "See What You Are Told: Visual Attention Sink in Large Multimodal Models" (repository
seilk/VisAttnSink).
The rule stands in ``reductions/decoder/visual_sinks``; here it acts in the layers from 2 on, the
last excepted, of heads that look at the picture and not at its sinks. It skips nothing, and the
rows behind the picture are computed apart.

``faithful``: the functions there. ``fixed``: what is huge depends on the width of the model, see
`scaled_threshold`, and a row without another vision token stays as it is.

Expected on small models: nothing, for they have no sinks. It stands here because readers look for
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import (
    LayerMethod,
    LayerPlan,
    LayerView,
    Shaping,
    check_start,
)
from geofovea.regionfocus.reductions.decoder.visual_sinks import (
    SinkFilter,
    looking_heads,
    redistribute,
    view_sinks,
)

__all__ = ["Var"]


@dataclass(frozen=True, slots=True)
class Var(LayerMethod):
    """Move attention from sinks.

    Attributes:
        sinks: What a sink is.
        start: The first layer.
        most_on_sinks: Largest share of a head's visual attention that sinks may have.
        least_mass: Smallest visual attention that a head must have.
        strength: The factor by which sinks are multiplied.

    Raises:
        ModelError: If a share is not in 0..1, or there is no such layer.
    """

    sinks: SinkFilter = field(default_factory=SinkFilter)
    start: int = 2
    most_on_sinks: float = 0.5
    least_mass: float = 0.2
    strength: float = 0.6
    name: ClassVar[str] = "var"

    def __post_init__(self) -> None:
        check_start(self.start)
        for share in (self.most_on_sinks, self.least_mass, self.strength):
            if not 0 <= share <= 1:
                raise ModelError(f"var takes shares between 0 and 1, got {share}")

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `LayerMethod`."""
        return tuple(range(self.start, depth - 1))

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`."""
        if view.layer not in self.layers(view.depth):
            return LayerPlan()
        is_sink = view_sinks(view.hidden, self.sinks)
        count = {"sinks": int(is_sink.sum())}
        if not count["sinks"]:
            return LayerPlan(info=count)

        def move(weights: Tensor, visual: Tensor) -> Tensor:
            # words of the answer, which came later, are none
            later = is_sink.new_zeros(weights.shape[-1] - len(is_sink))
            sinks = torch.cat([is_sink, later])
            rows = looking_heads(
                weights,
                sinks,
                visual,
                most_on_sinks=self.most_on_sinks,
                least_mass=self.least_mass,
            )
            return redistribute(weights, sinks, visual, rows, strength=self.strength)

        return LayerPlan(shaping=Shaping("behind", weights=move), info=count)
