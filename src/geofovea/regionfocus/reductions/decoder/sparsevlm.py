"""SparseVLM: words that fit the picture rate its tokens; some of the losers are merged and kept.

Source: SparseVLM, ICML 2025; version 1 of its code.

Acts after decoder layers 2, 6 and 15 (of 32, from 0) on their attention: raters are the text tokens
that vision tokens like best (once, on the prompt's embeddings), a token's score is the mean
attention of heads and raters. Of the removed tokens the best three in ten are clustered (DPC-KNN)
and stay as the means of their clusters. Needs a row per rater. O(raters · s · d · heads) + m² d for
m recycled tokens, m² memory. Text-guided. Positions are numbered anew.

``faithful``: `raters`, `rater_scores`, `recycled`, `cluster_means` with ``exact=False``. ``fixed``
differs: the means count in the budget, stand where their cluster's center stood instead of behind
all others, and are true means, with no 1e-6 added to the count, weighted by what earlier merges put
into a token; without any preference all text tokens rate; of recycled tokens at most the best 8,192
are merged. Version 2 of the code is ``sparsevlm2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.visual_sinks import SinkFilter, exclude_visual_sinks
from geofovea.regionfocus.reductions.primitives.clustering import cluster_by_density
from geofovea.regionfocus.reductions.primitives.similarity import MOST_TOKENS
from geofovea.regionfocus.reductions.primitives.sums import summed, summed_by
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = [
    "PUBLISHED",
    "SparseVlm",
    "cluster_means",
    "published_schedules",
    "rank_count",
    "rater_scores",
    "raters",
    "recycled",
]

_BLOCK = 2048


def published_schedules(counts: Mapping[int, tuple[int, int, int]]) -> dict[int, Schedule]:
    """Schedules by name: counts of 576 tokens after layers 2, 6 and 15 of 32, as shares."""
    layers = (3 / 32, 7 / 32, 16 / 32)
    return {
        tokens: Schedule.of(*zip(layers, [n / 576 for n in remaining], strict=True))
        for tokens, remaining in counts.items()
    }


PUBLISHED = published_schedules(
    {192: (300, 200, 110), 128: (303, 110, 36), 96: (238, 48, 26), 64: (66, 30, 17)}
)
"""The published schedules, as shares, by the number of tokens that they call themselves."""


@dataclass(frozen=True, slots=True)
class SparseVlm(DecoderStage):
    """Keep what raters look at, and the means of the better ones of the rest.

    Attributes:
        schedule: 300, 200 and 110 of 576 tokens after layers 2, 6 and 15 of 32, as shares, unless
            told otherwise.
        positions: Of survivors.
        sinks: Vision tokens that may not win by being attention sinks; None to leave them in.
        rank_strength: The paper's own count: of n tokens, this share of n less the rank of the
            raters' attention is removed, at least what the schedule removes; None not to ask.

    Raises:
        ModelError: If the rank's strength is not in 0..1.
    """

    schedule: Schedule = PUBLISHED[192]
    positions: Positions = "contiguous"
    sinks: SinkFilter | None = None
    rank_strength: float | None = None
    name: ClassVar[str] = "sparsevlm"
    reach: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.rank_strength is not None and not 0 <= self.rank_strength <= 1:
            raise ModelError(f"a share is between 0 and 1, got rank_strength={self.rank_strength}")

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        rater_index = raters(view.embedded_visual, view.embedded_text)
        rows = view.text[rater_index.to(view.text.device)]
        scores = view.mean_rows(rows, back=1)[view.visual]
        if self.rank_strength is not None:
            attention = view.rows(rows, back=1)[..., view.visual]
            k = min(k, rank_count(attention, self.rank_strength))
        scores, is_replaced = clean_scores(exclude_visual_sinks(scores, view, self.sinks))
        if is_replaced:
            return keep_best(scores.fill_(torch.nan), k)
        if _kept_count(len(scores), k) == k:
            return keep_best(scores, k)
        return replace(_recycle(view, scores, k), info={"raters": len(rater_index)})


def _recycle(view: DecoderView, scores: Tensor, k: int) -> TokenChoice:
    """The best of ``n`` tokens, and means of the better ones of the rest, ``k`` in all.

    Args:
        view: Of the decoder.
        scores: float32 ``(n,)``, of the vision tokens.
        k: How many stay.
    """
    n = len(scores)
    kept_count = _kept_count(n, k)
    best = top_indices(scores, n)
    best_kept, removed = best[:kept_count], best[kept_count:]
    again = removed[: _recycled_count(len(removed))].sort().values
    hidden = view.hidden[view.visual]
    sizes = view.carried.get("sizes", torch.ones(n, device=hidden.device)).float()
    means, centers, label, mass = _weighted_clusters(
        hidden[again.to(hidden.device)], k - kept_count, sizes[again.to(hidden.device)]
    )
    index, order = torch.cat([best_kept, again[centers]]).sort()
    place = torch.argsort(order)
    groups = torch.full((n,), -1, dtype=torch.int64)
    groups[best_kept] = place[:kept_count]
    groups[again] = place[kept_count:][label]
    features = torch.cat([hidden[best_kept.to(hidden.device)], means.to(hidden.dtype)])
    masses = torch.cat([sizes[best_kept.to(sizes.device)], mass])
    order = order.to(hidden.device)
    return TokenChoice(index, features[order], groups, masses[order])


def raters(visual: Tensor, text: Tensor) -> Tensor:
    """Text tokens that vision tokens prefer above the mean, int64 ``(r,)``, ascending.

    The preference is a softmax over text tokens of raw dot products, so a long vector wins always.
    All of them, where all are liked the same.

    Args:
        visual: ``(n, d)``, embeddings as the prompt has them.
        text: ``(t, d)``.
    """
    words = text.float()
    preference = torch.zeros(len(words), device=words.device)
    for block in torch.split(visual.float(), _BLOCK):
        preference += (block @ words.T).softmax(-1).sum(0)
    preference /= max(1, len(visual))
    index = (preference > preference.mean()).nonzero()[:, 0]
    return (index if len(index) else torch.arange(len(words), device=words.device)).cpu()


def rater_scores(attention: Tensor, visual: Tensor, rows: Tensor) -> Tensor:
    """Mean attention of heads and raters to each vision token, float32 ``(n,)``.

    Args:
        attention: ``(heads, s, s)``.
        visual: int64 ``(n,)``, places of the vision tokens.
        rows: int64 ``(r,)``, places of the raters.
    """
    rater_rows = attention[:, rows]
    return summed(rater_rows.float(), (0, 1))[visual] / (rater_rows.shape[0] * rater_rows.shape[1])


def rank_count(attention: Tensor, strength: float) -> int:
    """How many vision tokens the paper keeps, at least 1.

    Args:
        attention: ``(heads, r, n)``, from raters to vision tokens, not all NaN.
        strength: Which share of the n tokens beyond the rank of the head mean is removed.
    """
    n = attention.shape[-1]
    matrix = (summed(attention.float(), 0) / len(attention)).nan_to_num()
    return max(1, n - int(strength * (n - int(torch.linalg.matrix_rank(matrix)))))


def recycled(scores: Tensor, index: Tensor) -> tuple[Tensor, int]:
    """The removed tokens that the published code merges, and into how many.

    Args:
        scores: ``(n,)``.
        index: int64 ``(k,)``, indices of the tokens that stay.

    Returns:
        int64 ``(m,)`` ascending, and the number of clusters.
    """
    removed = torch.ones(len(scores), dtype=torch.bool)
    removed[index] = False
    others = removed.nonzero()[:, 0]
    count = min(int(len(others) * 0.3) + 1, len(others))
    again = others[top_indices(scores[others], count)].sort().values
    return again, int(count / 10) + 1


def cluster_means(points: Tensor, count: int, *, exact: bool = True) -> Tensor:
    """Means of the clusters of ``(m, d)`` points, float32 ``(count, d)``, best center first.

    Args:
        points: ``(m, d)``.
        count: Clusters.
        exact: False to add 1e-6 to the number of members, as the published code does.

    Raises:
        BudgetError: As `cluster_by_density`.
    """
    label = cluster_by_density(points, count).assignment
    members = label.bincount(minlength=count)[:, None]
    return summed_by(points, label, count) / (members if exact else members + 1e-6)


def _weighted_clusters(
    points: Tensor, count: int, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Means (c, d), centers (c,), labels (m,) and sizes (c,) of clusters, labels on the host."""
    clusters = cluster_by_density(points, count)
    centers, label = clusters.centers, clusters.assignment
    mass = summed_by(sizes[:, None], label, count)
    sums = summed_by(points.float() * sizes[:, None], label, count)
    return sums / mass, centers.cpu(), label.cpu(), mass[:, 0]


def _recycled_count(removed: int) -> int:
    return min(int(removed * 0.3) + 1, removed, MOST_TOKENS)


def _kept_count(n: int, k: int) -> int:
    """How many of n tokens stay themselves when they and the means are to be k."""
    for clusters in range(1, k):
        merged = int(_recycled_count(n - k + clusters) / 10) + 1
        if merged <= clusters:
            return k - clusters
    return 1
