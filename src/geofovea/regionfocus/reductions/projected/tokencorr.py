"""TokenCorr: how much a tile repeats itself says how many tokens it deserves.

Source: "Token-level Correlation-guided Compression for Efficient Multimodal Document
Understanding" (repository JiuTian-VL/TokenCorrCompressor, which holds no code).

Signal: cosine similarity of the encoder's keys among patches for the density of information, and
class attention of a deep and a shallow layer for the choice; no question. Needs class attention (or
attention received); keys, or else features take their place. Acts on the encoder's output, tile by
tile. O(n² d) time in blocks, O(n) memory.

A token repeats others if at least ``least`` of them are more alike than ``threshold``; the density
of a tile is the share of tokens that do not. The paper keeps ``ceil(density · n)`` of a tile.
Thresholds were not published: those here (0.9, one other, a share of 0.3 for the shallow layer) are
ours.

Where `fixed` differs: the budget is exact, and densities say how tiles share it; ``adaptive`` lets
a tile keep no more than its density asks for, but always one token (a uniform tile has density 0).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import HAS_MASS, patch_mass
from geofovea.regionfocus.reductions.primitives.similarity import row_blocks, unit_rows
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["TokenCorr", "alike_counts", "density", "sample_by_layers"]


def alike_counts(keys: Tensor, threshold: float = 0.9) -> Tensor:
    """How many others each row of ``(n, d)`` is more alike to than ``threshold``; int64 ``(n,)``.

    In blocks: O(n² d) time, O(n) memory.
    """
    unit = unit_rows(keys)
    counts = torch.empty(len(unit), dtype=torch.int64, device=unit.device)
    for block in row_blocks(len(unit), len(unit)):
        alike = unit[block] @ unit.T > threshold
        own = torch.arange(len(unit), device=unit.device)[block]
        alike[torch.arange(len(own), device=unit.device), own] = False
        counts[block] = alike.sum(dim=1)
    return counts


def density(keys: Tensor, threshold: float = 0.9, least: int = 1) -> float:
    """Share of tokens ``(n, d)`` that fewer than ``least`` others repeat; 1 for no tokens."""
    if len(keys) == 0:
        return 1.0
    return float((alike_counts(keys, threshold) < least).double().mean())


def sample_by_layers(deep: Tensor, shallow: Tensor, k: int, local_share: float = 0.3) -> Tensor:
    """The best of a deep layer and of a shallow one, filled up from the deep one.

    Args:
        deep: ``(n,)``, class attention of the last layer: global information.
        shallow: ``(n,)``, the same of a shallow layer: local information.
        k: From 1 to n.
        local_share: Share of ``k`` that the shallow layer chooses.

    Returns:
        int64 ``(k,)``, ascending.
    """
    local = int(local_share * k + 0.5)
    index = torch.cat([top_indices(deep, k - local), top_indices(shallow, local)])
    is_chosen = torch.zeros(len(deep), dtype=torch.bool).index_fill(0, index.cpu(), True)
    by_deep = top_indices(deep, len(deep)).cpu()
    more = by_deep[~is_chosen[by_deep]][: k - int(is_chosen.sum())]
    return is_chosen.index_fill(0, more, True).nonzero()[:, 0]


@dataclass(frozen=True, slots=True)
class TokenCorr(PerTile):
    """Tokens of high class attention, more of them for tiles that repeat themselves less.

    Attributes:
        threshold: Cosine above which two keys are alike.
        least: How many others must be alike for a token to be a repetition.
        local_share: Share of the budget that the shallow layer chooses.
        adaptive: Whether a tile may take less than its budget.
        deep_layer: Encoder layer; the deepest that the context has by default.
        shallow_layer: Encoder layer; the shallowest that the context has by default.
    """

    threshold: float = 0.9
    least: int = 1
    local_share: float = 0.3
    adaptive: bool = False
    deep_layer: int | None = None
    shallow_layer: int | None = None
    name: ClassVar[str] = "tokencorr"
    uses: ClassVar[frozenset[str]] = frozenset({"keys"})
    stage: ClassVar = "encoder_output"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS,)

    def __post_init__(self) -> None:
        if not (-1 <= self.threshold <= 1 and self.least >= 1 and 0 <= self.local_share <= 1):
            raise ModelError(
                "tokencorr needs a threshold in [-1, 1], a count of at least 1 and a share in "
                f"[0, 1], got {self.threshold}, {self.least} and {self.local_share}"
            )

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        deep, info = patch_mass(context, self.deep_layer)
        maps: Mapping[int, Tensor] = context.cls_attention or context.received or {}
        first = min(maps) if self.shallow_layer is None else self.shallow_layer
        shallow, _ = patch_mass(context, first)
        scores, is_replaced = clean_scores(deep)
        if is_replaced:
            return keep_best(deep, k)
        if self.adaptive:
            density = self._density(context)
            k, info = min(k, max(1, math.ceil(density * n))), info | {"density": density}
        # a token without a deep score is not worth a place of the shallow ones either
        local = torch.where(scores.isneginf(), -torch.inf, clean_scores(shallow)[0])
        return TokenChoice(sample_by_layers(scores, local, k, self.local_share), info=info)

    def _tile_weights(
        self,
        context: TokenContext,  # noqa: ARG002 - by density alone
        members: Sequence[Tensor],
        inside: Sequence[TokenContext],
    ) -> list[float]:
        """Tokens that are not repetitions, and at least one for a tile to be considered."""
        return [
            max(1.0, self._density(within) * len(tokens))
            for tokens, within in zip(members, inside, strict=True)
        ]

    def _density(self, context: TokenContext) -> float:
        keys = context.keys if context.keys is not None else context.features
        return density(keys, self.threshold, self.least)
