"""DyVTE: vision leaves for good after the first layer that says it is no longer needed.

Source: "Accelerating Multimodal Large Language Models via Dynamic Visual-Token Exit",
DoubtedSteam/DyVTE. A small router behind each layer reads the mean of the words behind the picture
without the last, and the last, and says exit or stay. The token budget is as before; what falls is
the number of layers that vision tokens run through.

``faithful``: `exit_feature`, `router_logits`, `exit_labels`. The release has the place and the
length of the picture fixed in code, and its first word of the answer fails if no layer exits; its
loss takes token 0 for no answer. ``fixed``: any place, and no exit is a stock run.

Without routers the stand-in looks ahead: vision leaves before a layer in which the last word would
give it less attention, mean of heads, than a threshold. Measured on the embedded model: as a sign
that the answer stays, the area under the curve of the stand-in is .994, of trained routers .993.
Its threshold has to be chosen for a model: for 19 questions about one world no layer of the
embedded model from the third on fell below .2, so that the default of .1 drops nothing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import (
    LayerMethod,
    LayerPlan,
    LayerView,
    check_start,
    words_behind,
)

__all__ = ["DyVte", "ExitRouter", "exit_feature", "exit_labels", "router_logits"]


@dataclass(frozen=True, slots=True, eq=False)
class ExitRouter:
    """The router behind one layer.

    Attributes:
        first: ``(hidden, 2d)``.
        second: ``(2, hidden)``: stay and exit.

    Raises:
        ModelError: If the shapes contradict each other.
    """

    first: Tensor
    second: Tensor

    def __post_init__(self) -> None:
        if self.second.shape != (2, len(self.first)):
            raise ModelError(
                "a router has weights (hidden, 2d) and (2, hidden), got "
                f"{tuple(self.first.shape)} and {tuple(self.second.shape)}"
            )


@dataclass(frozen=True, slots=True, eq=False)
class DyVte(LayerMethod):
    """Let vision leave once, before some layer.

    Attributes:
        routers: One behind each layer; none for the stand-in.
        threshold: With routers, exit if its logit is above that of staying by more than this; with
            the stand-in, exit if vision would get less attention than this. None for 0 and 0.1.
        start: The first layer that may run without vision; None for the second half of them.

    Raises:
        ModelError: If there is no such layer; vision that enters none is never seen.
    """

    routers: tuple[ExitRouter, ...] = ()
    threshold: float | None = None
    start: int | None = None
    name: ClassVar[str] = "dyvte"

    def __post_init__(self) -> None:
        check_start(self.start or 0)
        if self.start == 0:
            raise ModelError("dyvte can let vision leave before layer 1, not before layer 0")

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `LayerMethod`."""
        start = max(1, depth // 2) if self.start is None else self.start
        end = min(depth, len(self.routers) + 1) if self.routers else depth
        return tuple(range(start, end))

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`."""
        behind = words_behind(view)
        if view.layer not in self.layers(view.depth) or not len(behind):
            return LayerPlan()
        return LayerPlan(is_gone=self._leaves(view, behind))

    def _leaves(self, view: LayerView, behind: Tensor) -> bool:
        if not self.routers:
            mass = view.attention(behind[-1:])[:, 0, view.visual].sum(1).mean()
            return float(mass) < (0.1 if self.threshold is None else self.threshold)
        stay, leave = router_logits(
            exit_feature(view.hidden[behind]), self.routers[view.layer - 1]
        ).tolist()
        return bool(leave - stay > (self.threshold or 0.0))


def exit_feature(words: Tensor) -> Tensor:
    """What a router reads, float32 ``(2d,)``.

    Args:
        words: ``(t, d)``, states of what follows the picture, at least one; a single word stands
            for the mean of the others, too.
    """
    states = words.float()
    others = states[:-1] if len(states) > 1 else states
    return torch.cat([others.mean(0), states[-1]])


def router_logits(feature: Tensor, router: ExitRouter) -> Tensor:
    """Logits of staying and of leaving, float32 ``(2,)``."""
    inner = torch.nn.functional.gelu(router.first.float() @ feature)
    logits: Tensor = router.second.float() @ inner
    return logits


def exit_labels(with_vision: Tensor, without: Tensor, answers: Tensor) -> Tensor:
    """Which samples may lose vision after a layer, int64 ``(b,)``: 1 for exit.

    Args:
        with_vision: ``(b, m, vocabulary)``, logits; those at place i predict token i + 1.
        without: The same with vision hidden behind the layer.
        answers: int64 ``(b, m)``, tokens; those that are not above 0 are no answer.
    """
    expected = answers[:, 1:]
    counts = expected > 0
    amount = counts.sum(1).clamp_min(1)
    first, second = (logits[:, :-1].float() for logits in (with_vision, without))
    same = ((first.argmax(-1) == second.argmax(-1)) & counts).sum(1) / amount
    losses = []
    for logits in (first, second):
        log = logits.log_softmax(-1)
        chosen = log.gather(-1, expected.clamp_min(0)[..., None])[..., 0]
        losses.append(-(chosen * counts).sum(1) / amount)
    return ((same > 0.99) & (losses[1] < 1.03 * losses[0])).long()
