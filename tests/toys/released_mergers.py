"""What the released codes of some papers merge in one step: oracles, faults included."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.encoder.dymu import dymu_pairs
from geofovea.regionfocus.reductions.encoder.tome import best_of_odd, odd_places, tome_pairs
from geofovea.regionfocus.reductions.primitives.merging import (
    Pairs,
    group_rows,
    matched_rows,
    size_weighted_mean,
)
from geofovea.regionfocus.scoring import top_indices


def tome_survivors(metric: Tensor, pairs: Pairs, *, protect_first: bool = False) -> Tensor:
    """The published order of the tokens that are left, int64 ``(m,)``; see `group_rows`.

    The even ones that did not merge by falling likeness (ascending beside a class token), then the
    odd ones.
    """
    evens, best, _ = best_of_odd(metric, protect_first=protect_first)
    rest = evens[top_indices(best, len(best))]
    rest = rest[~torch.isin(rest, pairs[0])]
    if protect_first:
        rest = rest.sort().values
    odds = odd_places(len(metric), None, metric.device).nonzero()[:, 0]
    return torch.cat([rest, odds])


def merge_once(
    features: Tensor, metric: Tensor, sizes: Tensor, r: int, *, protect_first: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """One published step on ``features`` (n, d): features (m, d), sizes (m,) and groups (n,)."""
    pairs = tome_pairs(metric, r, protect_first=protect_first)
    if not len(pairs[0]):
        return features, sizes, torch.arange(len(features), device=features.device)
    survivors = tome_survivors(metric, pairs, protect_first=protect_first)
    return merge_pairs(features, sizes, pairs, survivors)


def merge_pairs(
    features: Tensor, sizes: Tensor, pairs: Pairs, survivors: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge ``pairs`` of ``features`` (n, d) with ``sizes`` (n,) into the order of ``survivors``.

    Returns:
        Features (m, d), sizes (m,), and groups int64 (n,).
    """
    groups, survivors = group_rows(len(features), pairs, survivors)
    count = len(survivors)
    merged_sizes = sizes.float().new_zeros(count).index_add_(0, groups, sizes.float())
    return size_weighted_mean(features, sizes.float(), groups, count), merged_sizes, groups


def dymu_merge(
    features: Tensor,
    metric: Tensor,
    threshold: float,
    sizes: Tensor | None = None,
    *,
    protect_first: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """One published step on ``features`` (n, d): features (m, d), sizes (m,) and groups (n,).

    Without a pair above the threshold all tokens come back in their order.
    """
    if sizes is None:
        sizes = torch.ones(len(features), device=features.device)
    pairs = dymu_pairs(metric, threshold, protect_first=protect_first)
    if not len(pairs[0]):
        return features, sizes, torch.arange(len(features), device=features.device)
    survivors = tome_survivors(metric, pairs, protect_first=protect_first)
    return merge_pairs(features, sizes, pairs, survivors)


def crossget_importance(query: Tensor, metric: Tensor | None = None) -> Tensor:
    """Importance as published, float32 ``(n,)``.

    Args:
        query: A cross token ``(1, d)`` (then ``metric`` is needed), or a query-like matrix
            ``(n, m)``.
        metric: ``(n, d)``.

    Returns:
        The cosine of each token to the cross token; or the mean of all but the last column of the
        matrix plus its last column.
    """
    if metric is not None:
        return matched_rows(metric) @ matched_rows(query)[0]
    query = query.float()
    return query[:, :-1].mean(1) + query[:, -1]


def crossget_merge(
    features: Tensor, sizes: Tensor, pairs: Pairs, importance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Merge as published, in the original order.

    Args:
        features: ``(n, d)``.
        sizes: ``(n,)``.
        pairs: Of `crossget_match`.
        importance: float32 ``(n,)``.

    Returns:
        Features (m, d), sizes (m,), and the weights (r, 2) of each source and destination.
    """
    sources, destinations = pairs
    weights = torch.stack([importance[sources], importance[destinations]], 1).float().softmax(1)
    x, sizes = features.float(), sizes.float()
    mass = x * sizes[:, None]
    moved = 2 * weights[:, :1] * mass[sources] + (2 * weights[:, 1:] - 1) * mass[destinations]
    mass = mass.index_add(0, destinations, moved)
    total = sizes.index_add(0, destinations, sizes[sources])
    _, survivors = group_rows(len(x), pairs)
    merged = (mass / total[:, None])[survivors]
    return merged.to(features.dtype), total[survivors], weights


def evit_step(features: Tensor, attention: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """One published step.

    Args:
        features: ``(n, d)``, patches only.
        attention: ``(n,)``, the class token's, mean over heads.
        rate: Share that is kept, above 0 and at most 1.

    Returns:
        The kept tokens in falling order of attention and the fused one, ``(left + 1, d)``, or the
        n tokens as they are where all are left; and the indices of the kept, int64 ``(left,)``.

    Raises:
        ModelError: If the rate is not a share.
    """
    if not 0 < rate <= 1:
        raise ModelError(f"EViT keeps a share of the tokens, above 0 and at most 1, got {rate}")
    n = len(features)
    # a rate such as 0.7 times 10 is 7.000000000000001 only in binary
    left = min(n, math.ceil(round(rate * n, 9)))
    if left == n:
        return features, torch.arange(n, device=features.device)
    order = top_indices(attention, n)
    kept, dropped = order[:left], order[left:]
    weights = attention[dropped].float()
    fused = (weights[:, None] * features[dropped].float()).sum(0, keepdim=True)
    return torch.cat([features[kept], fused.to(features.dtype)]), kept
