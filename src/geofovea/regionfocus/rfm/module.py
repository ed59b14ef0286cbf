"""The Region Focus Module (RFM): a few decoder layers that tell where to look.

Source: "When Large Vision-Language Model Meets Large Remote Sensing Imagery: Coarse-to-Fine
Text-Guided Token Pruning" (LRS-VQA). The prompt with its vision tokens runs through n decoder
layers; in layer n + 1 only the attention of the last prompt token is taken, over the local vision
tokens, and averaged over heads. The softmax is over local tokens alone, so scores sum to 1.

Needs: embedded prompts and nothing of a host. Acts before the decoder. The layers are ours, so that
neither a model class nor a patched one is needed; their parameters have the names of the LLaMA and
Qwen2 families, so published weights load as they are.

``fixed`` (default): tokens without a tile are left out and the rest keep their positions, which is
exact, because a masked key adds nothing. ``mask_defect=True`` is what the released code computes:
its mask is cast to bool and *added*, so tokens without a tile gain 1 instead of losing everything,
and every position has to be computed.

Complexity: O(n · m² · d) for m tokens in time. Memory: attention is taken in blocks of queries, so
no m × m table ever exists.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.errors import ModelError

__all__ = ["RegionFocusModule", "RegionFocusSettings"]

_QUERIES_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class RegionFocusSettings:
    """The shape of an RFM.

    Attributes:
        layers: Stored layers; the last one ranks, the others come before it.
        hidden: Width of a token.
        intermediate: Width inside a feed-forward block.
        heads: Query heads.
        key_heads: Key and value heads; several query heads share one.
        bias: Whether queries, keys and values have a bias (Qwen2) or not (LLaMA).
        rope_theta: Base of the rotary positions.
        eps: Of the norms.
        score_dim: Scores are divided by its root; None for the size of a head. The released code
            takes 128 whatever the heads are.

    Raises:
        ModelError: If the numbers cannot belong to one model.
    """

    layers: int
    hidden: int
    intermediate: int
    heads: int
    key_heads: int
    bias: bool
    rope_theta: float = 10_000.0
    eps: float = 1e-6
    score_dim: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.layers, self.hidden, self.intermediate, self.heads, self.key_heads)
        if min(sizes) < 1 or self.hidden % self.heads or self.heads % self.key_heads:
            raise ModelError(
                "a region focus module needs positive sizes, heads that divide the width, and key "
                f"heads that divide the heads; got {self}"
            )
        if (self.hidden // self.heads) % 2:
            raise ModelError(f"rotary positions need an even head size, got {self}")
        if self.score_dim is not None and self.score_dim < 1:
            raise ModelError(f"score_dim must be positive or None, got {self.score_dim}")

    @property
    def head_dim(self) -> int:
        """Size of one head."""
        return self.hidden // self.heads


class RegionFocusModule(nn.Module):
    """Scores local vision tokens by the attention of the last prompt token."""

    def __init__(self, settings: RegionFocusSettings) -> None:
        """Make an RFM with random weights; see `RegionFocusSettings`."""
        super().__init__()
        self.settings = settings
        self.layers = nn.ModuleList(_Layer(settings) for _ in range(settings.layers))
        # stored with the published weights; its output is never used
        self.norm = _RootMeanSquare(settings.hidden, settings.eps)

    def forward(
        self,
        embeds: Tensor,
        first: int,
        count: int,
        valid: Tensor | None = None,
        *,
        mask_defect: bool = False,
    ) -> Tensor:
        """Scores of the local tokens.

        Args:
            embeds: ``(s, d)``, the whole prompt in order, its last token asking.
            first: Position of the first local token.
            count: Number of local tokens, none of them the last of the prompt.
            valid: bool ``(count,)``: which local tokens lie on an encoded tile; None if all do.
            mask_defect: Reproduce the released code's wrong mask.

        Returns:
            float32 ``(count,)``, sum 1; 0 where not valid (small but not 0 with the defect).

        Raises:
            ModelError: If the local tokens do not lie inside the prompt, or none is valid.
        """
        length = len(embeds)
        if count < 1 or first < 0 or first + count >= length:
            raise ModelError(
                f"{count} local tokens from {first} on must end before the last of the prompt's "
                f"{length} tokens"
            )
        if valid is None or bool(valid.all()):
            hidden = self.features(embeds)[-1]
            return self._rank(hidden, torch.arange(length, device=embeds.device), first, count)
        if not bool(valid.any()):
            raise ModelError("no local token is valid: encode at least one tile")
        valid = valid.to(embeds.device)
        everywhere = torch.ones(length, dtype=torch.bool, device=embeds.device)
        everywhere[first : first + count] = valid
        if mask_defect:
            hidden = self.features(embeds, everywhere)[-1]
            bonus = (~valid).to(torch.float32)
            positions = torch.arange(length, device=embeds.device)
            return self._rank(hidden, positions, first, count, bonus)
        positions = everywhere.nonzero()[:, 0]
        hidden = self.features(embeds[positions], positions=positions)[-1]
        scores = torch.zeros(count, device=embeds.device)
        scores[valid] = self._rank(hidden, positions, first, int(valid.sum()))
        return scores

    def features(
        self, embeds: Tensor, valid: Tensor | None = None, positions: Tensor | None = None
    ) -> list[Tensor]:
        """The inputs ``(s, d)`` of every layer; the last is that of the ranking layer.

        Args:
            embeds: ``(s, d)``.
            valid: bool ``(s,)``: keys that may be attended to; None for all.
            positions: int64 ``(s,)``, ascending; None for 0, 1, 2 ...
        """
        if positions is None:
            positions = torch.arange(len(embeds), device=embeds.device)
        rotary = self._rotary(positions, embeds.dtype)
        inputs = [embeds]
        for layer in self.layers[:-1]:
            inputs.append(layer(inputs[-1], rotary, valid))
        return inputs

    def _rank(
        self,
        hidden: Tensor,
        positions: Tensor,
        first: int,
        count: int,
        bonus: Tensor | None = None,
    ) -> Tensor:
        """Softmax over local tokens in float32, then the mean over heads, ``(count,)``."""
        layer = self.layers[-1]
        assert isinstance(layer, _Layer)  # noqa: S101 - a ModuleList forgets what it holds
        normed = layer.input_layernorm(hidden)
        cos, sin = self._rotary(positions, hidden.dtype)
        local = slice(first, first + count)
        queries = _rotate(layer.self_attn.queries(normed[-1:]), cos[-1:], sin[-1:])
        keys = _rotate(layer.self_attn.keys(normed[local]), cos[local], sin[local])
        keys = layer.self_attn.per_head(keys)
        scale = (self.settings.score_dim or self.settings.head_dim) ** 0.5
        logits = (queries @ keys.transpose(-1, -2))[:, 0].float() / scale
        if bonus is not None:
            logits = logits + bonus
        scores: Tensor = logits.softmax(-1).mean(0)
        return scores

    def _rotary(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines ``(s, head_dim)``, computed in float32."""
        dim = self.settings.head_dim
        steps = torch.arange(0, dim, 2, dtype=torch.float32, device=positions.device)
        # in the order of the stock classes: an angle of thousands has no digits left to lose
        angles = positions.float()[:, None] * (1.0 / self.settings.rope_theta ** (steps / dim))
        angles = torch.cat([angles, angles], -1)
        return angles.cos().to(dtype), angles.sin().to(dtype)


class _Layer(nn.Module):
    """One decoder layer: norm, attention, norm, gated feed-forward."""

    def __init__(self, settings: RegionFocusSettings) -> None:
        super().__init__()
        self.input_layernorm = _RootMeanSquare(settings.hidden, settings.eps)
        self.self_attn = _Attention(settings)
        self.post_attention_layernorm = _RootMeanSquare(settings.hidden, settings.eps)
        self.mlp = _Gated(settings)

    def forward(
        self, hidden: Tensor, rotary: tuple[Tensor, Tensor], valid: Tensor | None
    ) -> Tensor:
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), rotary, valid)
        result: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return result


class _Attention(nn.Module):
    """Causal attention with grouped heads and rotary positions."""

    def __init__(self, settings: RegionFocusSettings) -> None:
        super().__init__()
        hidden, dim, bias = settings.hidden, settings.head_dim, settings.bias
        self.dim, self.group = dim, settings.heads // settings.key_heads
        self.q_proj = nn.Linear(hidden, settings.heads * dim, bias=bias)
        self.k_proj = nn.Linear(hidden, settings.key_heads * dim, bias=bias)
        self.v_proj = nn.Linear(hidden, settings.key_heads * dim, bias=bias)
        self.o_proj = nn.Linear(settings.heads * dim, hidden, bias=False)

    def queries(self, normed: Tensor) -> Tensor:
        """``(heads, s, head_dim)``, not yet rotated."""
        return self._heads(self.q_proj(normed))

    def keys(self, normed: Tensor) -> Tensor:
        """``(key_heads, s, head_dim)``, not yet rotated."""
        return self._heads(self.k_proj(normed))

    def per_head(self, shared: Tensor) -> Tensor:
        """``(key_heads, s, head_dim)`` as ``(heads, s, head_dim)``: those of each query head."""
        return shared.repeat_interleave(self.group, 0)

    def forward(
        self, normed: Tensor, rotary: tuple[Tensor, Tensor], valid: Tensor | None
    ) -> Tensor:
        cos, sin = rotary
        queries = _rotate(self.queries(normed), cos, sin)
        keys = self.per_head(_rotate(self.keys(normed), cos, sin))
        values = self.per_head(self._heads(self.v_proj(normed)))
        parts = [
            _attend(queries, keys, values, valid, start)
            for start in range(0, len(normed), _QUERIES_AT_ONCE)
        ]
        joined = torch.cat(parts, 1).transpose(0, 1).flatten(1)
        result: Tensor = self.o_proj(joined)
        return result

    def _heads(self, projected: Tensor) -> Tensor:
        return projected.view(len(projected), -1, self.dim).transpose(0, 1)


class _Gated(nn.Module):
    """A gated feed-forward block with SiLU."""

    def __init__(self, settings: RegionFocusSettings) -> None:
        super().__init__()
        hidden, inner = settings.hidden, settings.intermediate
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.down_proj(F.silu(self.gate_proj(hidden)) * self.up_proj(hidden))
        return result


class _RootMeanSquare(nn.Module):
    """RMS norm; the mean is taken in float32."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, hidden: Tensor) -> Tensor:
        wide = hidden.float()
        scaled = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.to(hidden.dtype)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, valid: Tensor | None, start: int
) -> Tensor:
    """A block of rows of causal attention, ``(heads, rows, head_dim)``."""
    stop = min(start + _QUERIES_AT_ONCE, queries.shape[1])
    rows = torch.arange(start, stop, device=queries.device)
    mask = torch.arange(stop, device=queries.device) <= rows[:, None]
    if valid is not None:
        mask &= valid[:stop]
    return F.scaled_dot_product_attention(
        queries[None, :, start:stop], keys[None, :, :stop], values[None, :, :stop], attn_mask=mask
    )[0]


def _rotate(heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn ``(heads, s, head_dim)`` by its positions; halves are the two parts of a plane."""
    low, high = heads.chunk(2, -1)
    return heads * cos + torch.cat([-high, low], -1) * sin
