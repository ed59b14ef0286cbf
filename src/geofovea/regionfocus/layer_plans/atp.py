"""ATP-LLaVA: a question decides by learned thresholds how many vision tokens go on.

Source: "ATP-LLaVA: Adaptive Token Pruning for Large Vision Language Models"; the authors have
published no code. Behind three layers, a token goes on if its redundancy score is above one
threshold or its place in a coarse grid of its tile is worth more than another. The score is the
mean of what it gets from vision and from the words behind the picture. The thresholds come from a
small head that reads the mean of both.

``faithful``: `spatial_scores`, `thresholds`, `soft_mask`, `budget_loss`, checked against a port by
a student. That port scores vision by what a token gives, not by what it gets; this is not followed
here. ``fixed``: what a token gets from vision is divided by the number of tokens that can see it.
Scores are in units of the mean, because attention of 1/n is below every sigmoid. The second term of
the loss counts the layer as a share of the depth.

Heads are trained for one model, see ``training.parts.thresholds``; none are shipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.base import LayerMethod, LayerPlan, LayerView, words_behind
from geofovea.regionfocus.scoring import top_indices
from geofovea.regionfocus.tokens import TokenSet, token_cells

__all__ = [
    "RATES",
    "Atp",
    "ThresholdHead",
    "budget_loss",
    "kept_tokens",
    "leaving_layers",
    "margins",
    "soft_mask",
    "spatial_scores",
    "thresholds",
]

_DEPTHS = (1 / 8, 7 / 16, 3 / 4)
RATES = (0.25, 0.25, 0.25)
"""Share of the cells in the coarse grid, behind each of three layers."""

_ROWS = 256
"""Rows of attention that are read at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class ThresholdHead:
    """The trained part of one layer.

    Attributes:
        projection: ``(hidden, 2)``, of the two mean scores.
        projection_bias: ``(hidden,)``.
        redundant: ``(1, hidden)``, to the logit of the threshold of scores.
        redundant_bias: ``(1,)``.
        spatial: ``(1, hidden)``, to that of places.
        spatial_bias: ``(1,)``.
    """

    projection: Tensor
    projection_bias: Tensor
    redundant: Tensor
    redundant_bias: Tensor
    spatial: Tensor
    spatial_bias: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Atp(LayerMethod):
    """As many vision tokens go on as learned thresholds let through.

    Attributes:
        heads: One for each of the layers behind which tokens leave: an eighth, seven sixteenths and
            three quarters of the depth.
        cells: int64 ``(n, 2)``, row and column of each vision token of the prompt in its tile; `of`
            finds them where ``grid`` is given.
        most: Tokens that may go on, for each of these layers; those with the largest margin do.
            None for no limit.
        rates: Share of the cells in the coarse grid, in each of these layers.
        grid: Rows and columns of tokens in a tile.
        tile_size: Side of a tile in pixels of its level.

    Raises:
        ModelError: If there are not three heads, rates and limits.
    """

    heads: tuple[ThresholdHead, ...]
    cells: Tensor | None = None
    most: tuple[int, ...] | None = None
    rates: tuple[float, ...] = RATES
    grid: tuple[int, int] | None = None
    tile_size: int = 0
    name: ClassVar[str] = "atp"

    def __post_init__(self) -> None:
        parts = [self.heads, self.rates, (0, 0, 0) if self.most is None else self.most]
        if any(len(part) != 3 for part in parts):
            raise ModelError("atp has a head, a rate and a limit for each of three layers")

    def of(self, tokens: TokenSet) -> Atp:
        """See `LayerMethod`."""
        if self.grid is None:
            return self
        return replace(self, cells=token_cells(tokens, self.grid, self.tile_size))

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `LayerMethod`."""
        return tuple(n for n in leaving_layers(depth) if n < depth - 1)

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`.

        Raises:
            ModelError: If the cells are those of another prompt.
        """
        layers = leaving_layers(view.depth)
        behind = words_behind(view)
        if view.layer not in self.layers(view.depth) or not len(behind):
            return LayerPlan()
        cells = torch.zeros(0, 2) if self.cells is None else self.cells
        if int(view.numbers[-1]) >= len(cells):
            raise ModelError(
                f"atp needs the cell of every vision token; the prompt has more than the "
                f"{len(cells)} that were given"
            )
        number = layers.index(view.layer)
        scores = torch.stack([_from_vision(view), _from_words(view, behind)])
        redundant = scores.mean(0)
        spatial = spatial_scores(cells[view.numbers.cpu()], self.rates[number]).to(scores)
        margin = margins(redundant, spatial, thresholds(scores, self.heads[number]))
        return LayerPlan(
            stays=kept_tokens(margin, None if self.most is None else self.most[number])
        )


def leaving_layers(depth: int) -> list[int]:
    """The three layers behind which tokens leave, from 0; nothing leaves behind the last one."""
    return [max(1, round(depth * part)) - 1 for part in _DEPTHS]


def spatial_scores(cells: Tensor, rate: float = 0.25, weight: float = 3.0) -> Tensor:
    """What the place of each token is worth, float32 ``(n,)``.

    Args:
        cells: int64 ``(n, 2)``, row and column in the tile.
        rate: Share of the cells in the coarse grid, above 0.
        weight: Times the rate, what the worth falls short of 1.
    """
    stride = max(1, round(rate**-0.5))
    is_on_grid: Tensor = (cells % stride == 0).all(1)
    return is_on_grid.float() * max(0.0, 1 - rate * weight)


def thresholds(scores: Tensor, head: ThresholdHead) -> Tensor:
    """Thresholds of the redundancy and of the place, ``(2,)``, between 0 and 1.

    Args:
        scores: ``(2, n)``, what each token gets from vision and from words.
        head: Of the layer.
    """
    projection, redundant, spatial = (
        (weight.to(scores), bias.to(scores))
        for weight, bias in (
            (head.projection, head.projection_bias),
            (head.redundant, head.redundant_bias),
            (head.spatial, head.spatial_bias),
        )
    )
    inner = projection[0] @ scores.mean(1) + projection[1]
    logits = [weight @ inner + bias for weight, bias in (redundant, spatial)]
    bounds: Tensor = torch.cat(logits).sigmoid()
    return bounds


def margins(redundant: Tensor, spatial: Tensor, bounds: Tensor) -> Tensor:
    """How far each token is above the nearer of its thresholds, ``(n,)``; below 0, it leaves."""
    return torch.maximum(redundant - bounds[0], spatial - bounds[1])


def kept_tokens(margin: Tensor, most: int | None = None) -> Tensor:
    """The tokens that go on, int64 ``(k,)``, ascending: those above a threshold, else the nearest.

    Args:
        margin: ``(n,)``, from `margins`.
        most: How many may; those with the largest margin do, ties by their order. None for all.
    """
    count = max(1, int((margin > 0).sum()))
    count = count if most is None else min(count, max(1, most))
    return top_indices(margin, count).sort().values


def soft_mask(
    redundant: Tensor, spatial: Tensor, bounds: Tensor, temperature: float = 10.0
) -> Tensor:
    """How much each token counts in training, ``(n,)`` from 0 to 1; hard as it grows.

    Its logarithm is added to the attention logits of these keys in later layers.
    """
    mask: Tensor = (temperature * margins(redundant, spatial, bounds)).sigmoid()
    return mask


def budget_loss(
    counts: Sequence[Tensor], before: int, target: float, weights: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """What keeps the number of tokens small; the published loss has .05 of one and .2 of the other.

    Args:
        counts: Tokens that go on behind each layer; of soft masks, their sums.
        before: Tokens of the prompt.
        target: The wanted mean of the counts.
        weights: Of each layer: its number as published, its share of the depth as fixed.

    Returns:
        The weighted sum of shares, and how far the mean is from the target.
    """
    stacked = torch.stack(list(counts))
    weighted = (stacked * stacked.new_tensor(weights)).sum() / before
    return weighted, (stacked.mean() - target).abs()


def _from_vision(view: LayerView) -> Tensor:
    """What each vision token gets from those that see it, in units of 1/n, ``(n,)``."""
    count = len(view.visual)
    total = torch.zeros(count, device=view.hidden.device)
    for rows in torch.split(view.visual, _ROWS):
        total += view.attention(rows)[:, :, view.visual].mean(0).sum(0)
    seers = torch.arange(count, 0, -1, device=total.device)
    return count * total / seers


def _from_words(view: LayerView, behind: Tensor) -> Tensor:
    """What each vision token gets from words behind the picture, in units of 1/n, ``(n,)``."""
    total = torch.zeros(len(view.visual), device=view.hidden.device)
    for rows in torch.split(behind, _ROWS):
        total += view.attention(rows)[:, :, view.visual].mean(0).sum(0)
    return len(view.visual) * total / len(behind)
