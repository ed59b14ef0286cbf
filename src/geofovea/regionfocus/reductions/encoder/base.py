"""Reductions inside a vision encoder: what they see of a layer, and what they may ask for.

A reduction that acts between the layers of an encoder saves the work of all layers behind it. It
knows no model class: a driver of the pipeline runs the layers, shows the
reduction a `LayerView` of each, and drops or merges tokens as the reduction says. Such a reduction
is a value with settings; its memory of one image is an `EncoderRun`.

The class token, if there is one, is never a candidate and never counted in n or k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice

__all__ = ["EncoderReduction", "EncoderRun", "LayerView", "Need", "Place", "class_attention"]

Place = Literal["attention", "block"]
"""After which half of a layer tokens go: its attention, or its whole (attention and MLP)."""

Need = Literal["class_row", "keys", "values", "attention"]
"""What of a layer's attention a reduction may ask for; the fields of `LayerView`."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerView:
    """What one layer shows of the n patch tokens that are left, and what was asked of it.

    m is n, or n + 1 with a class token, which then comes first.

    Attributes:
        layer: Number of the layer, from 0.
        hidden: ``(n, d)``, the residual stream where the reduction acts.
        positions: int64 ``(n,)``, ascending: the patch that each token stands for.
        sizes: float32 ``(n,)``, how many patches each token stands for.
        has_class: Whether there is a class token.
        class_row: float32 ``(heads, n)``: attention of the class token, whose own share took part
            in the softmax and was dropped after it.
        keys: ``(heads, m, dh)``.
        values: ``(heads, m, dh)``.
        attention: float32 ``(heads, m, m)``, rows are queries and sum to one.
    """

    layer: int
    hidden: Tensor
    positions: Tensor
    sizes: Tensor
    has_class: bool = True
    class_row: Tensor | None = None
    keys: Tensor | None = None
    values: Tensor | None = None
    attention: Tensor | None = None

    def require(self, need: Need) -> Tensor:
        """A field that was asked for.

        Raises:
            ModelError: If the driver did not provide it.
        """
        value: Tensor | None = getattr(self, need)
        if value is None:
            raise ModelError(
                f"layer {self.layer} was shown without its {need}; a reduction gets only what "
                "its needs() names, of an encoder that has it"
            )
        return value

    @property
    def mean_key(self) -> Tensor:
        """Keys of the patches, mean over heads, float32 ``(n, dh)``."""
        return self.require("keys").float().mean(0)[int(self.has_class) :]


class EncoderRun(Protocol):
    """A reduction on its way through the encoder with one image."""

    def needs(self, layer: int) -> frozenset[str]:
        """Which fields (see `Need`) it wants of that layer; empty if it does nothing there."""
        ...

    def step(self, view: LayerView) -> TokenChoice | None:
        """What is left of the n tokens; None for all. Called where ``needs`` is not empty.

        ``index`` and ``groups`` of the answer are over the n tokens of the view. Where ``sizes`` is
        None the tokens that stay keep theirs.
        """
        ...


class EncoderReduction(Protocol):
    """Chooses or merges patch tokens between the layers of a vision encoder."""

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        ...

    @property
    def place(self) -> Place:
        """After which half of a layer it acts."""
        ...

    @property
    def is_proportional(self) -> bool:
        """Whether the logarithm of a key's size is added to its attention logits."""
        ...

    def start(self, n: int, k: int, layers: int) -> EncoderRun:
        """Begin with an image of ``n`` patches, to end with ``k``, ``1 <= k < n``.

        Args:
            n: Patches of the image.
            k: Tokens to be left; at most as many are.
            layers: Number of layers that run, at least 1.
        """
        ...


def class_attention(view: LayerView) -> Tensor:
    """Attention of the class token, mean over heads, float32 ``(n,)``; NaN counts as none."""
    return torch.nan_to_num(view.require("class_row").float().mean(0), nan=0.0)
