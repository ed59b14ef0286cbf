"""CATP, first stage: tokens that cover all others and agree with the question.

Source: "CATP: Contextually Adaptive Token Pruning for Efficient and Enhanced Multimodal In-Context
Learning", AAAI 2026; no code was found.

Signal: similarity of features to each other and to the mean embedding of the question. Needs the
embeddings of the question. Acts on projected tokens; tiles may be mixed. The choice maximizes
F(Y) = sum over all x of max over y in Y of s(x, y), plus lambda1 times the sum over Y of s(y, t),
with s = (cos + 1) / 2: facility location, greedily, so at least 1 − 1/e of the best. O(n² d) for
the table and O(k n²) at worst, far less with lazy gains; O(n²) memory, so at most 8,192 tokens at a
time: without the table the same similarities would have to be computed again and again.

`fixed` is the published rule; the paper's number of tokens, floor(n (1 − R/2)) for a share R to
remove in two stages, becomes the budget. The second stage, at a decoder layer, belongs to the
decoder's reductions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import (
    broken_rows,
    cosine_matrix,
    refuse_quadratic,
    unit_rows,
)

__all__ = ["Catp", "alignment", "catp_order"]

_LIKELY, _MOST_LIKELY = 8, 256
"""Tokens whose gains are brought up to date at first and at most; twice as many at every try."""


def alignment(features: Tensor, text: Tensor) -> Tensor:
    """(cos + 1) / 2 of each token ``(n, d)`` with a text vector ``(d,)``; float32 ``(n,)``.

    A half for all where the text vector is zero.
    """
    unit_text = unit_rows(text[None].to(features.device))[0]
    return (unit_rows(features) @ unit_text + 1) / 2


def catp_order(features: Tensor, text: Tensor, k: int, lambda1: float = 0.7) -> Tensor:
    """The first ``k`` tokens in the order in which they are picked.

    Args:
        features: ``(n, d)``.
        text: ``(d,)``, mean embedding of the question.
        k: From 1 to n.
        lambda1: Weight of the agreement with the question.

    Returns:
        int64 ``(k,)`` on the device of the features; equal gains go in order of index, and tokens
        that are not finite come last.

    Raises:
        BudgetError: Above `MOST_TOKENS` tokens.
    """
    refuse_quadratic(len(features), "catp")
    table = cosine_matrix(features).add_(1).div_(2)
    agreed = lambda1 * alignment(features, text)
    covered = torch.zeros_like(agreed)
    broken = broken_rows(features)
    # gains never grow, so an old gain is a bound and few have to be computed anew
    bound = (table.sum(dim=1) + agreed).masked_fill(broken, -1)
    is_known = torch.ones_like(broken)
    order = torch.empty(k, dtype=torch.int64, device=features.device)
    for step in range(k):
        likely = _LIKELY
        while not bool(is_known[pick := int(bound.argmax())]):
            some = bound.masked_fill(is_known, -torch.inf).topk(min(likely, len(bound))).indices
            # of equals the first is asked for, which need not be among those
            some[-1] = pick
            some = some[~is_known[some]]
            bound[some] = (table[some] - covered).clamp_min_(0).sum(dim=1) + agreed[some]
            is_known[some] = True
            likely = min(2 * likely, _MOST_LIKELY)
        order[step] = pick
        covered = torch.maximum(covered, table[pick])
        bound[pick] = -torch.inf
        torch.logical_or(broken, bound.isneginf(), out=is_known)
    return order


@dataclass(frozen=True, slots=True)
class Catp(Selector):
    """Tokens that cover the others and agree with the question.

    Attributes:
        lambda1: Weight of the agreement with the question.
    """

    lambda1: float = 0.7
    name: ClassVar[str] = "catp"
    requires: ClassVar[frozenset[str]] = frozenset({"text_embeds"})

    def __post_init__(self) -> None:
        if not self.lambda1 >= 0:
            raise ModelError(f"catp needs a lambda1 of at least 0, got {self.lambda1}")

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        assert context.text_embeds is not None  # noqa: S101 - required, and checked by reduce
        text = context.text_embeds.detach().to(torch.float32).mean(dim=0)
        order = catp_order(context.features, text, k, self.lambda1)
        return TokenChoice(order.cpu().sort().values)
