"""LLaVA-PruMerge and PruMerge+: outlying tokens that take in their neighbors.

Source: "LLaVA-PruMerge", ICCV 2025 (repository 42Shawn/LLaVA-PruMerge).

Signal: class attention (in the released code as one head of full width) and cosine similarity of
keys; no question. Needs class attention (or attention received); keys, or else features take their
place. Acts on the encoder's output, before the projector, tile by tile. O(k n c) time, and k × n
similarities in blocks.

PruMerge selects tokens of high attention, adds to each its most similar others, and sums up what
was not selected in one more token. PruMerge+ also selects evenly spaced tokens.

Where this differs from the released code: the budget is exact (k − 1 selected and the summary),
where the released code takes its number from the outliers of the attention; a selected token
becomes the mean of itself and of the attention-weighted mean of its neighbors, the summary the
attention-weighted mean of the rest, where the released code adds sums with raw attention; the
evenly spaced tokens of PruMerge+ are taken among the others (three of four selected ones), without
the duplicates for which the released code then loses as many other tokens; output is in order of
position. Neighborhoods overlap, so ``groups`` is None; ``info["neighbours"]`` tells those of the
selected tokens, as indices among the tokens of the one tile that is reduced, protected ones left
out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import HAS_MASS, patch_mass
from geofovea.regionfocus.reductions.primitives.outputs import group_means, merged
from geofovea.regionfocus.reductions.primitives.similarity import row_blocks, unit_rows
from geofovea.regionfocus.scoring import clean_scores, top_indices
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["PruMerge", "PruMergePlus"]

NEIGHBORS = 32


@dataclass(frozen=True, slots=True)
class PruMerge(PerTile):
    """Tokens of high attention with what is like them, and a summary of the others.

    Attributes:
        neighbours: Others that each selected token takes in; fewer where there are fewer.
        layer: Encoder layer; the deepest that the context has by default.
    """

    neighbours: int = NEIGHBORS
    layer: int | None = None
    name: ClassVar[str] = "prumerge"
    merges: ClassVar[bool] = True
    uses: ClassVar[frozenset[str]] = frozenset({"keys"})
    stage: ClassVar = "encoder_output"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS,)

    def __post_init__(self) -> None:
        if self.neighbours < 0:
            raise ModelError(f"{self.name} needs neighbors of at least 0, got {self.neighbours}")

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        mass, info = patch_mass(context, self.layer)
        selected, selection_info = self._select(mass, k - 1)
        weights, _ = clean_scores(mass)
        is_rest = torch.ones(n, dtype=torch.bool).index_fill(0, selected, False)
        rest = is_rest.nonzero()[:, 0]
        x = context.features.detach().to(torch.float32)
        similar = self._neighbors(context, selected)
        summary = group_means(x[rest.to(x.device)], torch.zeros_like(rest), 1, weights[rest])
        outputs = torch.cat([_blend(x, selected, similar, weights), summary])
        position = torch.cat([selected, rest[top_indices(weights[rest], 1)]])
        sizes = torch.cat([torch.ones_like(selected), torch.tensor([len(rest)])])
        info = info | selection_info | {"neighbours": similar[torch.argsort(selected)]}
        return merged(context.features, position, outputs, None, info, sizes)

    def _select(self, mass: Tensor, count: int) -> tuple[Tensor, dict[str, object]]:
        """``count`` tokens to keep, int64, and what to tell of them."""
        if count == 0:
            return torch.empty(0, dtype=torch.int64), {}
        choice = keep_best(mass, count)
        return choice.index, choice.info

    def _neighbors(self, context: TokenContext, selected: Tensor) -> Tensor:
        """The others most like each of the selected, int64 ``(m, neighbours)``."""
        unit = unit_rows(context.keys if context.keys is not None else context.features)
        count = min(self.neighbours, len(unit) - 1)
        similar = torch.empty(len(selected), count, dtype=torch.int64)
        for block in row_blocks(len(selected), len(unit)):
            own = selected[block].to(unit.device)
            table = unit[own] @ unit.T
            table.scatter_(1, own[:, None], -torch.inf)
            similar[block] = (
                table.sort(dim=1, descending=True, stable=True).indices[:, :count].cpu()
            )
        return similar


def _blend(x: Tensor, selected: Tensor, similar: Tensor, weights: Tensor) -> Tensor:
    """Mean of each token and of the weighted mean of its neighbors, float32 ``(m, d)``."""
    if similar.shape[1] == 0:
        return x[selected.to(x.device)]
    rows = torch.arange(len(selected)).repeat_interleave(similar.shape[1])
    flat = similar.flatten()
    around = group_means(x[flat.to(x.device)], rows, len(selected), weights[flat])
    return (x[selected.to(x.device)] + around) / 2


@dataclass(frozen=True, slots=True)
class PruMergePlus(PruMerge):
    """PruMerge with evenly spaced tokens beside those of high attention.

    Attributes:
        attended: Share of the selected tokens that are chosen by attention.
    """

    attended: float = 0.25
    name: ClassVar[str] = "prumerge_plus"

    def __post_init__(self) -> None:
        if not 0 <= self.attended <= 1 or self.neighbours < 0:
            raise ModelError(
                "prumerge_plus needs a share in [0, 1] and neighbors of at least 0, "
                f"got {self.attended} and {self.neighbours}"
            )

    def _select(self, mass: Tensor, count: int) -> tuple[Tensor, dict[str, object]]:
        best, info = PruMerge._select(self, mass, int(self.attended * count + 0.5))
        scores, _ = clean_scores(mass)
        is_rest = torch.ones(len(mass), dtype=torch.bool).index_fill(0, best, False)
        # tokens without a score are not worth a place as long as there are others
        finite = is_rest & (scores > -torch.inf)
        spare = count - len(best)
        rest = (finite if int(finite.sum()) >= spare else is_rest).nonzero()[:, 0]
        even = rest[torch.tensor(even_positions(len(rest), spare), dtype=torch.int64)]
        return torch.cat([best, even]).sort().values, info
