"""DivPrune: the tokens that differ most from each other.

Source: "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025
(repository vbdi/divprune).

Signal: cosine distance of features; no question, no host. Acts on projected tokens (any stage
works, and tiles may be mixed). Greedy max–min dispersion: the first token is the one farthest from
its nearest other, each next one the farthest from all chosen. In the chord metric
sqrt(2 · distance) the least distance is at least half the best possible one, in cosine distance a
quarter. O(n² d) time at worst for the first token, O(k n d) for the others, O(n) memory.

Where this differs from the released code: the released code compares a token with itself unless its
own distance is the smallest of its column, and never masks what is chosen, so that equal tokens,
zero vectors and bf16 features of smooth imagery give repeated indices. Here the token itself is
left out, chosen tokens are masked, everything is float32, distances below its noise are equal, and
tokens that are not finite come last. On other input the order is that of the released code, so one
function serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.dispersion import farthest_first, most_isolated
from geofovea.regionfocus.reductions.primitives.similarity import (
    broken_rows,
    unit_rows,
    without_noise,
)

__all__ = ["DivPrune", "divprune_order"]


def divprune_order(
    features: Tensor,
    k: int,
    *,
    first: Literal["isolated", "farthest_from_mean"] = "isolated",
) -> Tensor:
    """The first ``k`` tokens in the order in which they are picked.

    Equal distances go in order of index.

    Args:
        features: ``(n, d)``, n of at least 1.
        k: From 1 to n.
        first: The published first pick, or a cheap one that spares the n² pass.

    Returns:
        int64 ``(k,)`` on the device of the features.
    """
    unit, broken = unit_rows(features), broken_rows(features)
    if first == "isolated":
        start = most_isolated(unit, broken)
    else:
        far = without_noise(1 - unit @ unit_rows(unit.mean(dim=0, keepdim=True))[0])
        start = int(far.masked_fill(broken, -1).argmax())
    return farthest_first(unit, broken, start, k)


@dataclass(frozen=True, slots=True)
class DivPrune(Selector):
    """``k`` tokens far from each other in feature space.

    Attributes:
        first: How the first token is found: ``isolated`` as published, or ``farthest_from_mean``,
            which is linear in the number of tokens.
    """

    first: Literal["isolated", "farthest_from_mean"] = "isolated"
    name: ClassVar[str] = "divprune"

    def __post_init__(self) -> None:
        if self.first not in ("isolated", "farthest_from_mean"):
            raise ModelError(
                f"divprune starts at 'isolated' or 'farthest_from_mean', got {self.first!r}"
            )

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        order = divprune_order(context.features, k, first=self.first)
        return TokenChoice(order.cpu().sort().values)
