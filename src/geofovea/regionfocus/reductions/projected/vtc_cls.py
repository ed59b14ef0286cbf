"""VTC-CLS: class attention summed over several layers of the encoder.

Source: "[CLS] Token Tells Everything Needed for Training-free Efficient MLLMs" (repository
THU-MIG/VTC-CLS).

Signal: class attention, heads averaged, summed over the layers ``start <= layer < last``; no
question. Needs class attention of several layers. Acts on projected tokens, tile by tile. Cost
O(layers · heads · n), memory O(n).

`fixed` is the published rule (the last layer stays out of the sum, as in the released code) on a
stable top-k. With a single layer it is FasterVLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile

__all__ = ["VtcCls", "summed_attention"]


def summed_attention(cls_attention: Mapping[int, Tensor], start: int = 0) -> Tensor:
    """Head-mean class attention summed over the layers from ``start`` on, but for the last.

    Args:
        cls_attention: By layer, ``(heads, n)`` or ``(n,)``. A single layer is its own sum.
        start: First layer of the sum.

    Returns:
        float32 ``(n,)``.

    Raises:
        ModelError: If no layer is left to sum.
    """
    layers = sorted(cls_attention)
    summed = [layer for layer in layers[:-1] or layers if layer >= start]
    if not summed:
        raise ModelError(
            f"class attention from encoder layer {start} on is empty without the last layer; "
            f"these are there: {', '.join(map(str, layers)) or 'none'}; choose an earlier start"
        )
    rows = [cls_attention[layer].detach().to(torch.float32) for layer in summed]
    return torch.stack([row.reshape(-1, row.shape[-1]).mean(dim=0) for row in rows]).sum(dim=0)


@dataclass(frozen=True, slots=True)
class VtcCls(PerTile):
    """The ``k`` tokens of highest class attention over several layers.

    Attributes:
        start: First encoder layer of the sum.
    """

    start: int = 0
    name: ClassVar[str] = "vtc_cls"
    requires: ClassVar[frozenset[str]] = frozenset({"cls_attention"})

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        assert context.cls_attention is not None  # noqa: S101 - required, and checked by reduce
        return keep_best(summed_attention(context.cls_attention, self.start), k)
