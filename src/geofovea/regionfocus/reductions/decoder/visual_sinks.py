"""Visual attention sinks: background tokens that draw attention without holding content.

Source: VAR, "See What You Are Told: Visual Attention Sink in Large Multimodal Models".

A token is a sink where its normed hidden state is huge in one of a few dimensions, which belong to
the model (Llama-2-7B: 2533 and 1415; 13B: 2100 and 4743). Two uses:

* `exclude_visual_sinks`: a free filter for scores made of attention (FastV, PyramidDrop,
  SparseVLM); O(n · d), before the step's choice. The dimensions of an unknown model are those that
  are huge in its first token.
* `redistribute`: the published use on attention weights (stage: attention), for layers from 2 on,
  the last excepted. Rows of heads that look at the picture but not at its sinks take attention
  from sinks and give it to the other vision tokens; sums of rows stay. O(heads · q · s). It removes
  no token.

`redistribute` is faithful; ours is one guard more: a row without another vision token stays as it
is, where the published formula divides by zero. ``layer_plans/var`` is the method that applies it.

How large huge is depends on the width. A token's largest number is at most the root of the width
times its root mean square, 13.9 in a model of width 192, and the published 20 of models of width
4096 would never be reached there: `scaled_threshold` takes the same share of that bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.decoder.base import DecoderView

__all__ = [
    "SinkFilter",
    "exclude_visual_sinks",
    "looking_heads",
    "redistribute",
    "scaled_threshold",
    "sink_dimensions",
    "sink_tokens",
    "view_sinks",
]


@dataclass(frozen=True, slots=True)
class SinkFilter:
    """How sinks are told from other tokens.

    Attributes:
        dimensions: Of the hidden state, where sinks are huge; None to read them off the sequence's
            first token.
        threshold: What huge is, in units of the token's root mean square; None for that of
            `scaled_threshold`.

    Raises:
        ModelError: If the threshold is not positive, or dimensions are given but there are none.
    """

    dimensions: tuple[int, ...] | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        if (self.threshold is not None and not self.threshold > 0) or self.dimensions == ():
            raise ModelError(
                "a sink filter needs a positive threshold and, unless they are to be found, at "
                f"least one dimension; got {self.threshold} and {self.dimensions}"
            )

    def threshold_of(self, width: int) -> float:
        """The threshold for states of a width.

        Raises:
            ModelError: If no token of that width could reach the one that is set.
        """
        if self.threshold is None:
            return scaled_threshold(width)
        if self.threshold >= width**0.5:
            raise ModelError(
                f"no token of a model of width {width} has a number of {self.threshold} times its "
                f"root mean square, for {width**0.5:.2f} is the most; set a smaller threshold, or "
                f"none for {scaled_threshold(width):.2f}"
            )
        return self.threshold


def scaled_threshold(width: int) -> float:
    """The published threshold, 20 at a width of 4096, for another width."""
    return 20.0 * sqrt(width / 4096)


def sink_dimensions(hidden: Tensor, threshold: float = 20.0) -> tuple[int, ...]:
    """Dimensions in which one token's hidden state ``(d,)`` is huge; possibly none."""
    return tuple((_normed(hidden).abs() > threshold).nonzero()[:, 0].tolist())


def sink_tokens(hidden: Tensor, dimensions: tuple[int, ...], threshold: float = 20.0) -> Tensor:
    """Which tokens are sinks.

    Args:
        hidden: ``(s, d)``, what enters a layer.
        dimensions: Where sinks are huge.
        threshold: In units of a token's root mean square.

    Returns:
        bool ``(s,)``.
    """
    if not dimensions:
        return torch.zeros(len(hidden), dtype=torch.bool, device=hidden.device)
    return _normed(hidden)[:, list(dimensions)].abs().amax(1) > threshold


def view_sinks(hidden: Tensor, sinks: SinkFilter) -> Tensor:
    """Which tokens of a sequence are sinks, bool ``(s,)``.

    Args:
        hidden: ``(s, d)``, what enters a layer.
        sinks: How they are told; without dimensions, those of the first token count.

    Raises:
        ModelError: If the threshold of the filter cannot be reached.
    """
    threshold = sinks.threshold_of(hidden.shape[1])
    dimensions = sinks.dimensions
    if dimensions is None:
        dimensions = sink_dimensions(hidden[0], threshold)
    return sink_tokens(hidden, dimensions, threshold)


def exclude_visual_sinks(scores: Tensor, view: DecoderView, sinks: SinkFilter | None) -> Tensor:
    """Scores ``(n,)`` of the vision tokens left, in which sinks have lost; unchanged for None."""
    if sinks is None:
        return scores
    is_sink = view_sinks(view.hidden, sinks)[view.visual]
    # where all are sinks, none has to be feared more than another
    return scores if bool(is_sink.all()) else scores.masked_fill(is_sink, -torch.inf)


def looking_heads(
    attention: Tensor, is_sink: Tensor, visual: Tensor, *, most_on_sinks: float, least_mass: float
) -> Tensor:
    """Which heads look at the picture itself, query by query.

    Args:
        attention: ``(heads, q, s)``.
        is_sink: bool ``(s,)``.
        visual: int64 ``(n,)``, places of the vision tokens.
        most_on_sinks: Largest share of a head's visual attention that sinks may have.
        least_mass: Smallest visual attention that a head must have.

    Returns:
        bool ``(heads, q)``.
    """
    mass = attention[..., visual].float().sum(-1)
    on_sinks = attention[..., visual[is_sink[visual]]].float().sum(-1)
    return (on_sinks <= most_on_sinks * mass) & (mass >= least_mass)


def redistribute(
    attention: Tensor, is_sink: Tensor, visual: Tensor, rows: Tensor, *, strength: float = 0.6
) -> Tensor:
    """Attention in which some rows have moved weight from sinks to the other vision tokens.

    Args:
        attention: ``(heads, q, s)``.
        is_sink: bool ``(s,)``; sinks outside the picture give too, and get nothing.
        visual: int64 ``(n,)``.
        rows: bool ``(heads, q)``, which rows: those of `looking_heads` that belong to queries after
            the picture.
        strength: The factor by which sinks are multiplied.

    Returns:
        float32 ``(heads, q, s)``; sums of rows are those of the input.

    Raises:
        ModelError: If the strength is not in 0..1.
    """
    if not 0 <= strength <= 1:
        raise ModelError(f"sinks keep a share between 0 and 1 of their attention, got {strength}")
    weights = attention.float()
    gains = torch.zeros_like(is_sink)
    gains[visual] = ~is_sink[visual]
    freed = (weights * is_sink).sum(-1, keepdim=True) * (1 - strength)
    others = (weights * gains).sum(-1, keepdim=True)
    scale = 1 + freed / others.clamp_min(torch.finfo(torch.float32).tiny)
    moved = torch.where(is_sink, weights * strength, torch.where(gains, weights * scale, weights))
    return torch.where(rows[..., None] & (others > 0), moved, weights)


def _normed(hidden: Tensor) -> Tensor:
    hidden = hidden.float()
    return hidden * torch.rsqrt(hidden.square().mean(-1, keepdim=True) + 1e-6)
