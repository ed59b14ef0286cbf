"""Nested pooling: one tile at several lengths, for a decoder that was trained with all of them.

`Nested` is M3 ("Matryoshka Multimodal Models", repository mu-cai/matryoshka-mm): means over equal
rectangles, without weights of its own; only the decoder that reads them is trained. `TokenFlex`
("TokenFLEX", arXiv 2504.03154, paper only) adds one projector for all lengths.

``faithful``: `released_pool`, whose rectangles leave out rows and columns that do not fill one, so
that the number of tokens can differ from the scale; `swiglu`. ``fixed``: any grid, every token
counted once, means over the visible ones. TokenFLEX projects features of the encoder; here it
corrects tokens that are already projected, and its correction is zero at the start.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.errors import GeometryError
from geofovea.regionfocus.resamplers.base import Resampler, cells_by_output, masked_mean

__all__ = ["Nested", "TokenFlex", "released_pool", "swiglu"]


def released_pool(features: Tensor, side: int, scale: int) -> Tensor:
    """The tokens of a scale as the released code makes them, ``(m, d)``.

    Args:
        features: ``(side * side, d)``, row-major.
        side: Rows and columns.
        scale: Tokens wanted.

    Raises:
        GeometryError: If the tokens are not such a grid, or the grid has no such scale.
    """
    if len(features) != side * side or not 1 <= scale <= side * side:
        raise GeometryError(
            f"{len(features)} tokens as a grid of {side} x {side} have scales of 1 to "
            f"{side * side}, not {scale}"
        )
    kernel = math.isqrt(len(features) // scale)
    grid = features.T.reshape(1, -1, side, side)
    return F.avg_pool2d(grid, kernel)[0].flatten(1).T


def swiglu(pooled: Tensor, first: Tensor, gate: Tensor, last: Tensor) -> Tensor:
    """``W3 ((W1 p) * silu(W2 p))`` of tokens ``(..., d)``."""
    return F.linear(F.linear(pooled, first) * F.silu(F.linear(pooled, gate)), last)


class Nested(Resampler):
    """Means over ``n × n`` rectangles, for every n that divides both sides of the grid."""

    name: ClassVar[str] = "m3"

    @property
    def counts(self) -> tuple[int, ...]:
        """See `Resampler`; all tokens are the last one where the grid is not a square."""
        common = math.gcd(*self.grid)
        squares = [n * n for n in range(1, common + 1) if common % n == 0]
        return tuple(sorted({*squares, self.cells}))

    def members(self, count: int) -> Tensor:
        """See `Resampler`."""
        if count == self.cells:
            return torch.eye(count, dtype=torch.bool)
        side = math.isqrt(count)
        return cells_by_output(self.grid, side, side)

    def forward(
        self, tokens: Tensor, visible: Tensor, count: int, question: Tensor | None = None
    ) -> Tensor:
        """See `Resampler`."""
        del question
        return masked_mean(tokens, visible, self.members(count))


class TokenFlex(Nested):
    """`Nested` with a gated projector of all lengths, added to the means."""

    name: ClassVar[str] = "tokenflex"

    def __init__(self, grid: tuple[int, int], width: int) -> None:
        """A correction that is nothing before it is trained.

        Args:
            grid: ``(rows, cols)``.
            width: Of a token.
        """
        super().__init__(grid)
        self.first = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self, tokens: Tensor, visible: Tensor, count: int, question: Tensor | None = None
    ) -> Tensor:
        """See `Resampler`."""
        pooled = super().forward(tokens, visible, count, question)
        weights = (self.first.weight, self.gate.weight, self.last.weight)
        corrected: Tensor = pooled + swiglu(pooled, *weights) + self.last.bias
        return corrected
