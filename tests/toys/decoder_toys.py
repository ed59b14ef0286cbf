"""What decoder reductions are shown in tests: views made of tensors."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.sparsevlm2 import rotary_kernel
from geofovea.regionfocus.reductions.primitives.sums import summed
from geofovea.regionfocus.reductions.registry import make_decoder_reduction


def worked_attention(n: int, *, causal: bool) -> Tensor:
    """The two-head attention of the worked examples, (2, n, n), renormalized if causal."""
    i, j = torch.arange(n)[:, None], torch.arange(n)
    rows = torch.stack([((3 * i + 5 * j + i * j + 2 * h) % 7) / 2 for h in (0, 1)]).softmax(-1)
    if causal:
        rows = rows.tril()
    return rows / rows.sum(-1, keepdim=True)


def decoder_attention(
    features: Tensor, wq: Tensor, wk: Tensor, heads: int
) -> tuple[Tensor, Tensor]:
    """Causal attention (heads, s, s) of a layer with rotary positions, and its head-mean keys."""
    length, width = features.shape
    half = width // heads // 2
    angles = torch.arange(length)[:, None] / 10000 ** (torch.arange(half) / half)
    cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)

    def project(weight: Tensor) -> Tensor:
        states = (features @ weight.T).view(length, heads, -1).transpose(0, 1)
        turned = torch.cat([-states[..., half:], states[..., :half]], -1)
        return states * cos + turned * sin

    queries, keys = project(wq), project(wk)
    logits = queries @ keys.transpose(1, 2) / (2 * half) ** 0.5
    later = torch.ones(length, length, dtype=torch.bool).triu(1)
    return logits.masked_fill(later, -torch.inf).softmax(-1), keys.mean(0)


@dataclass(frozen=True, slots=True, eq=False)
class FixedView:
    """A `DecoderView` made of tensors.

    Attributes:
        attention: By ``back``, ``(heads, s, s)``.
        value_heads: Values are the states themselves, cut into as many heads.
    """

    layer: int
    depth: int
    original: int
    hidden: Tensor
    visual: Tensor
    text: Tensor
    attention: Mapping[int, Tensor]
    embedded_visual: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    embedded_text: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    key_means: Tensor = field(default_factory=lambda: torch.zeros(0, 0))
    carried: MutableMapping[str, Tensor] = field(default_factory=dict)
    value_heads: int = 2
    rotary_base: float = 10_000.0

    def rows(self, queries: Tensor, back: int = 0) -> Tensor:
        """See `DecoderView`."""
        return self.attention[back][:, queries].float()

    def mean_rows(self, queries: Tensor, back: int = 0) -> Tensor:
        """See `DecoderView`."""
        rows = self.rows(queries, back)
        return summed(rows, (0, 1)) / (rows.shape[0] * rows.shape[1])

    def nearness(self, queries: Tensor) -> Tensor:
        """See `DecoderView`; positions are places."""
        apart = queries[:, None] - torch.arange(len(self.hidden))
        return rotary_kernel(apart, self.key_means.shape[-1], self.rotary_base)

    def keys(self) -> Tensor:
        """See `DecoderView`."""
        return self.key_means

    def values(self) -> Tensor:
        """See `DecoderView`."""
        return self.hidden.float().unflatten(-1, (self.value_heads, -1)).transpose(0, 1)


def random_view(n: int, seed: int = 0, *, before: int = 3, after: int = 5, **given) -> FixedView:
    """A view of ``n`` vision tokens between some others, with lively causal attention."""
    generator = torch.Generator().manual_seed(seed)
    s = before + n + after
    logits = 2 * torch.randn(3, 4, s, s, generator=generator)
    later = torch.ones(s, s, dtype=torch.bool).triu(1)
    rows = logits.masked_fill(later, -torch.inf).softmax(-1)
    hidden = torch.randn(s, 8, generator=generator)
    fields = {
        "layer": 2,
        "depth": 8,
        "original": n,
        "hidden": hidden,
        "visual": torch.arange(before, before + n),
        "text": torch.arange(before + n, s),
        "attention": {back: rows[back] for back in range(3)},
        "embedded_visual": torch.randn(n, 8, generator=generator),
        "embedded_text": torch.randn(after, 8, generator=generator),
        "key_means": torch.randn(s, 4, generator=generator),
        "carried": {
            name: torch.rand(n, generator=generator) for name in ("transition", "importance")
        },
    }
    return FixedView(**(fields | given))


def reduce_to(name: str, view: FixedView, k: int) -> TokenChoice:
    """What a method keeps when its next step leaves k tokens."""
    made = type(make_decoder_reduction(name))
    return made(schedule=Schedule.of((view.layer, k))).reduce(view)


def in_bfloat16(view):
    """A view in half precision, and its copy in single precision."""
    names = ("hidden", "embedded_visual", "embedded_text", "key_means")
    low = {name: getattr(view, name).bfloat16() for name in names}
    rows = {back: table.bfloat16() for back, table in view.attention.items()}
    n = len(view.visual)
    made = []
    for change in (lambda x: x, lambda x: x.float()):
        attention = {back: change(table) for back, table in rows.items()}
        fields = {name: change(value) for name, value in low.items()}
        made.append(random_view(n, attention=attention, **fields))
    return made
