"""QueCC: coarse tokens of a tile that depend on the question.

Source: "Inference Optimal VLMs Need Fewer Visual Tokens", locuslab/llava-token-compression. The
question is added to every token of the tile; a convolution makes one query of each window of
``s × s`` tokens, and it attends to the tokens of its window.

``faithful``: `window_attention` and `QueCc.coarse`. The release takes features of four layers of
the encoder with a width fixed in code, and the state of the decoder at the question's last word.
``fixed``: the question is the mean of its embeddings, no run of the decoder; keys and values are of
the projected tokens; the mean of the window is added with a learned weight. What comes out depends
on the question, so it is made behind the cache of tiles.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from geofovea.errors import ModelError
from geofovea.regionfocus.resamplers.base import Resampler, cells_by_output, masked_mean

__all__ = ["QueCc", "window_attention"]


def window_attention(
    queries: Tensor, keys: Tensor, values: Tensor, members: Tensor, attention: nn.MultiheadAttention
) -> Tensor:
    """Attention of each of m queries to its own tokens, ``(b, m, d)``.

    Args:
        queries: ``(b, m, d)``.
        keys: ``(b, n, d)``.
        values: ``(b, n, d)``.
        members: bool ``(b, m, n)``, the tokens that each query may see.
        attention: Its weights.
    """
    # attention over no tokens would give values that are not numbers
    hidden = ~members & members.any(-1, keepdim=True)
    mask = hidden.repeat_interleave(attention.num_heads, 0)
    result: Tensor = attention(queries, keys, values, attn_mask=mask, need_weights=False)[0]
    return result


class QueCc(Resampler):
    """Question-aware coarse tokens at each window that divides the grid, one token a window.

    Windows of one token would leave nothing out; a tile of one token has no other.
    """

    name: ClassVar[str] = "quecc"
    reads_question: ClassVar[bool] = True

    def __init__(
        self, grid: tuple[int, int], width: int, heads: int = 3, source: int | None = None
    ) -> None:
        """A resampler with random weights; seed torch before the call.

        Args:
            grid: ``(rows, cols)``, equal.
            width: Of a token.
            heads: Of the attention.
            source: Width of what keys and values are made of; that of a token if None.

        Raises:
            ModelError: If the grid is not a square, or the heads do not divide the width.
        """
        super().__init__(grid)
        if grid[0] != grid[1] or width % heads:
            raise ModelError(
                "quecc takes square tiles and a width that its heads divide, got a grid of "
                f"{grid}, a width of {width} and {heads} heads"
            )
        self.text = nn.Sequential(nn.Linear(width, width), nn.LayerNorm(width, eps=1e-6))
        self.query = _projection(width, width)
        self.key, self.value = (_projection(source or width, width) for _ in range(2))
        self.windows = nn.ModuleDict(
            {
                str(side): nn.Conv2d(width, width, side, stride=side, groups=width)
                for side in range(min(2, grid[0]), grid[0] + 1)
                if grid[0] % side == 0
            }
        )
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mean = nn.Parameter(torch.ones(()))

    @property
    def counts(self) -> tuple[int, ...]:
        """See `Resampler`."""
        return tuple(sorted((self.grid[0] // int(side)) ** 2 for side in self.windows))

    def members(self, count: int) -> Tensor:
        """See `Resampler`."""
        side = math.isqrt(count)
        return cells_by_output(self.grid, side, side)

    def forward(
        self, tokens: Tensor, visible: Tensor, count: int, question: Tensor | None = None
    ) -> Tensor:
        """See `Resampler`."""
        if question is None:
            raise ModelError("quecc reads the question, and the call passes none")
        members = self.members(count)
        coarse = self.coarse(tokens, tokens, visible, count, self.text(question)[:, None])
        return coarse + self.mean * masked_mean(tokens, visible, members)

    def coarse(
        self, tokens: Tensor, source: Tensor, visible: Tensor, count: int, text: Tensor
    ) -> Tensor:
        """Coarse tokens ``(b, count, d)`` without the mean of their windows.

        Args:
            tokens: ``(b, cells, d)``, what queries are made of.
            source: ``(b, cells, e)``, what keys and values are made of.
            visible: bool ``(b, cells)``.
            count: One of `counts`.
            text: ``(b, 1, d)``, what is added to each token for the question.
        """
        queries = self.query(tokens + text) * visible[..., None]
        grid = queries.transpose(1, 2).unflatten(2, self.grid)
        window = self.grid[0] // math.isqrt(count)
        queries = self.windows[str(window)](grid).flatten(2).transpose(1, 2)
        members = self.members(count).to(visible.device)[None] & visible[:, None]
        return window_attention(
            queries, self.key(source), self.value(source), members, self.attention
        )


def _projection(source: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(source, width), nn.GELU(), nn.Linear(width, width), nn.LayerNorm(width, eps=1e-6)
    )
