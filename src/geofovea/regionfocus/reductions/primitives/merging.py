"""Merging of tokens: groups, output features, and the sizes that they stand for.

Every merger decides only which tokens (sources) go into which others (destinations); the rest is
the same for all and stands here. A merged value is the mean of its members weighted by their sizes,
so the sizes add up to the number of tokens, the mass ``sum(size * value)`` is conserved, and every
value lies in the convex hull of its members.

Matching takes time O(n²d) within a unit (a tile) and, in blocks of rows, memory O(n): it has no
largest n.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows

__all__ = [
    "Allowed",
    "MergeState",
    "Pairs",
    "group_rows",
    "matched_rows",
    "merge_down",
    "merge_units",
    "nearest",
    "size_weighted_mean",
]

_BLOCK = 1 << 22
"""Most similarities that are held at once."""

_UNKNOWN = -2.0
"""Likeness where it is not a number: below every cosine, but not forbidden."""

Allowed = Callable[[Tensor, Tensor], Tensor]
"""Which of some rows (a,) may pair with which of some others (b,), both indices: bool (a, b)."""

Pairs = tuple[Tensor, Tensor]
"""Sources and destinations, int64 ``(r,)`` each: a source occurs once and is no destination."""


def size_weighted_mean(values: Tensor, sizes: Tensor, groups: Tensor, count: int) -> Tensor:
    """Means of ``values`` (n, ...) within ``groups`` (n,), weighted by ``sizes`` (n,).

    Computed in float32 and returned in the type of the values, ``(count, ...)``.
    """
    flat = values.float().reshape(len(values), -1)
    total = flat.new_zeros(count, flat.shape[1]).index_add_(0, groups, flat * sizes[:, None])
    mass = sizes.new_zeros(count).index_add_(0, groups, sizes)
    return (total / mass[:, None]).reshape(count, *values.shape[1:]).to(values.dtype)


def group_rows(n: int, pairs: Pairs, survivors: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Where ``n`` tokens go when each source joins its destination.

    Args:
        n: Number of tokens.
        pairs: Sources and destinations.
        survivors: The tokens that are left in the order of the output, int64 ``(m,)``; ascending
            where it is not given.

    Returns:
        ``groups`` int64 ``(n,)``, the output row of each token, and ``survivors``.
    """
    sources, destinations = pairs
    if survivors is None:
        stays = torch.ones(n, dtype=torch.bool, device=sources.device)
        stays[sources] = False
        survivors = stays.nonzero()[:, 0]
    groups = torch.empty(n, dtype=torch.int64, device=survivors.device)
    groups[survivors] = torch.arange(len(survivors), device=survivors.device)
    groups[sources] = groups[destinations]
    return groups, survivors


@dataclass(frozen=True, slots=True, eq=False)
class MergeState:
    """m tokens that n have merged into.

    Attributes:
        features: ``(m, d)``.
        metric: ``(m, e)``, what their likeness is measured in.
        sizes: float32 ``(m,)``, how many tokens each stands for.
        groups: int64 ``(n,)``, what became of each of the n.
        index: int64 ``(m,)``, ascending: the token that each was before it took in others.
        units: int64 ``(m,)``; tokens of different units do not merge. None where all may.
        importance: float32 ``(m,)``, for mergers that heed one.
    """

    features: Tensor
    metric: Tensor
    sizes: Tensor
    groups: Tensor
    index: Tensor
    units: Tensor | None = None
    importance: Tensor | None = None

    @classmethod
    def start(
        cls,
        features: Tensor,
        metric: Tensor,
        sizes: Tensor | None = None,
        units: Tensor | None = None,
        importance: Tensor | None = None,
    ) -> MergeState:
        """Nothing has merged yet; sizes are one unless given."""
        n, device = len(features), features.device
        each = torch.arange(n, device=device)
        if sizes is None:
            sizes = torch.ones(n, device=device)
        if importance is not None:
            importance = importance.to(device, torch.float32)
        units = None if units is None else units.to(device)
        return cls(features, metric.float(), sizes.float(), each, each, units, importance)

    def __len__(self) -> int:
        return len(self.features)

    def merge(self, pairs: Pairs) -> MergeState:
        """The state after each source has joined its destination."""
        groups, survivors = group_rows(len(self), pairs)
        count = len(survivors)

        def mean(values: Tensor) -> Tensor:
            return size_weighted_mean(values, self.sizes, groups, count)

        return MergeState(
            mean(self.features),
            mean(self.metric),
            self.sizes.new_zeros(count).index_add_(0, groups, self.sizes),
            groups[self.groups],
            self.index[survivors],
            None if self.units is None else self.units[survivors],
            None if self.importance is None else mean(self.importance),
        )

    def without_units(self) -> MergeState:
        """The same, where every token may merge with every other."""
        return MergeState(
            self.features,
            self.metric,
            self.sizes,
            self.groups,
            self.index,
            importance=self.importance,
        )

    def outcome(self, boxes_scene: Tensor | None = None) -> TokenChoice:
        """The state as the outcome of a reduction, its small tensors on the host.

        Each output stands for the token that took in the others; with ``boxes_scene`` (n, 4) for
        that of its members which is nearest to the middle of them all.
        """
        groups, sizes = self.groups.cpu(), self.sizes.cpu()
        if boxes_scene is None:
            return TokenChoice(self.index.cpu(), self.features, groups, sizes)
        index = _central_members(groups, boxes_scene.cpu(), len(self))
        order = torch.argsort(index)
        place = torch.argsort(order)
        features = self.features[order.to(self.features.device)]
        return TokenChoice(index[order], features, place[groups], sizes[order])


def merge_down(state: MergeState, k: int, match: Callable[[MergeState, int], Pairs]) -> MergeState:
    """Merge in rounds until ``k`` tokens are left.

    A round halves the tokens at most, so a small ``k`` takes several. Where no two tokens of one
    unit are left to merge, the border between units falls.

    Args:
        state: What to begin with.
        k: Number of tokens to end with, at least 1.
        match: Pairs to merge, given a state and the most that are wanted.

    Raises:
        ModelError: If ``match`` finds no pair although there is more than one token.
    """
    while len(state) > k:
        pairs = match(state, len(state) - k)
        if len(pairs[0]):
            state = state.merge(pairs)
        elif state.units is not None:
            state = state.without_units()
        else:
            raise ModelError(
                f"no pair is left among {len(state)} tokens to reach {k}; ask for more tokens"
            )
    return state


def _central_members(groups: Tensor, boxes_scene: Tensor, count: int) -> Tensor:
    """The member of each group whose box is nearest to their mean, the first of equals."""
    n = len(groups)
    centers = (boxes_scene[:, :2] + boxes_scene[:, 2:]) / 2
    members = torch.bincount(groups, minlength=count)[:, None]
    middle = centers.new_zeros(count, 2).index_add_(0, groups, centers) / members
    away = (centers - middle[groups]).square().sum(1)
    least = away.new_full((count,), torch.inf).scatter_reduce(0, groups, away, "amin")
    each = torch.where(away == least[groups], torch.arange(n), n)
    return each.new_full((count,), n).scatter_reduce(0, groups, each, "amin")


def merge_units(context: TokenContext) -> Tensor | None:
    """Units that no merge should cross: a tile, or where tiles are not told, a level."""
    return context.tile_index if context.tile_index is not None else context.levels


def matched_rows(metric: Tensor) -> Tensor:
    """`unit_rows` whose broken rows stay so: `nearest` takes them for the last choice of all."""
    return unit_rows(metric, broken=torch.nan)


def nearest(
    rows: Tensor,
    others: Tensor,
    allowed: Allowed | None = None,
    units: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The most alike of ``others`` for each of ``rows``, equal ones by the lower index.

    Args:
        rows: ``(a, d)`` of unit length.
        others: ``(b, d)`` of unit length, b > 0.
        allowed: Which pairs may be; None for all.
        units: int64 ``(a,)`` and ``(b,)``: only rows and others of one unit may pair. Each unit is
            matched by itself, so many small units take far less than a · b · d time.

    Returns:
        Cosines float32 ``(a,)``, -inf where no pair may be, and places int64 ``(a,)`` in
        ``others``.
    """
    whole = torch.arange(len(rows), device=rows.device)
    every = torch.arange(len(others), device=rows.device)
    if units is None:
        return _nearest(rows, others, whole, every, allowed)
    best = rows.new_full((len(rows),), -torch.inf)
    place = torch.zeros_like(whole)
    of_other = dict(_by_unit(units[1]))
    for unit, own in _by_unit(units[0]):
        if unit in of_other:
            there = of_other[unit]
            best[own], nearest_index = _nearest(rows[own], others[there], own, there, allowed)
            place[own] = there[nearest_index]
    return best, place


def _nearest(
    rows: Tensor, others: Tensor, row_index: Tensor, other_index: Tensor, allowed: Allowed | None
) -> tuple[Tensor, Tensor]:
    """`nearest` among all, in blocks of rows; the indices are what ``allowed`` is asked about."""
    count = len(others)
    numbers = torch.arange(count, device=rows.device, dtype=torch.int32)
    best, place = [rows.new_empty(0)], [torch.empty(0, dtype=torch.int64, device=rows.device)]
    step = max(1, _BLOCK // max(1, count))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        alike = torch.nan_to_num(rows[part] @ others.T, nan=_UNKNOWN)
        if allowed is not None:
            alike.masked_fill_(~allowed(row_index[part], other_index), -torch.inf)
        top = alike.amax(1)
        best.append(top)
        # max() promises nothing about which of several equal ones it finds
        place.append(torch.where(alike == top[:, None], numbers, count).amin(1).long())
    return torch.cat(best), torch.cat(place)


def _by_unit(units: Tensor) -> list[tuple[int, Tensor]]:
    """Each unit of ``(n,)`` with its members, int64, ascending."""
    order = torch.argsort(units, stable=True)
    numbers, counts = torch.unique_consecutive(units[order], return_counts=True)
    return list(zip(numbers.tolist(), torch.split(order, counts.tolist()), strict=True))
