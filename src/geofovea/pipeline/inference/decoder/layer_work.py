"""What a layer really did for the tokens of a prompt, as numbers that operations follow from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.pipeline.inference.decoder.planned_layer import Entries
from geofovea.regionfocus.layer_plans.base import LayerPlan

__all__ = ["LayerWork", "work_of"]


@dataclass(frozen=True, slots=True)
class LayerWork:
    """What one layer did in the prefill.

    Attributes:
        present: Vision tokens whose keys and values it made.
        attended: Those that made a query.
        fed: Those that passed the feed-forward, or some units of it.
        pairs: Pairs of a query and a key that its attention computed, those of words included, as
            the mean of its heads.
        units: Units of the feed-forward that vision tokens passed; None for all.
    """

    present: int
    attended: int
    fed: int
    pairs: float = 0.0
    units: int | None = None


def work_of(plan: LayerPlan, entries: Entries, heads: int) -> LayerWork:
    """What a layer does under a plan.

    Args:
        plan: Of the layer.
        entries: What its attention can see.
        heads: Query heads of the layer.
    """
    count = len(entries.visual)
    fed = count if isinstance(plan.feeds, Tensor) or plan.feeds else 0
    units = len(plan.feeds) if isinstance(plan.feeds, Tensor) else None
    blind = len(set(plan.blind_heads)) / heads
    pairs = (1 - blind) * _pairs(plan, entries, is_blind=False)
    if blind:
        pairs += blind * _pairs(plan, entries, is_blind=True)
    return LayerWork(count, count if plan.attends else 0, fed, pairs, units)


def _pairs(plan: LayerPlan, entries: Entries, *, is_blind: bool) -> int:
    """Keys that the rows of one head see, all rows together."""
    words, visual = entries.words, entries.visual
    before = torch.arange(1, len(words) + 1, device=words.device) if is_blind else words + 1
    pairs = int(before.sum())
    if not plan.attends or not len(visual):
        return pairs
    number = torch.arange(len(visual), device=visual.device)
    later = 0 if plan.later_words is None else len(plan.later_words)
    of_words = visual - number + later
    of_vision = torch.ones_like(number) if is_blind else _vision_seen(plan, entries.tiles, number)
    return pairs + int((of_words + of_vision).sum())


def _vision_seen(plan: LayerPlan, tiles: Tensor, number: Tensor) -> Tensor:
    """Vision tokens that each one sees, itself included, int64 ``(n,)``."""
    if plan.pairs is None and plan.sees == "causal":
        return number + 1
    sees = number <= number[:, None] if plan.pairs is None else plan.pairs.to(tiles.device)
    if plan.sees == "own_tile":
        sees = sees & (tiles == tiles[:, None])
    return sees.sum(1)
