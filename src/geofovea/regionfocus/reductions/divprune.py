"""DivPrune: the tokens that differ most from each other.

Source: "DivPrune: Diversity-based Visual Token Pruning for Large Multimodal Models", CVPR 2025
(repository vbdi/divprune).

Signal: cosine distance of features; no question, no host. Acts on projected tokens (any stage
works, and tiles may be mixed). Greedy max–min dispersion: the first token is the one farthest from
its nearest other, each next one the farthest from all chosen. Cost O(n² d) time; a table of n × n
up to 8,192 tokens, above that one matrix–vector product per pick in O(n) memory, with the same
result. In the chord metric sqrt(2 · distance) the least distance is at least half the best possible
one, in cosine distance a quarter.

Where `fixed` differs from `faithful`: the released code compares a token with itself unless its own
distance is the smallest of its column, and never masks what is chosen, so that equal tokens, zero
vectors and bf16 features of smooth imagery give repeated indices. Here the token itself is left
out, chosen tokens are masked, everything is float32, distances below its noise are equal, and
tokens that are not finite come last. On other input the order is that of the released code, so one
function serves both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.selector import Kept, Selector
from geofovea.regionfocus.reductions.similarity import (
    MOST_TOKENS,
    broken_rows,
    nearest_distance,
    unit_rows,
    without_noise,
)

__all__ = ["DivPrune", "divprune_order", "farthest_order"]


def divprune_order(
    features: Tensor,
    k: int,
    *,
    first: Literal["isolated", "farthest_from_mean"] = "isolated",
    most_tokens: int = MOST_TOKENS,
) -> Tensor:
    """The first ``k`` tokens in the order in which they are picked.

    Args:
        features: ``(n, d)``, n of at least 1.
        k: From 1 to n.
        first: The published first pick, or a cheap one that spares the n² pass.
        most_tokens: Above it, nothing of n × n entries is held.

    Returns:
        int64 ``(k,)`` on the device of the features.
    """
    unit = unit_rows(features)
    if first == "isolated":
        far = nearest_distance(unit)
    else:
        far = without_noise(1 - unit @ unit_rows(unit.mean(dim=0, keepdim=True))[0])
    start = far.masked_fill(broken_rows(features), -1).argmax()
    return farthest_order(features, start, k, most_tokens=most_tokens)


def farthest_order(
    features: Tensor, start: Tensor, k: int, *, most_tokens: int = MOST_TOKENS
) -> Tensor:
    """Farthest-first order from a given token; equal distances go in order of index.

    Args:
        features: ``(n, d)``.
        start: int64 scalar, the first token.
        k: From 1 to n.
        most_tokens: Above it, the table of distances is not held but computed row by row.

    Returns:
        int64 ``(k,)`` on the device of the features.
    """
    unit, broken = unit_rows(features), broken_rows(features)
    table = unit @ unit.T if len(unit) <= most_tokens else None
    order = torch.empty(k, dtype=torch.int64, device=unit.device)
    order[0] = start
    gap = unit.new_full((len(unit),), torch.inf)
    chosen = torch.zeros_like(broken)
    for step in range(1, k):
        last = order[step - 1]
        chosen[last] = True
        similarity = table[last] if table is not None else unit @ unit[last]
        gap = torch.minimum(gap, without_noise(1 - similarity))
        # a broken token is worse than any, and a chosen one is out
        order[step] = gap.masked_fill(broken, -1).masked_fill(chosen, -torch.inf).argmax()
    return order


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

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:  # noqa: ARG002
        order = divprune_order(context.features, k, first=self.first)
        return Kept(order.cpu().sort().values)
