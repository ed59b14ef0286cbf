"""Outputs that stand for several tokens: their means, their order, and parts put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import Kept

__all__ = ["group_means", "join", "merged"]


def group_means(
    features: Tensor, groups: Tensor, count: int, weights: Tensor | None = None
) -> Tensor:
    """Weighted mean of each group, in float32.

    Args:
        features: ``(n, d)``.
        groups: int64 ``(n,)``, below ``count``; −1 belongs to none.
        count: Number of groups.
        weights: ``(n,)``; what is negative or not finite weighs nothing. Members of a group without
            any weight weigh the same. None is the plain mean.

    Returns:
        float32 ``(count, d)`` on the device of the features; zero where a group is empty.
    """
    device = features.device
    groups = groups.to(device)
    x = features.detach().to(torch.float32)
    member = groups >= 0
    x, label = x[member], groups[member]
    if weights is None:
        mass = x.new_ones(len(x))
    else:
        weight = weights.to(device, torch.float32)[member]
        mass = torch.where(weight.isfinite() & (weight > 0), weight, 0)
        whole = mass.new_zeros(count).index_add_(0, label, mass)
        mass = torch.where(whole[label] > 0, mass, 1)
    whole = mass.new_zeros(count).index_add_(0, label, mass)
    sums = x.new_zeros(count, x.shape[1]).index_add_(0, label, x * mass[:, None])
    return sums / whole.clamp_min(torch.finfo(torch.float32).tiny)[:, None]


def merged(
    features: Tensor,
    position: Tensor,
    outputs: Tensor,
    groups: Tensor | None,
    info: dict[str, Any],
    sizes: Tensor | None = None,
) -> Kept:
    """Outputs of a merger in the order of the tokens that they stand for.

    Args:
        features: ``(n, d)``, the inputs; outputs get their type.
        position: int64 ``(k,)``, the token that each output stands for, distinct.
        outputs: ``(k, d)``.
        groups: int64 ``(n,)``, the output of each token in the given order, −1 for none; or None.
        info: See `Kept`.
        sizes: ``(k,)``; by default the members of the groups are counted.
    """
    position = position.cpu()
    order = torch.argsort(position, stable=True)
    if groups is not None:
        groups = groups.cpu()
        if sizes is None:
            sizes = groups[groups >= 0].bincount(minlength=len(position))
        place = torch.argsort(order)
        groups = torch.where(groups < 0, -1, place[groups.clamp_min(0)])
    if sizes is not None:
        sizes = sizes.cpu()[order]
    values = outputs[order.to(outputs.device)].to(features.dtype)
    return Kept(position[order], values, groups, sizes, info)


def join(parts: Sequence[tuple[Tensor, Kept]], features: Tensor) -> Kept:
    """One choice out of choices within disjoint parts of n tokens.

    Args:
        parts: For each part the indices of its tokens, int64, and the choice among them.
        features: ``(n, d)``, all tokens.

    Returns:
        The choice; of what the parts tell, only words, for their numbers are about themselves.
    """
    index = torch.cat([tokens[kept.index] for tokens, kept in parts])
    order = torch.argsort(index, stable=True)
    info: dict[str, Any] = {}
    for _, kept in parts:
        info |= {word: told for word, told in kept.info.items() if isinstance(told, str)}
    values = groups = sizes = None
    if any(kept.features is not None for _, kept in parts):
        values = torch.cat([_values(tokens, kept, features) for tokens, kept in parts])
        values = values[order.to(values.device)]
        sizes = torch.cat([_sizes(kept) for _, kept in parts])[order]
        if all(kept.features is None or kept.groups is not None for _, kept in parts):
            groups = torch.full((len(features),), -1)
            place, start = torch.argsort(order), 0
            for tokens, kept in parts:
                own = kept.groups
                if own is None:
                    own = torch.full((len(tokens),), -1)
                    own[kept.index] = torch.arange(len(kept.index))
                to = place[start : start + len(kept.index)]
                groups[tokens] = torch.where(own < 0, -1, to[own.clamp_min(0)])
                start += len(kept.index)
    return Kept(index[order], values, groups, sizes, info)


def _values(tokens: Tensor, kept: Kept, features: Tensor) -> Tensor:
    if kept.features is not None:
        return kept.features
    return features[tokens[kept.index].to(features.device)]


def _sizes(kept: Kept) -> Tensor:
    return kept.sizes if kept.sizes is not None else torch.ones(len(kept.index), dtype=torch.int64)
