"""Outputs that stand for several tokens: their means, their order, and parts put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import TokenChoice

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
) -> TokenChoice:
    """Outputs of a merger in the order of the tokens that they stand for.

    Args:
        features: ``(n, d)``, the inputs; outputs get their type.
        position: int64 ``(k,)``, the token that each output stands for, distinct.
        outputs: ``(k, d)``.
        groups: int64 ``(n,)``, the output of each token in the given order, −1 for none; or None.
        info: See `TokenChoice`.
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
    return TokenChoice(position[order], values, groups, sizes, info)


def join(parts: Sequence[tuple[Tensor, TokenChoice]], features: Tensor) -> TokenChoice:
    """One choice out of choices within disjoint parts of n tokens.

    Args:
        parts: For each part the indices of its tokens, int64, and the choice among them.
        features: ``(n, d)``, all tokens.

    Returns:
        The choice; of what the parts tell, only words, for their numbers are about themselves.
    """
    index = torch.cat([tokens[choice.index] for tokens, choice in parts])
    order = torch.argsort(index, stable=True)
    info: dict[str, Any] = {}
    for _, choice in parts:
        info |= {word: text for word, text in choice.info.items() if isinstance(text, str)}
    values = groups = sizes = None
    if any(choice.features is not None for _, choice in parts):
        values = torch.cat([_values(tokens, choice, features) for tokens, choice in parts])
        values = values[order.to(values.device)]
        sizes = torch.cat([_sizes(choice) for _, choice in parts])[order]
        if all(choice.features is None or choice.groups is not None for _, choice in parts):
            groups = torch.full((len(features),), -1)
            place, start = torch.argsort(order), 0
            for tokens, choice in parts:
                own = choice.groups
                if own is None:
                    own = torch.full((len(tokens),), -1)
                    own[choice.index] = torch.arange(len(choice.index))
                to = place[start : start + len(choice.index)]
                groups[tokens] = torch.where(own < 0, -1, to[own.clamp_min(0)])
                start += len(choice.index)
    return TokenChoice(index[order], values, groups, sizes, info)


def _values(tokens: Tensor, choice: TokenChoice, features: Tensor) -> Tensor:
    if choice.features is not None:
        return choice.features
    return features[tokens[choice.index].to(features.device)]


def _sizes(choice: TokenChoice) -> Tensor:
    return (
        choice.sizes
        if choice.sizes is not None
        else torch.ones(len(choice.index), dtype=torch.int64)
    )
