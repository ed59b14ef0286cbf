"""VisionDrop: vision tokens judge each other, and what is not dominant is merged, never lost.

Source: VisionDrop, AAAI 2026. Its step at the encoder is that of VisionZip; this file holds the
steps inside the decoder.

Acts before decoder layers 8, 16 and 24 (of 32). A token's score is the mean attention of heads and
vision rows, recomputed with the layer that comes next; the best stay (dominant), evenly spaced ones
of the rest take in the others by likeness of their keys (contextual). O(n · s · d · heads) time in
blocks of rows, O(n · c) memory. Not text-guided, by design. Positions are numbered anew.

The causal mask shows early tokens to more rows, so they score higher; ``debias`` divides by the
number of rows that see a token.

``fixed`` differs from ``faithful`` (`contextual` with ``add=True``, order dominant | contextual): a
contextual token is the size-weighted mean of its members instead of its target plus the mean of
the others, which doubles its length; outputs stand in the order of their places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.decoder.base import DecoderStage, DecoderView, Positions
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.primitives.sums import summed_by
from geofovea.regionfocus.reductions.projected.visionzip import assign_to_targets
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["Contextual", "VisionDrop", "contextual", "visible_rows"]

_PUBLISHED = Schedule.of((0.25, 35 / 48), (0.5, 26 / 48), (0.75, 19 / 48))


@dataclass(frozen=True, slots=True)
class VisionDrop(DecoderStage):
    """Keep dominant vision tokens and merge the others into few.

    Attributes:
        schedule: 35, 26 and 19 of 48 tokens at the quarters of the depth, as shares, unless told
            otherwise; contextual tokens are counted in.
        contextual_share: How many of the tokens that are left are contextual: 5, 4 and 3 of those.
        debias: Divide scores by the number of rows that see a token.
        positions: Of survivors.

    Raises:
        ModelError: If the contextual share is not in 0..1, 1 excluded.
    """

    schedule: Schedule = _PUBLISHED
    contextual_share: float = 1 / 7
    debias: bool = False
    positions: Positions = "contiguous"
    name: ClassVar[str] = "visiondrop"

    def __post_init__(self) -> None:
        if not 0 <= self.contextual_share < 1:
            raise ModelError(
                "the share of contextual tokens must be at least 0 and below 1, got "
                f"{self.contextual_share}"
            )

    def _choose(self, view: DecoderView, k: int) -> TokenChoice:
        n = len(view.visual)
        raw = view.mean_rows(view.visual)[view.visual]
        if self.debias:
            raw = raw * n / visible_rows(view.visual, view.visual)
        scores, is_replaced = clean_scores(raw)
        if is_replaced:
            return keep_best(raw, k)
        few = min(int(k * self.contextual_share + 0.5), k - 1)
        dominant = top_indices(scores, k - few)
        if few == 0:
            return TokenChoice(dominant.sort().values)
        hidden = view.hidden[view.visual]
        sizes = view.carried.get("sizes", torch.ones(n, device=hidden.device))
        merged = contextual(hidden, view.keys()[view.visual], dominant, few, sizes=sizes)
        index, order = torch.cat([dominant, merged.targets]).sort()
        place = torch.argsort(order)
        groups = torch.full((n,), -1, dtype=torch.int64)
        groups[dominant] = place[: k - few]
        groups[merged.rest] = place[k - few :][merged.label]
        features = torch.cat([hidden[dominant.to(hidden.device)], merged.tokens.to(hidden.dtype)])
        masses = torch.cat([sizes[dominant.to(sizes.device)], merged.sizes])
        order = order.to(hidden.device)
        return TokenChoice(index, features[order], groups, masses[order])


@dataclass(frozen=True, slots=True, eq=False)
class Contextual:
    """What became of the tokens that are not dominant.

    Attributes:
        tokens: float32 ``(c, d)``.
        targets: int64 ``(c,)``, the token that each stands for, ascending, on the host.
        rest: int64 ``(m,)``, all tokens that are not dominant, ascending, on the host.
        label: int64 ``(m,)``, where each of those went, below c.
        sizes: float32 ``(c,)``, how many tokens each stands for.
    """

    tokens: Tensor
    targets: Tensor
    rest: Tensor
    label: Tensor
    sizes: Tensor


def contextual(
    features: Tensor,
    metric: Tensor,
    dominant: Tensor,
    count: int,
    *,
    sizes: Tensor | None = None,
    add: bool = False,
) -> Contextual:
    """Merge all tokens but the dominant ones into evenly spaced ones of them.

    Args:
        features: ``(n, d)``, what is merged.
        metric: ``(n, k)``, what likeness is measured on, by cosine; equal ones go to the lowest.
        dominant: int64 ``(m,)``, tokens that are left alone.
        count: Contextual tokens; as many as there are others, if those are fewer.
        sizes: ``(n,)``, how many tokens each stands for; one each, if None.
        add: True for the published sum of the target and the mean of its followers.
    """
    is_rest = torch.ones(len(features), dtype=torch.bool)
    is_rest[dominant.cpu()] = False
    rest = is_rest.nonzero()[:, 0]
    here = features.device
    targets, label = assign_to_targets(metric, rest, count)
    slots, label = torch.searchsorted(rest, targets), label.to(here)
    members = features[rest.to(here)].float()
    mass = torch.ones(len(rest), device=here)
    if sizes is not None:
        mass = sizes[rest.to(sizes.device)].to(here, torch.float32)
    totals = summed_by(mass[:, None], label, len(slots))
    if not add:
        tokens = summed_by(members * mass[:, None], label, len(slots)) / totals
        return Contextual(tokens, targets, rest, label.cpu(), totals[:, 0])
    is_follower = torch.ones(len(rest), dtype=torch.bool, device=here)
    is_follower[slots.to(here)] = False
    sums = summed_by(members[is_follower], label[is_follower], len(slots))
    followers = label[is_follower].bincount(minlength=len(slots)).clamp_min(1)
    tokens = members[slots.to(here)] + sums / followers[:, None]
    return Contextual(tokens, targets, rest, label.cpu(), totals[:, 0])


def visible_rows(queries: Tensor, keys: Tensor) -> Tensor:
    """How many of the queries see each key under a causal mask, float32 ``(k,)``, at least 1.

    Args:
        queries: int64 ``(q,)``, ascending places.
        keys: int64 ``(k,)``, places.
    """
    before = torch.searchsorted(queries.contiguous(), keys.contiguous())
    return (len(queries) - before).clamp_min(1).float()
