"""From scores of tokens to scores of tiles, exactly and repeatably.

A focus scores the tokens of one look against each other. Only the first scored look shows every
place; a finer one shows those that were picked, and what it says between two of them is worth
little: it has never seen the rest. So finer scores are read as shares within their own tile, and
the score of a chain of tiles is the product of the shares from the first look down, a probability
in a tree whose root is the scene. Such masses can be compared between tiles of one level and
between levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["as_masses", "chain_masses", "clean_scores", "is_flat", "mass_collector", "top_indices"]


def clean_scores(scores: Tensor) -> tuple[Tensor, bool]:
    """Scores that can be sorted, and whether they had to be replaced.

    NaN becomes -inf and loses; +inf wins. Without a single finite score nothing can be told from
    them, and all become equal.

    Returns:
        float32 ``(n,)`` on the host, and True where the scores are a replacement.
    """
    scores = scores.detach().to("cpu", torch.float32)
    is_finite = scores.isfinite()
    if not bool(is_finite.any()):
        return torch.full_like(scores, 1 / max(1, len(scores))), True
    if bool(is_finite.all()):
        return scores, False
    return torch.where(scores.isnan(), -torch.inf, scores), False


def as_masses(scores: Tensor, count: int) -> Tensor:
    """Scores as finite masses of at least zero that may be added up over an area.

    What is negative, NaN or -inf weighs nothing. If nothing weighs anything, all weigh the same.

    Returns:
        float32 ``(count,)`` on the host.

    Raises:
        ModelError: If there is not one score per token.
    """
    if tuple(scores.shape) != (count,):
        raise ModelError(
            f"a focus must give one score per token, ({count},); got {tuple(scores.shape)}"
        )
    cleaned, _ = clean_scores(scores)
    masses = cleaned.clamp(0, torch.finfo(torch.float32).max)
    return masses if bool(masses.any()) else torch.full_like(masses, 1 / max(1, count))


def is_flat(scores: Tensor) -> bool:
    """Whether the scores are all equal, so that they prefer no place to another."""
    return bool((scores == scores[:1]).all())


def top_indices(scores: Tensor, k: int) -> Tensor:
    """Indices of the ``k`` best of ``(n,)`` scores, int64 ``(k,)``, best first, ties by index.

    Scores are compared in float32: sums that differ only by the order of their additions tie.
    """
    return torch.argsort(-scores.to(torch.float32), stable=True)[: max(0, k)]


def chain_masses(
    tokens: TokenSet, masses: Tensor, of_tile: Mapping[Tile, float] | None = None
) -> Tensor:
    """Shares of each token within its tile, times the mass of that tile.

    Args:
        tokens: n tokens.
        masses: ``(n,)``, at least zero; the tokens of a tile without any share evenly.
        of_tile: The mass that led to each tile of ``tokens``; None for the first look, whose
            tokens share a mass of 1 among all of them.

    Returns:
        float32 ``(n,)``; over each tile it sums to the tile's mass.
    """
    masses = masses.to("cpu", torch.float64)
    if of_tile is None:
        return (masses / masses.sum()).to(torch.float32) if bool(masses.any()) else masses.float()
    # a search comes here for each of its looks, and for so few numbers a call to torch costs more
    own, index, count = masses.numpy(), tokens.tile_index.numpy(), len(tokens.tiles)
    sums = np.bincount(index, weights=own, minlength=count)
    counts = np.bincount(index, minlength=count).clip(min=1)
    tile_masses = np.array([of_tile[tile] for tile in tokens.tiles], dtype=np.float64)
    even, has_share = 1 / counts, sums > 0
    shares = np.where(has_share[index], own / sums.clip(min=1e-300)[index], even[index])
    return torch.from_numpy((shares * tile_masses[index]).astype(np.float32))


def mass_collector(
    tokens: TokenSet, candidates: Sequence[Tile], pyramid: Pyramid
) -> Callable[[Tensor], Tensor]:
    """What collects masses of tokens into tiles, by exact overlap in scene pixels.

    A token spreads its mass evenly over its box; a tile collects what lies inside its own. Over
    tiles that partition the tokens' ground the mass is conserved, whatever their level.

    Overlap of boxes is a product of overlaps per axis, and tiles share rows and columns. So the
    work is one matrix product over the rows and columns that occur, not a token × tile table.

    Args:
        tokens: n tokens.
        candidates: m tiles of any levels.
        pyramid: The pyramid that the candidates belong to.

    Returns:
        A function of finite masses ``(n,)`` that gives float64 ``(m,)``.
    """
    rows = {key: i for i, key in enumerate(sorted({(t.level, t.row) for t in candidates}))}
    cols = {key: i for i, key in enumerate(sorted({(t.level, t.col) for t in candidates}))}
    boxes = tokens.boxes_scene.numpy()
    share_x = _shares(boxes[:, 0], boxes[:, 2], list(cols), pyramid.tile_size)
    share_y = _shares(boxes[:, 1], boxes[:, 3], list(rows), pyramid.tile_size)
    row_grid = torch.tensor([rows[t.level, t.row] for t in candidates], dtype=torch.int64)
    col_grid = torch.tensor([cols[t.level, t.col] for t in candidates], dtype=torch.int64)

    def collected(masses: Tensor) -> Tensor:
        weighed = masses.to("cpu", torch.float64)[:, None] * share_y
        return (weighed.T @ share_x)[row_grid, col_grid]

    return collected


def _shares(
    start_scene: NDArray[np.float64],
    end_scene: NDArray[np.float64],
    spans: Sequence[tuple[int, int]],
    tile_size: int,
) -> Tensor:
    """Share of n intervals inside r spans ``(level, index)`` of one axis, float64 ``(n, r)``."""
    sides = np.array([tile_size << level for level, _ in spans], dtype=np.float64)
    lows = np.array([index for _, index in spans], dtype=np.float64) * sides
    low = np.maximum(start_scene[:, None], lows)
    high = np.minimum(end_scene[:, None], lows + sides)
    return torch.from_numpy((high - low).clip(min=0) / (end_scene - start_scene)[:, None])
