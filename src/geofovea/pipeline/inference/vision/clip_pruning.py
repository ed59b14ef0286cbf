"""A stock CLIP vision encoder that loses tokens on its way.

The layers of an unpatched ``CLIPVisionModel`` run one by one; after the attention or after the
whole of a layer a reduction says which tokens stay or merge, and the rest of the encoder works on
what is left. Attention is computed from the layer's own projections, with the fused kernel unless
the reduction wants the whole matrix. Images are encoded each on its own, for they lose different
tokens (and, with some methods, different numbers of them).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.encoder.base import EncoderReduction, EncoderRun, LayerView

__all__ = ["PrunedImage", "encode_pruned", "run_layers"]

_MOST_TOKENS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class PrunedImage:
    """What an encoder that lost tokens made of an image.

    Attributes:
        hidden: ``(m + 1, d)``, the class token and the m patches that are left.
        positions: int64 ``(m,)``, ascending: the patch that each stands for.
        sizes: float32 ``(m,)``, how many patches each stands for.
        groups: int64 ``(n,)``, what became of each patch, −1 where it was dropped.
        lengths: Patches that entered each layer, and those that left the last.
    """

    hidden: Tensor
    positions: Tensor
    sizes: Tensor
    groups: Tensor
    lengths: tuple[int, ...]

    @property
    def features(self) -> Tensor:
        """The patches that are left, ``(m, d)``."""
        return self.hidden[1:]


@torch.inference_mode()
def encode_pruned(
    tower: Any,
    pixels: Tensor,
    reduction: EncoderReduction | None = None,
    k: int | None = None,
    feature_layer: int = -2,
) -> list[PrunedImage]:
    """Encode images with at most ``k`` patches left of each.

    Args:
        tower: A ``CLIPVisionModel`` in evaluation mode.
        pixels: ``(b, 3, s, s)``, normalized as the model wants them.
        reduction: What chooses or merges; None for a plain forward pass.
        k: Patches to be left of an image; clipped to 1 and the number there is.
        feature_layer: Which hidden state is wanted, numbered as in ``hidden_states``: 0 are the
            embeddings, -1 is the output of the last layer.

    Raises:
        ModelError: If the tower is not a CLIP vision model, has no such layer, or a reduction comes
            without ``k``.
    """
    layers, embedded = _embed(tower, pixels, feature_layer)
    return [run_layers(layers, image, reduction, k) for image in embedded]


def _embed(tower: Any, pixels: Tensor, feature_layer: int) -> tuple[Sequence[Any], Tensor]:
    """The layers that run, and their input (b, n + 1, d)."""
    model = getattr(tower, "vision_model", tower)
    if not all(hasattr(model, part) for part in ("embeddings", "pre_layrnorm", "encoder")):
        raise ModelError(
            f"tokens can be dropped inside a CLIPVisionModel only, not a {type(tower).__name__}; "
            "choose a reduction that acts behind the encoder"
        )
    every = model.encoder.layers
    count = feature_layer if feature_layer >= 0 else len(every) + 1 + feature_layer
    if not 0 <= count <= len(every):
        raise ModelError(
            f"this encoder has hidden states 0 to {len(every)}, got feature_layer {feature_layer}"
        )
    return every[:count], model.pre_layrnorm(model.embeddings(pixels))


@torch.inference_mode()
def run_layers(
    layers: Sequence[Any],
    hidden: Tensor,
    reduction: EncoderReduction | None = None,
    k: int | None = None,
) -> PrunedImage:
    """Run CLIP encoder layers over one image, the class token first.

    Args:
        layers: The layers that run.
        hidden: ``(n + 1, d)``, input of the first.
        reduction: What chooses or merges; None for a plain forward pass.
        k: Patches to be left.

    Raises:
        ModelError: If a reduction comes without ``k``, or answers with what cannot be.
    """
    n = len(hidden) - 1
    if reduction is not None and k is None:
        raise ModelError(
            f"the reduction {reduction.name!r} needs a number of patches to leave; give k, 1 to {n}"
        )
    run = None
    if reduction is not None and k is not None and layers and max(1, k) < n:
        run = reduction.start(n, max(1, k), len(layers))
    state = _EncoderState.start(hidden)
    lengths = [n]
    for number, layer in enumerate(layers):
        state = _run_layer(layer, number, state, run, reduction)
        lengths.append(len(state.positions))
    return PrunedImage(
        state.hidden, state.positions.cpu(), state.sizes.cpu(), state.groups.cpu(), tuple(lengths)
    )


@dataclass(frozen=True, slots=True, eq=False)
class _EncoderState:
    """Tokens on their way: ``hidden`` (m + 1, d) with the class token, the rest of patches only."""

    hidden: Tensor
    positions: Tensor
    sizes: Tensor
    groups: Tensor

    @classmethod
    def start(cls, hidden: Tensor) -> _EncoderState:
        """All patches of an image, ``(n + 1, d)``."""
        each = torch.arange(len(hidden) - 1, device=hidden.device)
        return cls(hidden, each, torch.ones(len(each), device=hidden.device), each)

    def after(self, selection: TokenChoice | None) -> _EncoderState:
        """What a step of a reduction leaves; all for None."""
        if selection is None:
            return self
        patches = self.hidden[1:]
        m, device = len(patches), patches.device
        index = selection.index.to(device)
        if selection.groups is None:
            groups = torch.full((m,), -1, device=device)
            groups[index] = torch.arange(len(index), device=device)
        else:
            groups = selection.groups.to(device)
        # a patch that was dropped earlier stays so: its -1 must not count from the end
        is_dropped = self.groups < 0
        groups = torch.where(is_dropped, -1, groups[self.groups.clamp_min(0)])
        features = (
            patches[index] if selection.features is None else selection.features.to(patches.dtype)
        )
        sizes = self.sizes[index] if selection.sizes is None else selection.sizes.to(device)
        hidden = torch.cat([self.hidden[:1], features])
        return _EncoderState(hidden, self.positions[index], sizes, groups)


def _run_layer(
    layer: Any,
    number: int,
    state: _EncoderState,
    run: EncoderRun | None,
    reduction: EncoderReduction | None,
) -> _EncoderState:
    if run is None or reduction is None:
        return _finish(layer, _begin(layer, state, frozenset(), is_proportional=False)[0])
    needs = run.needs(number)
    state, signals = _begin(layer, state, needs, is_proportional=reduction.is_proportional)
    if needs and reduction.place == "attention":
        state = state.after(run.step(_view(number, state, signals)))
    state = _finish(layer, state)
    if needs and reduction.place == "block":
        state = state.after(run.step(_view(number, state, signals)))
    return state


def _begin(
    layer: Any, state: _EncoderState, needs: frozenset[str], *, is_proportional: bool
) -> tuple[_EncoderState, dict[str, Tensor]]:
    """Tokens after the attention of a layer, and what was asked of it."""
    sizes = state.sizes if is_proportional else None
    mixed, signals = _attend(layer.self_attn, layer.layer_norm1(state.hidden), sizes, needs)
    return replace(state, hidden=state.hidden + mixed), signals


def _finish(layer: Any, state: _EncoderState) -> _EncoderState:
    """Tokens after the MLP of a layer."""
    return replace(state, hidden=state.hidden + layer.mlp(layer.layer_norm2(state.hidden)))


def _view(number: int, state: _EncoderState, signals: dict[str, Tensor]) -> LayerView:
    return LayerView(
        number,
        state.hidden[1:],
        state.positions,
        state.sizes,
        class_row=signals.get("class_row"),
        keys=signals.get("keys"),
        values=signals.get("values"),
        attention=signals.get("attention"),
    )


def _attend(
    attention: Any, hidden: Tensor, sizes: Tensor | None, needs: frozenset[str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Output (m, d) of an attention over its normed input (m, d), and what was asked of it.

    With ``sizes`` (m - 1,), a key counts as often as its token stands for patches.
    """
    m = len(hidden)
    queries, keys, values = (
        project(hidden).view(m, attention.num_heads, -1).transpose(0, 1)
        for project in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    scale, bias = attention.scale, _size_bias(sizes)
    signals = {name: value for name, value in (("keys", keys), ("values", values)) if name in needs}
    if "attention" in needs:
        _check_count(m)
        signals["attention"] = _weights(queries, keys, scale, bias)
        mixed = signals["attention"].to(values.dtype) @ values
    else:
        mask = None if bias is None else bias.to(queries.dtype)[None, None, None]
        mixed = F.scaled_dot_product_attention(
            queries[None], keys[None], values[None], attn_mask=mask, scale=scale
        )[0]
    if "class_row" in needs:
        signals["class_row"] = _weights(queries[:, :1], keys, scale, bias)[:, 0, 1:]
    output: Tensor = attention.out_proj(mixed.transpose(0, 1).reshape(m, -1))
    return output, signals


def _size_bias(sizes: Tensor | None) -> Tensor | None:
    """What is added to the logits of the keys (m,); None where each stands for one patch."""
    if sizes is None or bool((sizes == 1).all()):
        return None
    return torch.cat([sizes.new_zeros(1), sizes.log()])


def _check_count(count: int) -> None:
    """Refuse a matrix of attention that would not fit."""
    if count > _MOST_TOKENS:
        raise ModelError(
            f"the whole attention of at most {_MOST_TOKENS} tokens fits, got {count}; choose a "
            "reduction that needs the class token's row only, such as flowcut"
        )


def _weights(queries: Tensor, keys: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Attention (heads, q, m) in float32."""
    logits = queries.float() @ keys.float().transpose(1, 2) * scale
    return (logits if bias is None else logits + bias).softmax(-1)
