"""SparseVLM, version 2: attention without the pull of nearness, the best heads, nothing merged.

Source: SparseVLM+, version 2 of the code of Gumpest/SparseVLMs.

As version 1, after layers 2, 6 and 15 (of 32, from 0), with the same raters. Attention is divided
by the rotary kernel of its distance, which is what nearness alone would give; of the corrected rows
the half of the heads with the largest sum over vision counts; tokens that are removed are gone.
Needs a row per rater. O(raters · s · d · heads). Text-guided.

``faithful``: `rotary_kernel`, and `corrected_scores` with it as divisor. The kernel is not
positive everywhere: with heads of 64 numbers and a base of 10,000 it is below 0 from a distance of
725 on, and near a zero one token wins by division. ``fixed``: the divisor is at least an eighth of
its value at distance 0, and its frequencies and positions are those of the model, rows and columns
of M-RoPE included. The release keeps 14 heads of any model. It leaves survivors their
positions; here they are numbered anew by default, so that a distance in the sequence stays the
distance of positions. Places in a sequence say little about places in a scene: with
``gravity=False`` nothing is divided.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.sparsevlm import published_schedules, raters
from geofovea.regionfocus.reductions.decoder.visual_sinks import SinkFilter, exclude_visual_sinks
from geofovea.regionfocus.reductions.primitives.sums import summed
from geofovea.regionfocus.scoring import top_indices

__all__ = ["PUBLISHED_2", "SparseVlm2", "corrected_scores", "rotary_kernel"]

PUBLISHED_2 = published_schedules(
    {192: (300, 200, 118), 128: (238, 108, 60), 96: (246, 54, 28), 64: (66, 34, 20)}
)
"""The published schedules, as shares, by the number of tokens that they call themselves."""


@dataclass(frozen=True, slots=True)
class SparseVlm2(DecoderStage):
    """Keep what raters look at beyond what is near them.

    Attributes:
        schedule: 300, 200 and 118 of 576 tokens after layers 2, 6 and 15 of 32, as shares, unless
            told otherwise.
        positions: Of survivors.
        gravity: Whether attention is divided by the rotary kernel.
        sinks: Vision tokens that may not win by being attention sinks; None to leave them in.
    """

    schedule: Schedule = PUBLISHED_2[192]
    positions: Positions = "contiguous"
    gravity: bool = True
    sinks: SinkFilter | None = None
    name: ClassVar[str] = "sparsevlm2"
    reach: ClassVar[int] = 1

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        rater_index = raters(view.embedded_visual, view.embedded_text)
        rows = view.text[rater_index.to(view.text.device)]
        attention = view.rows(rows, back=1)[..., view.visual]
        divisor = torch.ones(attention.shape[1:], device=attention.device)
        if self.gravity:
            kernel = view.nearness(rows)
            nearest = float(kernel[0, rows[0]])
            divisor = kernel[:, view.visual].clamp_min(nearest / 8).to(attention.device)
        scores, _ = corrected_scores(attention, divisor, max(1, len(attention) // 2))
        return keep_best(exclude_visual_sinks(scores, view, self.sinks), k)


def rotary_kernel(distances: Tensor, head_dim: int, base: float = 10_000.0) -> Tensor:
    """What two vectors of ones give each other over a distance, after both are turned.

    Args:
        distances: int64, of any shape, of the positions of query and key.
        head_dim: Numbers of a head.
        base: Of the frequencies.

    Returns:
        float32, of the same shape; 2 at distance 0 for heads of 4 numbers.
    """
    step = torch.arange(head_dim // 2, dtype=torch.float32, device=distances.device)
    frequencies = base ** (-2 * step / head_dim)
    kernel = torch.zeros(distances.shape, device=distances.device)
    # one frequency after the other, for a matrix for each would be large
    for frequency in frequencies:
        kernel += (distances * frequency).cos()
    return kernel * (2 / sqrt(head_dim))


def corrected_scores(attention: Tensor, divisor: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Mean attention of the best heads without nearness, and these heads.

    Args:
        attention: ``(heads, r, n)``, from raters to vision tokens.
        divisor: ``(r, n)``, see `rotary_kernel`.
        heads: How many of them count.

    Returns:
        float32 ``(n,)``, and int64 ``(heads,)`` ascending.
    """
    corrected = attention.float() / divisor
    best = top_indices(summed(corrected, (1, 2)), heads).sort().values
    chosen = corrected[best.to(corrected.device)]
    return summed(chosen, (0, 1)) / (chosen.shape[0] * chosen.shape[1]), best
