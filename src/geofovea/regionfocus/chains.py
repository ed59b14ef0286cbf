"""Chains from base level to native: how much of a question's score leads to one place.

A focus scores the tokens of one look against each other. Only the first scored look shows every
place; a finer one shows those that were picked, and what it says between two of them is worth
little: it has never seen the rest. So finer scores are read as shares within their own tile, and a
chain's score is the product of the shares from the first look down, a probability in a tree whose
root is the scene. Such masses can be compared between tiles of one level and between levels.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Tile

__all__ = ["chain_masses"]


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
    sums = torch.zeros(len(tokens.tiles), dtype=torch.float64)
    sums.index_add_(0, tokens.tile_index, masses)
    counts = torch.bincount(tokens.tile_index, minlength=len(tokens.tiles)).clamp(min=1)
    sums_own, counts_own = sums[tokens.tile_index], counts[tokens.tile_index]
    shares = torch.where(sums_own > 0, masses / sums_own.clamp(min=1e-300), 1 / counts_own)
    led = torch.tensor([of_tile[tile] for tile in tokens.tiles], dtype=torch.float64)
    return (shares * led[tokens.tile_index]).to(torch.float32)
