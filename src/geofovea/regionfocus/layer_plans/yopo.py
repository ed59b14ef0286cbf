"""YOPO: vision tokens see their neighbors, in fewer heads, and pass fewer units; late layers none.

Source: "Treat Visual Tokens as Text? But Your MLLM Only Needs Fewer Efforts to See",
ZhangAIPI/YOPO_MLLM_Pruning. Four cuts: neighbors only, heads that ignore vision, a part of the
feed-forward, and layers from which on vision is gone. Heads and units are tables of a model, which
a few questions fill; without tables these two cuts are off.

``faithful``: `released_weights`, with `local_mask` in place of the order of the sequence. The
release lets a token see later neighbors; it sets columns to zero behind the softmax, so that rows
no longer sum to 1; it takes the first units by number; and its late layers still compute vision.
``fixed``, the default: a token sees what stands before it in its own tile, or, with a window, those
of it that are near; hidden columns get no weight in the softmax; units are those that vision tokens
use most; late layers lose vision. A neighborhood across tiles would be one of the sequence and not
of the scene.

Measured on the embedded model (144 questions, .819 without): own tile only .819, 99 % the same
answers; half of the units by use .819, a quarter .785; the first half by number .639.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.budget import share_down
from geofovea.regionfocus.layer_plans.base import (
    LayerMethod,
    LayerPlan,
    LayerView,
    Sees,
    check_start,
)
from geofovea.regionfocus.scoring import top_indices

__all__ = ["Yopo", "blind_heads", "head_ratios", "released_weights", "used_units"]

_MOST_TOKENS = 8192


@dataclass(frozen=True, slots=True, eq=False)
class Yopo(LayerMethod):
    """Fewer pairs, heads and units for vision tokens, layer by layer.

    Attributes:
        sees: Which vision tokens they see.
        start: The first layer in which they see less.
        cells: int64 ``(n, 2)``, row and column of each vision token in its tile; only for a window.
        window: Side of the square of cells that a token sees, odd; None for the whole tile.
        heads: Query heads of each layer that see no vision; none where there is no entry.
        units: Units of the feed-forward that vision passes, int64, of each layer; all where there
            is not an entry.
        cut: The layer from which on vision is gone; None for none.

    Raises:
        ModelError: If the window is even or has no cells, or there is no such layer.
    """

    sees: Sees = "own_tile"
    start: int = 0
    cells: Tensor | None = None
    window: int | None = None
    heads: tuple[tuple[int, ...], ...] = ()
    units: tuple[Tensor, ...] = ()
    cut: int | None = None
    name: ClassVar[str] = "yopo"

    def __post_init__(self) -> None:
        check_start(self.start)
        check_start(self.cut or 0)
        if self.window is None:
            return
        if self.window < 1 or self.window % 2 == 0:
            raise ModelError(f"a window has an odd number of cells, got window={self.window}")
        if self.cells is None:
            raise ModelError("a window needs the cells of the tokens; give cells=, or no window")

    def layers(self, depth: int) -> tuple[int, ...]:
        """See `LayerMethod`; cuts of single layers and of late ones count, too."""
        first = depth if self.cut is None else self.cut
        tables = (*self.heads[:depth], *self.units[:depth])
        return tuple(range(0 if tables else min(self.start, first), depth))

    def plan(self, view: LayerView) -> LayerPlan:
        """See `LayerMethod`.

        Raises:
            BudgetError: If a window is asked for among more than 8,192 vision tokens.
        """
        layer = view.layer
        if self.cut is not None and layer >= self.cut:
            return LayerPlan(is_gone=True)
        sees_less = layer >= self.start
        return LayerPlan(
            sees=self.sees if sees_less else "causal",
            pairs=self._near(len(view.visual)) if sees_less else None,
            blind_heads=self.heads[layer] if layer < len(self.heads) else (),
            feeds=self.units[layer] if layer < len(self.units) else True,
        )

    def _near(self, count: int) -> Tensor | None:
        if self.window is None or self.cells is None:
            return None
        if count > _MOST_TOKENS or count != len(self.cells):
            raise BudgetError(
                f"a window takes at most {_MOST_TOKENS} vision tokens and a cell for each, got "
                f"{count} tokens and {len(self.cells)} cells; leave out the window"
            )
        apart = (self.cells[:, None] - self.cells).abs().amax(-1)
        order = torch.arange(count, device=self.cells.device)
        return (apart <= self.window // 2) & (order <= order[:, None])


def head_ratios(attention: Tensor, visual: Tensor) -> Tensor:
    """How much each head looks at vision, per unit of what it looks at words; float32 ``(heads,)``.

    Args:
        attention: ``(heads, q, s)``, of the rows that make an answer.
        visual: int64 ``(n,)``.
    """
    received = attention.float().sum(1)
    on_vision = received[:, visual].sum(1)
    tiny = torch.finfo(torch.float32).tiny
    return on_vision / (received.sum(1) - on_vision).clamp_min(tiny)


def blind_heads(ratios: Tensor, threshold: float = 0.035) -> tuple[int, ...]:
    """Heads that need not see vision, ascending.

    Args:
        ratios: ``(samples, heads)``, see `head_ratios`.
        threshold: A head goes blind if it is below in more than half of the samples.
    """
    below = (ratios < threshold).float().mean(0) > 0.5
    return tuple(below.nonzero()[:, 0].tolist())


def used_units(activations: Tensor, share: float) -> Tensor:
    """Units of a feed-forward that vision tokens use most, int64 ascending.

    Args:
        activations: ``(m,)``, mean magnitude of what each unit puts out for vision tokens.
        share: Of the units, rounded down; at least one.

    Raises:
        BudgetError: If the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise BudgetError(f"a share of units is above 0 and at most 1, got {share}")
    count = max(1, share_down(share, len(activations)))
    return top_indices(activations.float().cpu(), count).sort().values


def released_weights(
    weights: Tensor, visual: Tensor, heads: Sequence[int], *, is_late: bool = False
) -> Tensor:
    """Attention of the release: rows of dropped heads lose vision and do not sum to 1.

    Args:
        weights: ``(heads, s, s)``, behind the softmax; not changed.
        visual: int64 ``(n,)``.
        heads: Dropped ones; vision tokens get nothing at all from them.
        is_late: Whether vision is hidden in all heads, from its own rows, too.
    """
    changed = weights.clone()
    dropped = torch.tensor(list(heads), dtype=torch.int64, device=weights.device)
    changed[dropped[:, None], :, visual] = 0
    changed[dropped[:, None], visual] = 0
    if is_late:
        changed[..., visual] = 0
    return changed
