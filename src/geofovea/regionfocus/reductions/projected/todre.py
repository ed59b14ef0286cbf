"""ToDRE, first stage: diverse tokens around the most attended one.

Source: "ToDRE: Visual Token Pruning via Diversity and Task Awareness for Efficient Large
Vision-Language Models", arXiv 2505.18757; no code was released.

Signal: cosine similarity of features; no question. Needs nothing of a host; where class attention
(or attention received) is known, its highest token is the pivot from which the choice starts,
otherwise token 0. Acts on projected tokens; tiles may be mixed. O(k n d) time and O(n) memory: the
cheapest method by diversity, and the only one linear in memory without blocks.

Two published rules: ``kcenter`` (version 1) takes the token farthest from all chosen, ``maxsum``
(version 2) the one whose summed similarity to the chosen is least. The sum is blind to near
duplicates: two opposite clusters can get all picks, so ``kcenter`` is the default. The second
stage, which drops all vision tokens at a decoder layer, belongs to the decoder's reductions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.attention_mass import patch_mass
from geofovea.regionfocus.reductions.primitives.dispersion import farthest_first
from geofovea.regionfocus.reductions.primitives.similarity import broken_rows, unit_rows
from geofovea.regionfocus.scoring import clean_scores

__all__ = ["ToDRE", "todre_order"]

Criterion = Literal["kcenter", "maxsum"]


def todre_order(
    features: Tensor, k: int, *, pivot: int = 0, criterion: Criterion = "kcenter"
) -> Tensor:
    """The first ``k`` tokens in the order in which they are picked, from ``pivot`` on.

    Args:
        features: ``(n, d)``, n of at least 1.
        k: From 1 to n.
        pivot: The first token.
        criterion: Which of the published rules.

    Returns:
        int64 ``(k,)`` on the device of the features.
    """
    unit, broken = unit_rows(features), broken_rows(features)
    if criterion == "kcenter":
        return farthest_first(unit, broken, pivot, k)
    order = torch.empty(k, dtype=torch.int64, device=unit.device)
    order[0] = pivot
    # broken tokens come last, after everything that a sum of cosines can reach
    summed = unit.new_zeros(len(unit)).masked_fill(broken, 2.0 * len(unit))
    is_chosen = torch.zeros_like(broken)
    for step in range(1, k):
        last = order[step - 1]
        is_chosen[last] = True
        summed = summed + unit @ unit[last]
        order[step] = summed.masked_fill(is_chosen, torch.inf).argmin()
    return order


@dataclass(frozen=True, slots=True)
class ToDRE(Selector):
    """``k`` diverse tokens, the most attended one first.

    Attributes:
        criterion: ``kcenter`` or ``maxsum``.
    """

    criterion: Criterion = "kcenter"
    name: ClassVar[str] = "todre"
    uses: ClassVar[frozenset[str]] = frozenset({"cls_attention"})

    def __post_init__(self) -> None:
        if self.criterion not in ("kcenter", "maxsum"):
            raise ModelError(f"todre knows 'kcenter' and 'maxsum', got {self.criterion!r}")

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        pivot, info = _pivot(context)
        order = todre_order(context.features, k, pivot=pivot, criterion=self.criterion)
        return TokenChoice(order.cpu().sort().values, info=info)


def _pivot(context: TokenContext) -> tuple[int, dict[str, Any]]:
    if not context.cls_attention and not context.received:
        return 0, {"pivot": "first"}
    mass, _ = patch_mass(context)
    return int(clean_scores(mass)[0].argmax()), {}
