"""EViT: keep what the class token attends to, and fuse the rest into one token.

Liang et al., "Not All Patches Are What You Need: Expediting Vision Transformers via Token
Reorganizations", ICLR 2022 (arXiv id not given by our source).

Acts inside the vision encoder, between attention and MLP of a few layers (3, 6 and 9 of 12), or on
a list of tokens. Needs the class token's attention. The paper trains with it; it works without.

Time O(nd), memory O(n).

The released code gives ``ceil(rate * n)`` tokens in falling order of attention, then one fused
token, the sum of the others weighted by their attention. The classes here differ: a budget instead
of a rate, in which the fused token counts; ascending order, the fused token standing at the most
attended of the dropped; its weights are normalized, so that it is a mean and not a small vector. A
budget of one keeps the most attended token and fuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.encoder.base import LayerView, Place, class_attention
from geofovea.regionfocus.reductions.encoder.schedule import acting_layers, geometric_counts
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["EViT", "EViTEncoder", "EViTRun", "evit_fuse"]


def evit_fuse(features: Tensor, attention: Tensor, sizes: Tensor, k: int) -> TokenChoice:
    """Keep ``k - 1`` tokens and fuse the others into one more, ``1 <= k < n``.

    Args:
        features: ``(n, d)``.
        attention: float32 ``(n,)``.
        sizes: float32 ``(n,)``, how many tokens each stands for.
        k: Number of tokens to end with.
    """
    cleaned, is_replaced = clean_scores(attention)
    info = {"fallback": "uniform"} if is_replaced else {}
    order = top_indices(cleaned, len(cleaned)).to(features.device)
    if k == 1:
        groups = torch.full((len(order),), -1, dtype=torch.int64)
        groups[order[0]] = 0
        return TokenChoice(
            order[:1].cpu(), features[order[:1]], groups, sizes[order[:1]].cpu(), info
        )
    dropped = order[k - 1 :]
    # infinite or missing attention must not make the mean infinite or empty
    weights = cleaned.to(features.device)[dropped].nan_to_num(0, posinf=1, neginf=0).clamp_min(0)
    weights = weights * sizes[dropped]
    if not bool(weights.sum() > 0):
        weights = sizes[dropped]
    weights = weights / weights.sum()
    index = order[:k].sort().values
    place = int((index == dropped[0]).nonzero())
    output, output_sizes = features[index], sizes[index].float()
    output[place] = (weights[:, None] * features[dropped].float()).sum(0).to(output.dtype)
    output_sizes[place] = sizes[dropped].sum()
    groups = torch.full((len(order),), place, dtype=torch.int64)
    groups[index.cpu()] = torch.arange(k)
    return TokenChoice(index.cpu(), output, groups, output_sizes.cpu(), info)


@dataclass(frozen=True, slots=True)
class EViT(PerTile):
    """The tokens most attended by the class token, and one fused of the others.

    Attributes:
        layer: Encoder layer of the attention; -1 for the last there is.
    """

    layer: int = -1
    name: ClassVar[str] = "evit"
    merges: ClassVar[bool] = True
    stage: ClassVar = "encoder_output"
    requires: ClassVar[frozenset[str]] = frozenset({"cls_attention"})

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        maps = context.cls_attention
        layer = max(maps, default=-1) if maps and self.layer == -1 else self.layer
        if not maps or layer not in maps:
            raise ModelError(
                f"these tokens have class attention of layers {sorted(maps or {})}, EViT asks for "
                f"{self.layer}; choose one of those, or -1 for the last"
            )
        attention = maps[layer].float().mean(0)
        return evit_fuse(context.features, attention, _ones(n, context.features), k)


def _ones(n: int, like: Tensor) -> Tensor:
    return torch.ones(n, device=like.device)


@dataclass(frozen=True, slots=True)
class EViTEncoder:
    """The same inside the vision encoder, dropping the same share at a few layers.

    Attributes:
        layers: Where it acts; one, two and three quarters of the way unless given.
    """

    layers: tuple[int, ...] | None = None
    name: ClassVar[str] = "evit"
    place: ClassVar[Place] = "attention"
    is_proportional: ClassVar[bool] = False

    def start(self, n: int, k: int, layers: int) -> EViTRun:
        """See `EncoderReduction`.

        Raises:
            BudgetError: If it should act at layers that do not run.
        """
        acts = acting_layers(layers, self.layers)
        return EViTRun(dict(zip(acts, geometric_counts(n, k, len(acts)), strict=True)))


@dataclass(frozen=True, slots=True)
class EViTRun:
    """One image on its way through the encoder."""

    counts: dict[int, int]

    def needs(self, layer: int) -> frozenset[str]:
        """See `EncoderRun`."""
        return frozenset({"class_row"}) if layer in self.counts else frozenset()

    def step(self, view: LayerView) -> TokenChoice | None:
        """See `EncoderRun`."""
        k = self.counts[view.layer]
        if len(view.hidden) <= k:
            return None
        return evit_fuse(view.hidden, class_attention(view), view.sizes, k)
