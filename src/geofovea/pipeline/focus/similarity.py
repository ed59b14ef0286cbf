"""A focus by likeness: crops of tiles against the question, in the space of a dual encoder."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.pipeline.engine.accounting import StageClock
from geofovea.pipeline.focus.dual_encoder import DualEncoder
from geofovea.regionfocus.tokens import TokenSet, cells_of_tokens
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.pyramid import Tile

__all__ = ["SimilarityFocus"]

_CROPS_A_SIDE = 2


class SimilarityFocus:
    """See `Focus`: a softmax over the crops of a level of how like the question they are.

    A tile is cut into 2 × 2 crops. A dual encoder sees each at its own resolution and gives one
    vector; its cosine with the vector of the question is scaled as in the encoder's training. Crops
    are used and not single patches, whose vectors were never trained to be compared with texts.
    """

    name = "similarity"

    def __init__(
        self,
        encoder: DualEncoder,
        question: str,
        pixels: Callable[[TokenSet], list[NDArray[np.uint8]]],
        tile_size: int,
        cache: LruCache[Tile, Tensor],
        clock: StageClock,
    ) -> None:
        """Keep the parts.

        Args:
            encoder: Embeds crops and the question.
            question: What is asked.
            pixels: Gives the tiles of a token set, uint8 (T, T, 3) each, in their order.
            tile_size: ``T``.
            cache: Keeps vectors of tiles for the next question.
            clock: Counts the time as ``focus``.
        """
        self._encoder = encoder
        self._question = question
        self._pixels = pixels
        self._tile_size = tile_size
        self._cache = cache
        self._clock = clock
        self._question_vector: Tensor | None = None

    def score(self, tokens: TokenSet) -> Tensor:
        """Each crop's share, evenly over the tokens in it, float32 (n,)."""
        with self._clock.stage("focus"):
            return self._score(tokens)

    def _score(self, tokens: TokenSet) -> Tensor:
        if self._question_vector is None:
            self._question_vector = self._encoder.embed_text(self._question)
        vectors = self._vectors(tokens)
        # (tiles, crops): crops without a token show nothing and take no part
        logits = self._encoder.scale * (vectors @ self._question_vector)
        rows, cols = cells_of_tokens(tokens, self._tile_size, _CROPS_A_SIDE)
        crops = (tokens.tile_index * _CROPS_A_SIDE + rows) * _CROPS_A_SIDE + cols
        counts = torch.bincount(crops, minlength=logits.numel())
        shares = logits.flatten().masked_fill(counts == 0, -torch.inf).softmax(0)
        return shares[crops] / counts[crops]

    def _vectors(self, tokens: TokenSet) -> Tensor:
        """Of the crops of each tile, float32 (tiles, crops, d), remembered where possible."""
        by_tile: dict[Tile, Tensor] = {}
        for tile in tokens.tiles:
            if (vectors := self._cache.get(tile)) is not None:
                by_tile[tile] = vectors
        is_new = torch.tensor([tile not in by_tile for tile in tokens.tiles])
        if bool(is_new.any()):
            fresh = tokens.select(is_new[tokens.tile_index])
            crops = [crop for picture in self._pixels(fresh) for crop in _crops(picture)]
            flat = self._encoder.embed_pictures(crops)
            embedded = flat.view(len(fresh.tiles), _CROPS_A_SIDE**2, -1)
            for tile, vectors in zip(fresh.tiles, embedded, strict=True):
                by_tile[tile] = vectors
                self._cache.put(tile, vectors.clone())
        return torch.stack([by_tile[tile] for tile in tokens.tiles])


def _crops(picture: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The crops of a tile, row by row."""
    rows = np.array_split(picture, _CROPS_A_SIDE, axis=0)
    return [crop for row in rows for crop in np.array_split(row, _CROPS_A_SIDE, axis=1)]
