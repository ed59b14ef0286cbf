"""Reductions that choose within one tile, and how they share a budget among several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.base import Selector, TokenChoice
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.allotment import allot_tokens
from geofovea.regionfocus.reductions.primitives.outputs import join

__all__ = ["PerTile"]


class PerTile(Selector):
    """A reduction by attention or by neighborhood, neither of which reaches beyond a tile.

    Attention of two tiles cannot be compared: each sums to one inside its own. So each tile gets
    its share of the budget first, by the mass of the focus's scores in it (by its tokens where
    there is none), and a tile whose share is nothing is left out. ``info["per_tile"]`` tells the
    shares by tile number.
    """

    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        tiles = context.tile_index
        if tiles is None or bool((tiles == tiles[0]).all()):
            return self._choose_in_tile(context, n, k)
        numbers, members = context.tiles_of_tokens()
        inside = [replace(context.select(tokens), tile_index=None) for tokens in members]
        weights = self._tile_weights(context, members, inside)
        shares = allot_tokens(weights, [len(tokens) for tokens in members], k)
        parts = []
        for tokens, within, share in zip(members, inside, shares, strict=True):
            if share == len(tokens):
                parts.append((tokens, TokenChoice(torch.arange(share))))
            elif share:
                parts.append((tokens, self._choose_in_tile(within, len(tokens), share)))
        choice = join(parts, context.features)
        return replace(
            choice, info=choice.info | {"per_tile": dict(zip(numbers, shares, strict=True))}
        )

    @abstractmethod
    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        """Keep ``k`` of the ``n`` tokens of one tile, ``1 <= k < n``."""

    def _tile_weights(
        self,
        context: TokenContext,
        members: Sequence[Tensor],
        inside: Sequence[TokenContext],  # noqa: ARG002 - for those that weigh by more than scores
    ) -> list[float]:
        """Weight of each tile, from the indices of its tokens and its own context."""
        return context.weights_of(members)
