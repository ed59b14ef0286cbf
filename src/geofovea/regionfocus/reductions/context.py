"""What a reduction may know of the tokens that it chooses from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from geofovea.errors import GeometryError
from geofovea.regionfocus.reductions.tile_maps import TileMaps, of_tokens, run_of
from geofovea.regionfocus.scoring import as_masses
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["TokenContext"]


@dataclass(frozen=True, slots=True, eq=False)
class TokenContext:
    """What a reduction may know of n tokens; it declares what it ``requires`` beyond features.

    Attention maps are softmaxes within one tile: they cannot be compared between tiles. "Patches
    only" means that the entry of a class token took part in the softmax and was dropped after it.

    Attributes:
        features: ``(n, d)``, tokens where the reduction acts.
        scores: ``(n,)``, from the focus.
        levels: int64 ``(n,)``.
        tile_index: int64 ``(n,)``; tokens of one tile share a number.
        boxes_scene: float64 ``(n, 4)`` as x0, y0, x1, y1.
        grid: ``(rows, cols)``, if the n tokens are a whole row-major grid.
        cells: int64 ``(n, 2)``, row and column of each token on the grid of its tile, which may
            have holes.
        cls_attention: By encoder layer, ``(heads, n)``: the class token's attention, patches only.
        received: By encoder layer, ``(n,)``: mean attention that a token receives over heads and
            queries.
        attention: By encoder layer, ``(heads, n, n)``: patch attention, rows are queries. Where the
            tokens are of several tiles, a `TileMaps` of that shape; one tile's is a tensor.
        keys: ``(n, dk)``, mean over heads of the encoder's keys at the feature layer.
        encoder_hidden: ``(n, dv)``, encoder output before the projector.
        entropy: ``(n,)``, gray-level entropy of each token's pixels in bits.
        text_embeds: ``(t, d)``, embeddings of the question in the space of the features.
        text_similarity: ``(n,)``, likeness of token and question in a contrastive space.
        protected: bool ``(n,)``, tokens that are always kept and never counted.
        seed: For methods with declared randomness.

    Raises:
        GeometryError: If a field does not have one row per token.
    """

    features: Tensor
    scores: Tensor | None = None
    levels: Tensor | None = None
    tile_index: Tensor | None = None
    boxes_scene: Tensor | None = None
    grid: tuple[int, int] | None = None
    cls_attention: Mapping[int, Tensor] | None = None
    received: Mapping[int, Tensor] | None = None
    attention: Mapping[int, Tensor | TileMaps] | None = None
    keys: Tensor | None = None
    encoder_hidden: Tensor | None = None
    entropy: Tensor | None = None
    text_embeds: Tensor | None = None
    text_similarity: Tensor | None = None
    protected: Tensor | None = None
    seed: int = field(default=0)
    cells: Tensor | None = None

    def __post_init__(self) -> None:
        n = len(self.features)
        for name in _PER_TOKEN:
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise GeometryError(f"{n} tokens need {n} {name}, got {len(value)}")
        for name in ("cls_attention", "received", "attention"):
            for layer, value in (getattr(self, name) or {}).items():
                if value.shape[-1] != n:
                    raise GeometryError(
                        f"{name} of layer {layer} must be over {n} tokens, got {tuple(value.shape)}"
                    )
        if self.grid is not None and self.grid[0] * self.grid[1] != n:
            raise GeometryError(f"a grid of {self.grid} does not hold {n} tokens")

    @classmethod
    def of(cls, tokens: TokenSet, scores: Tensor | None = None) -> TokenContext:
        """The context that a token set provides."""
        return cls(tokens.features, scores, tokens.levels, tokens.tile_index, tokens.boxes_scene)

    def select(self, index: Tensor) -> TokenContext:
        """The context of some of the tokens, in the order of ``index`` int64 ``(m,)``.

        The grid is lost, because a part of it is not a grid; its cells remain. Tokens that follow
        each other are not copied: what is chosen shares memory with this context.
        """
        part = run_of(index)
        values = {f.name: getattr(self, f.name) for f in fields(self)} | {"grid": None}
        if self.grid is not None and self.cells is None:
            place = torch.arange(len(self.features))
            values["cells"] = torch.stack([place // self.grid[1], place % self.grid[1]], dim=1)
        for name in _PER_TOKEN:
            if values[name] is not None:
                rows = index.to(values[name].device) if part is None else part
                values[name] = values[name][rows]
        for name in ("cls_attention", "received"):
            if values[name] is not None:
                rows = index if part is None else part
                values[name] = {k: v[..., rows] for k, v in values[name].items()}
        if self.attention is not None:
            values["attention"] = {
                k: v.within(index) if isinstance(v, TileMaps) else of_tokens(v, index)
                for k, v in self.attention.items()
            }
        return TokenContext(**values)

    def attention_of(self, layer: int) -> Tensor:
        """The attention map of a layer, ``(heads, n, n)``, for tokens of one tile.

        Raises:
            GeometryError: If they are of several, for which no whole table is ever made.
        """
        table = (self.attention or {})[layer]
        if isinstance(table, TileMaps):
            raise GeometryError(
                f"{len(self.features)} tokens of {len(table.blocks)} tiles have no common "
                "attention map; choose tile by tile, as reductions of the kind PerTile do"
            )
        return table

    def tiles_of_tokens(self) -> tuple[list[int], list[Tensor]]:
        """The numbers of the tiles, ascending, and the tokens of each, int64 ``(m,)`` on the host.

        Raises:
            GeometryError: If it is not known which tile each token is of.
        """
        if self.tile_index is None:
            raise GeometryError("tokens are grouped by tile only where their tile_index is given")
        numbers = sorted(set(self.tile_index.tolist()))
        return numbers, [(self.tile_index == n).nonzero()[:, 0].cpu() for n in numbers]

    def weights_of(self, members: Sequence[Tensor]) -> list[float]:
        """What groups of tokens weigh: the mass of their scores; where there are none, how many."""
        if self.scores is None:
            return [float(len(tokens)) for tokens in members]
        masses = as_masses(self.scores, len(self.features))
        return [float(masses[tokens].sum(dtype=torch.float64)) for tokens in members]

    @property
    def candidates(self) -> Tensor:
        """Indices of the tokens that are not protected, int64 ``(m,)``, ascending."""
        if self.protected is None:
            return torch.arange(len(self.features))
        return (~self.protected).nonzero()[:, 0].cpu()


_PER_TOKEN = (
    "features",
    "scores",
    "levels",
    "tile_index",
    "boxes_scene",
    "keys",
    "encoder_hidden",
    "entropy",
    "text_similarity",
    "protected",
    "cells",
)
