"""Which tokens of a prompt see tokens behind them.

Most decoders are causal. Gemma 3 lets the tokens of one image see each other both ways, PaliGemma
the whole prompt. Tokens that see each other so form a block.
"""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor

__all__ = ["NO_BLOCK", "Sight"]

NO_BLOCK = -1
"""Number of the block of a token that is in none."""


class Sight(Enum):
    """What a token of a prompt sees beside what stands before it."""

    CAUSAL = "causal"
    TILE = "tile"
    PROMPT = "prompt"

    def blocks(self, length: int, visual: Tensor, tiles: Tensor) -> Tensor | None:
        """The block of every token of a prompt.

        Args:
            length: Tokens of the prompt.
            visual: int64 ``(n,)``, where its vision tokens are.
            tiles: int64 ``(n,)``, the number of the tile of each.

        Returns:
            int64 ``(length,)``, `NO_BLOCK` where a token is in none; None where none is.
        """
        if self is Sight.CAUSAL:
            return None
        if self is Sight.PROMPT:
            return torch.zeros(length, dtype=torch.int64)
        blocks = torch.full((length,), NO_BLOCK)
        blocks[visual] = tiles
        return blocks
