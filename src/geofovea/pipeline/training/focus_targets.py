"""What a module's rows are compared with: the host's own rows, raw or denoised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.inference.decoder.shared_prefix import PromptPack
from geofovea.pipeline.training.focus_quality import host_rows, sample_packs
from geofovea.pipeline.training.focus_samples import FocusSample, FocusSamples
from geofovea.regionfocus.rfm.attention_debiasing import (
    PlaceTrend,
    constant_sinks,
    place_features,
    without_sinks,
    without_trend,
)

__all__ = ["RowTargets", "observed_trend", "row_targets"]


@dataclass(frozen=True, slots=True, eq=False)
class RowTargets:
    """What some questions of a sample are taught.

    Attributes:
        pack: The prompts, as the host takes them.
        rows: Wanted logits ``(q, heads, s)`` by layer of the host.
        questions: Which of the sample's questions they are.
    """

    pack: PromptPack
    rows: dict[int, Tensor]
    questions: slice


def row_targets(
    host: SupportsDecoderAccess,
    sample: FocusSample,
    layers: Sequence[int],
    *,
    sinks: bool = False,
    trend: PlaceTrend | None = None,
) -> list[RowTargets]:
    """The host's rows for a sample; the last layer's denoised, since it is what ranks.

    Args:
        host: The teacher; only one row of its attention is computed, see ``layer_rows``.
        sample: The questions and tokens.
        layers: Layers of the host, ascending.
        sinks: Whether to take attention from sinks.
        trend: Of the last layer, to subtract; None for none.
    """
    raw = _raw_targets(host, sample, layers)
    rank = layers[-1]
    image = torch.cat([part.rows[rank][..., part.pack.image] for part in raw])
    device = image.device
    if trend is not None:
        image = without_trend(
            image, trend.at(place_features(sample.tokens, sample.size)).to(device)
        )
    if sinks:
        image = without_sinks(image, constant_sinks(image))
    for part in raw:
        part.rows[rank][..., part.pack.image] = image[part.questions]
    return raw


def observed_trend(
    host: SupportsDecoderAccess, samples: FocusSamples, layer: int, count: int
) -> PlaceTrend:
    """How the host's attention in a layer depends on place alone, over base levels.

    Only there is every place of the scene equally likely to be asked about.

    Args:
        host: The host.
        samples: Where the first ``count`` samples come from; finer levels among them are skipped.
        layer: The layer.
        count: Samples to look at.
    """
    trend = PlaceTrend(host.decoder.config.num_attention_heads)
    for index in range(count):
        sample = samples.sample(index)
        if not sample.is_base:
            continue
        features = place_features(sample.tokens, sample.size)
        for part in _raw_targets(host, sample, (layer,)):
            trend.observe(features, part.rows[layer][..., part.pack.image])
    return trend


def _raw_targets(
    host: SupportsDecoderAccess, sample: FocusSample, layers: Sequence[int]
) -> list[RowTargets]:
    dtype, start, parts = next(host.decoder.parameters()).dtype, 0, []
    for pack in sample_packs(host, sample, dtype):
        rows = host_rows(host, pack, tuple(layers))
        parts.append(RowTargets(pack, rows, slice(start, start + len(pack.tails))))
        start += len(pack.tails)
    return parts
