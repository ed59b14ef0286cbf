"""STViT: tokens gather into super tokens by soft association on the grid.

Huang et al., "Vision Transformer with Super Token Sampling", CVPR 2023 (arXiv id not given by our
source).

The paper is a trained backbone; its association runs without training. Acts inside the vision
encoder at one layer (the whole grid must still be there), or on the map of any encoder. Needs
features and grid. The map is averaged in cells; every token is shared among the 3 × 3 super tokens
around its cell by a softmax of their products; super tokens become the means of their shares.

Time O(9nd) a round, memory O(9n).

``faithful``: `associate` with ``is_masked=False`` and `upsample`. There, neighbors outside the
grid and the zeros that fill the last cells take part, so that tokens at the border shrink.
``fixed`` (``is_masked=True`` and the class here) leaves them out: the shares of every token sum to
one over super tokens that exist, and a constant map stays constant. The budget chooses the cells;
since cells tile a grid, fewer than k may be left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice
from geofovea.regionfocus.reductions.encoder.base import LayerView, Place
from geofovea.regionfocus.reductions.encoder.schedule import acting_layers

__all__ = ["Association", "STViTEncoder", "STViTRun", "associate", "cell_for", "upsample"]


@dataclass(frozen=True, slots=True, eq=False)
class Association:
    """Super tokens, and who belongs to them.

    Attributes:
        supers: float32 ``(d, rows, cols)``.
        shares: float32 ``(h, w, 9)``: how much of each token goes to the super tokens around its
            cell, row by row from the one above left.
        cell: Height and width of a cell in tokens.
    """

    supers: Tensor
    shares: Tensor
    cell: tuple[int, int]


def associate(
    features: Tensor,
    cell: tuple[int, int],
    rounds: int = 1,
    scale: float | None = None,
    *,
    is_masked: bool = True,
) -> Association:
    """Associate the tokens of a map with super tokens.

    Args:
        features: ``(d, h, w)``.
        cell: Height and width of a cell in tokens.
        rounds: How often shares and super tokens are found in turn.
        scale: What the products are multiplied by; ``d ** -0.5`` unless given.
        is_masked: Whether what lies outside the map is left out.

    Raises:
        ModelError: If a cell is empty, there is no round, or the map is empty.
    """
    if features.ndim != 3 or min(cell) < 1 or rounds < 1 or not features.numel():
        raise ModelError(
            "super tokens need a map (d, h, w), a cell of at least 1 x 1 and one round, got "
            f"{tuple(features.shape)}, {cell} and {rounds}"
        )
    d, height, width = features.shape
    rows, cols = -(-height // cell[0]), -(-width // cell[1])
    scale = d**-0.5 if scale is None else scale
    # (cells, d, tokens of a cell), with zeros where the last cells reach over the map
    x = _by_cell(features.float(), cell)
    real = _by_cell(torch.ones(1, height, width, device=features.device), cell)
    exists = _around(torch.ones(1, rows, cols, device=features.device))[:, 0] > 0
    supers = x.sum(2) / real.sum(2) if is_masked else x.mean(2)
    shares = torch.zeros_like(real)
    supers = supers.T.reshape(d, rows, cols)
    for _ in range(rounds):
        logits = x.transpose(1, 2) @ _around(supers) * scale  # (cells, tokens, 9)
        if is_masked:
            logits = logits.masked_fill(~exists[:, None], -torch.inf)
        shares = logits.softmax(-1)
        weights = shares * real.transpose(1, 2) if is_masked else shares
        gathered = _back(x @ weights, rows, cols)
        mass = _back(weights.sum(1)[:, None], rows, cols)
        supers = gathered / (mass + 1e-12)
    return Association(supers, _to_map(shares, cell, (rows, cols))[:height, :width], cell)


def upsample(association: Association) -> Tensor:
    """The map that the super tokens give back, ``(d, h, w)``: each token the mix of its shares."""
    height, width, _ = association.shares.shape
    shares = _by_cell(association.shares.permute(2, 0, 1), association.cell)  # (cells, 9, tokens)
    mixed = _around(association.supers) @ shares  # (cells, d, tokens)
    rows, cols = association.supers.shape[1:]
    whole = _to_map(mixed.transpose(1, 2), association.cell, (rows, cols))
    return whole[:height, :width].permute(2, 0, 1)


def cell_for(grid: tuple[int, int], k: int) -> tuple[int, int]:
    """The cell with which a grid gives most super tokens, at most ``k``; the squarest of equals."""
    height, width = grid
    fitting = [
        (-(-height // h) * -(-width // w), -abs(h - w), -h, (h, w))
        for h in range(1, height + 1)
        for w in range(1, width + 1)
        if -(-height // h) * -(-width // w) <= max(1, k)
    ]
    return max(fitting)[-1]


def _by_cell(features: Tensor, cell: tuple[int, int]) -> Tensor:
    """A map (d, h, w) as (cells, d, tokens of a cell), filled with zeros to whole cells."""
    d, height, width = features.shape
    filled = F.pad(features, (0, -width % cell[1], 0, -height % cell[0]))
    rows, cols = filled.shape[1] // cell[0], filled.shape[2] // cell[1]
    parts = filled.reshape(d, rows, cell[0], cols, cell[1]).permute(1, 3, 0, 2, 4)
    return parts.reshape(rows * cols, d, cell[0] * cell[1])


def _to_map(parts: Tensor, cell: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """(cells, tokens of a cell, c) as a map (h, w, c), the inverse of `_by_cell`."""
    (rows, cols), c = shape, parts.shape[-1]
    parts = parts.reshape(rows, cols, cell[0], cell[1], c).permute(0, 2, 1, 3, 4)
    return parts.reshape(rows * cell[0], cols * cell[1], c)


def _around(supers: Tensor) -> Tensor:
    """The 3 × 3 super tokens around each cell, (cells, d, 9), zeros outside the grid."""
    d = supers.shape[0]
    return F.unfold(supers[None], 3, padding=1)[0].reshape(d, 9, -1).permute(2, 0, 1)


def _back(parts: Tensor, rows: int, cols: int) -> Tensor:
    """Sum (cells, d, 9) into the super tokens that they are meant for, (d, rows, cols)."""
    d = parts.shape[1]
    folded = parts.permute(1, 2, 0).reshape(1, d * 9, -1)
    return F.fold(folded, (rows, cols), 3, padding=1)[0]


@dataclass(frozen=True, slots=True)
class STViTEncoder:
    """Super tokens take the place of the tokens behind one layer.

    Attributes:
        layer: Where; half of the way unless given.
        rounds: See `associate`.
    """

    layer: int | None = None
    rounds: int = 1
    name: ClassVar[str] = "stvit"
    place: ClassVar[Place] = "block"
    is_proportional: ClassVar[bool] = True

    def start(self, n: int, k: int, layers: int) -> STViTRun:
        """See `EncoderReduction`.

        Raises:
            BudgetError: If it should act at a layer that does not run.
            ModelError: If the patches are no square.
        """
        layer = (layers - 1) // 2 if self.layer is None else self.layer
        side = round(n**0.5)
        if side * side != n:
            raise ModelError(
                f"super tokens need a square grid of patches, got {n} patches; choose tome or evit"
            )
        (at,) = acting_layers(layers, (layer,))
        return STViTRun(at, (side, side), k, self.rounds)


@dataclass(frozen=True, slots=True)
class STViTRun:
    """One image on its way through the encoder."""

    layer: int
    grid: tuple[int, int]
    k: int
    rounds: int

    def needs(self, layer: int) -> frozenset[str]:
        """See `EncoderRun`; keys stand for being asked at all, and cost nothing."""
        return frozenset({"keys"}) if layer == self.layer else frozenset()

    def step(self, view: LayerView) -> TokenChoice | None:
        """See `EncoderRun`."""
        height, width = self.grid
        association = associate(
            view.hidden.T.reshape(-1, height, width), cell_for(self.grid, self.k), self.rounds
        )
        return _as_choice(association, view.hidden.dtype)


def _as_choice(association: Association, dtype: torch.dtype) -> TokenChoice:
    """Super tokens in order of the tokens that represent them: the most its own of each cell."""
    height, width, _ = association.shares.shape
    rows, cols = association.supers.shape[1:]
    device = association.shares.device
    row = torch.arange(height, device=device)[:, None, None] // association.cell[0]
    col = torch.arange(width, device=device)[None, :, None] // association.cell[1]
    step = torch.arange(9, device=device)
    # a share outside the grid is zero, and the clamp only keeps its number in range
    to_row = (row + step // 3 - 1).clamp(0, rows - 1)
    to_col = (col + step % 3 - 1).clamp(0, cols - 1)
    target = (to_row * cols + to_col).reshape(-1, 9)
    shares = association.shares.reshape(-1, 9)
    count = rows * cols
    sizes = shares.new_zeros(count).index_add_(0, target.reshape(-1), shares.reshape(-1))
    home = target[:, 4]
    groups = target.gather(1, shares.argmax(1, keepdim=True))[:, 0]
    most = shares.new_full((count,), -torch.inf).scatter_reduce(0, home, shares[:, 4], "amax")
    each = torch.arange(height * width, device=device)
    own = torch.where(shares[:, 4] == most[home], each, height * width)
    index = each.new_full((count,), height * width).scatter_reduce(0, home, own, "amin")
    order = torch.argsort(index)
    place = torch.empty_like(order)
    place[order] = torch.arange(count, device=device)
    groups = place[groups]
    groups[index[order]] = torch.arange(count, device=device)
    features = association.supers.reshape(len(association.supers), -1).T[order].to(dtype)
    return TokenChoice(index[order].cpu(), features, groups.cpu(), sizes[order].cpu())
