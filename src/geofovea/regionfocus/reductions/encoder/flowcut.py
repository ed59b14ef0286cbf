"""FlowCut: keep the tokens through which the information of the encoder flows.

Tong et al., "FlowCut: Rethinking Redundancy via Information Flow for Efficient Vision-Language
Models", arXiv 2505.19536.

Acts inside the vision encoder, between layers; the step in the decoder is ``flowcut_decoder``, its
score is here. Needs the class token's attention and the values of each layer. A token's score is
its share of the class token's attention plus its share of the likeness of values to the class
token's, times the size of its value; scores gather over layers, the newest counting half. At every
second layer tokens go, fewer where attention is spread wide, and at the last the budget is met.

Time O(nd) a layer, memory O(n).

``faithful`` and ``fixed`` are the same code, with these differences from the published one: zero
attention counts as 0 · log 0 = 0 and not as NaN; one token is never pruned; each image prunes by
its own entropy, where a published batch prunes by its largest (`prune_count` takes both); an
encoder of fewer than three layers prunes in its last but one, or its only one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.encoder.base import LayerView, Place, class_attention
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = [
    "FlowCutEncoder",
    "FlowCutRun",
    "class_affinity",
    "flowcut_llm_score",
    "flowcut_qwen_score",
    "flowcut_score",
    "key_relation",
    "prune_count",
]


def flowcut_score(attention: Tensor, affinity: Tensor, value: Tensor) -> Tensor:
    """What flows through each token in one layer, float32 ``(..., n)``.

    Args:
        attention: ``(..., n)``, of the class token, mean over heads.
        affinity: ``(..., n)``, see `class_affinity`.
        value: ``(..., n, d)``, mean over heads.
    """
    return (_share(attention) + _share(affinity)) * _size(value)


def flowcut_qwen_score(attention: Tensor, value: Tensor) -> Tensor:
    """The score of the port for encoders without a class token, float32 ``(..., n)``.

    ``attention`` ``(..., n)`` is that of the mean query; likeness of values plays no part.
    """
    return attention.float() * _size(value)


def flowcut_llm_score(relation: Tensor, affinity: Tensor, value: Tensor) -> Tensor:
    """The score of vision tokens in a decoder layer, float32 ``(..., n)``.

    Args:
        relation: ``(..., n)``, attention of the last prompt token, softmax over vision keys only;
            see `key_relation`.
        affinity: ``(..., n)``, the same of values.
        value: ``(..., n, d)``, mean over heads.
    """
    return (relation.float() + affinity.float()) * _size(value)


def key_relation(query: Tensor, keys: Tensor) -> Tensor:
    """Softmax over ``keys`` (heads, n, dh) of one query (heads, dh), mean of heads, ``(n,)``."""
    logits = (keys.float() @ query.float()[..., None])[..., 0] / math.sqrt(query.shape[-1])
    return logits.softmax(-1).mean(0)


def class_affinity(values: Tensor) -> Tensor:
    """Likeness of values to the class token's, float32 ``(n,)``.

    Args:
        values: ``(heads, n + 1, dh)``, the class token first.

    Returns:
        The softmax of their products without scaling, the class token's own share dropped after
        it, mean over heads.
    """
    values = values.float()
    logits = (values @ values[:, 0, :, None])[..., 0]
    return logits.softmax(-1).mean(0)[1:]


def entropy_ratio(attention: Tensor) -> Tensor:
    """Entropy of attention ``(..., n)`` as a share of the largest possible, ``(...)``."""
    share = _share(attention)
    n = share.shape[-1]
    if n < 2:
        return share.new_ones(share.shape[:-1])
    return -torch.xlogy(share, share).sum(-1) / math.log(n)


def prune_count(attention: Tensor, target: int, layers_left: int) -> int:
    """How many tokens to drop at a layer, not yet cut to what would leave ``target``.

    Args:
        attention: ``(n,)``, of the class token; or ``(b, n)``, for the most of a batch.
        target: Patches to be left in the end.
        layers_left: Layers until then, at least 1.

    Raises:
        BudgetError: If no layer is left.
    """
    if layers_left < 1:
        raise BudgetError(f"tokens are spread over at least one layer, got {layers_left}")
    n = attention.shape[-1]
    if n < 2:
        return 0
    focused = 1 - entropy_ratio(attention).amin().item() ** 2
    return max(0, round((n - target) / math.sqrt(layers_left) * focused))


def _share(weights: Tensor) -> Tensor:
    weights = torch.nan_to_num(weights.float(), nan=0.0)
    total = weights.sum(-1, keepdim=True)
    return weights / total.where(total != 0, torch.ones_like(total))


def _size(value: Tensor) -> Tensor:
    return value.float().abs().sum(-1)


@dataclass(frozen=True, slots=True)
class FlowCutEncoder:
    """Tokens of little flow go at every second layer.

    Attributes:
        first_layer: Where it begins to drop tokens; it scores from layer 0 on.
        memory: Weight of the layers before in the score.

    Raises:
        ModelError: If the weight is not a share, or the layer negative.
    """

    first_layer: int = 1
    memory: float = 0.5
    name: ClassVar[str] = "flowcut"
    place: ClassVar[Place] = "block"
    is_proportional: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.first_layer < 0 or not 0 <= self.memory < 1:
            raise ModelError(
                "FlowCut needs a first layer from 0 on and a memory from 0 to below 1, got "
                f"{self.first_layer} and {self.memory}"
            )

    def start(self, n: int, k: int, layers: int) -> FlowCutRun:  # noqa: ARG002
        """See `EncoderReduction`."""
        last = max(0, layers - 2)
        return FlowCutRun(k, min(self.first_layer, last), last, self.memory)


@dataclass(slots=True)
class FlowCutRun:
    """One image on its way through the encoder.

    Attributes:
        k: Tokens to be left.
        first: Layer at which dropping begins.
        last: Layer at which the budget is met.
        memory: Weight of the layers before.
        flow: Gathered scores ``(n,)`` of the tokens that are left.
    """

    k: int
    first: int
    last: int
    memory: float
    flow: Tensor | None = field(default=None)

    def needs(self, layer: int) -> frozenset[str]:
        """See `EncoderRun`."""
        return frozenset({"class_row", "values"}) if layer <= self.last else frozenset()

    def step(self, view: LayerView) -> TokenChoice | None:
        """See `EncoderRun`."""
        n = len(view.hidden)
        if n <= self.k:
            return None
        attention, values = class_attention(view), view.require("values")
        score = flowcut_score(attention, class_affinity(values), values.float().mean(0)[1:])
        if self.flow is not None:
            score = self.memory * self.flow + (1 - self.memory) * score
        self.flow = score
        layers_left = self.last - view.layer
        if layers_left % 2 or view.layer < self.first:
            return None
        drop = n if layers_left == 0 else prune_count(attention, self.k, layers_left)
        remaining = max(self.k, n - drop)
        if remaining == n:
            return None
        cleaned, _ = clean_scores(score)
        index = top_indices(cleaned, remaining).sort().values
        self.flow = score[index.to(score.device)]
        return TokenChoice(index)
