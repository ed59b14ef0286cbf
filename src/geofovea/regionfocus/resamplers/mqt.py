"""MQT: the first m of M learned queries read a tile.

Source: "Matryoshka Query Transformer for Large Vision-Language Models", gordonhu608/MQT-LLaVA.
Queries attend to the tokens of a tile once. Training draws a new m at each step, so the first
queries carry most. Latents have no place: each stands for the whole tile.

``faithful``: `Mqt` with ``keys="position"`` and an output matrix, and `resized_positions`. In the
release the keys are positions alone, so that the attention does not depend on the picture (checked:
equal for two pictures): a learned, fixed pooling. ``fixed``: ``keys="content"`` reads the tokens,
and a learned share of the tile's mean is added.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.errors import ModelError
from geofovea.regionfocus.resamplers.base import Resampler, masked_mean

__all__ = ["Keys", "Mqt", "resized_positions"]

Keys = Literal["content", "position"]


def resized_positions(table: Tensor, side: int) -> Tensor:
    """A table of positions on a square grid, ``(m, d)``, for another ``side``: bicubic."""
    own = round(len(table) ** 0.5)
    if own == side:
        return table
    grid = table.float().reshape(1, own, own, -1).permute(0, 3, 1, 2)
    resized = F.interpolate(grid, (side, side), mode="bicubic", align_corners=False)
    return resized[0].flatten(1).T.to(table.dtype)


class Mqt(Resampler):
    """Elastic queries over a tile.

    Attributes:
        keys: What is attended by.
        mean: Share of the tile's mean in each output.
        output: ``(width, d)``, what makes tokens of latents in the release, without the mean; None
            for latents as they are, with it.
    """

    name: ClassVar[str] = "mqt"

    def __init__(
        self,
        grid: tuple[int, int],
        width: int,
        queries: int = 36,
        heads: int = 3,
        keys: Keys = "content",
        output: Tensor | None = None,
    ) -> None:
        """A resampler with random queries; seed torch before the call.

        Raises:
            ModelError: If there is no query, or the width cannot be shared among the heads.
        """
        super().__init__(grid)
        if queries < 1 or width % heads:
            raise ModelError(
                f"a resampler has at least one query and a width that its heads divide, got "
                f"{queries} queries, a width of {width} and {heads} heads"
            )
        self.keys: Keys = keys
        self.query = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.query_position = nn.Parameter(torch.randn(queries, width) * 0.02)
        self.key_position = nn.Parameter(torch.randn(self.cells, width) * 0.02)
        norms = [nn.LayerNorm(width, eps=1e-6) for _ in range(3)]
        self.norm_query, self.norm_key, self.norm_value = norms
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mean = nn.Parameter(torch.ones(()))
        self.output = None if output is None else nn.Parameter(output)

    @property
    def counts(self) -> tuple[int, ...]:
        """See `Resampler`: any number."""
        return tuple(range(1, len(self.query) + 1))

    def members(self, count: int) -> Tensor:
        """See `Resampler`: each stands for the whole tile."""
        return torch.ones(count, self.cells, dtype=torch.bool)

    def forward(
        self, tokens: Tensor, visible: Tensor, count: int, question: Tensor | None = None
    ) -> Tensor:
        """See `Resampler`."""
        del question
        queries = self.norm_query(self.query + self.query_position)[:count]
        positions = self.key_position.expand_as(tokens)
        keys = self.norm_key(positions if self.keys == "position" else tokens + positions)
        latents, _ = self.attention(
            queries.expand(len(tokens), -1, -1),
            keys,
            self.norm_value(tokens),
            key_padding_mask=~visible,
            need_weights=False,
        )
        if self.output is not None:
            released: Tensor = latents @ self.output
            return released
        whole = torch.ones(1, self.cells, dtype=torch.bool)
        mixed: Tensor = latents + self.mean * masked_mean(tokens, visible, whole)
        return mixed
