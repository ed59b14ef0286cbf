"""LLaVA-PruMerge and PruMerge+: outlying tokens that take in their neighbours.

Source: "LLaVA-PruMerge", ICCV 2025 (repository 42Shawn/LLaVA-PruMerge).

Signal: class attention (in the released code as one head of full width) and cosine similarity of
keys; no question. Needs class attention (or attention received); keys, or else features take their
place. Acts on the encoder's output, before the projector, tile by tile. O(k n c) time, and k × n
similarities in blocks.

PruMerge selects tokens of high attention, adds to each its most similar others, and sums up what
was not selected in one more token. PruMerge+ also selects evenly spaced tokens.

Where `fixed` differs from `faithful`: the budget is exact (k − 1 selected and the summary), where
the released code takes its number from the outliers of the attention; a selected token becomes the
mean of itself and of the attention-weighted mean of its neighbours, the summary the
attention-weighted mean of the rest, where the released code adds sums with raw attention; the
evenly spaced tokens of PruMerge+ are taken among the others (three of four selected ones), without
the duplicates for which the released code then loses as many other tokens; output is in order of
position. Neighbourhoods overlap, so ``groups`` is None; ``info["neighbours"]`` tells those of the
selected tokens, as indices among the tokens of the one tile that is reduced, protected ones left
out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.reductions.base import Kept, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import HAS_MASS, cls_row, patch_mass
from geofovea.regionfocus.reductions.primitives.outliers import iqr_outlier_fraction
from geofovea.regionfocus.reductions.primitives.outputs import group_means, merged
from geofovea.regionfocus.reductions.primitives.similarity import row_blocks, unit_rows
from geofovea.regionfocus.scoring import clean_scores, top_indices
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["PruMerge", "PruMergePlus", "prumerge_faithful"]

NEIGHBOURS = 32


def prumerge_faithful(
    query: Tensor,
    keys: Tensor,
    hidden: Tensor,
    *,
    ratio: float | None = None,
    plus: bool = False,
    neighbours: int = NEIGHBOURS,
    fixed_grid: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Output of the released code.

    Args:
        query: ``(1 + n, c)``, the class token first.
        keys: ``(1 + n, c)``.
        hidden: ``(1 + n, d)``.
        ratio: Share of tokens to select; by default the share of outliers of the attention.
        plus: Whether evenly spaced tokens are selected too.
        neighbours: Others that each selected token takes in.
        fixed_grid: Which of the two grids of PruMerge+; by default the one of a given ratio if
            there is one.

    Returns:
        float32 ``(m + 1, d)``: selected tokens by falling attention, then those of the grid, then
        the summary; and the selected indices int64 ``(m,)``.

    Raises:
        BudgetError: If the share of PruMerge+ leaves its grid without a step.
    """
    a = cls_row(query[None, 0], keys[None])[0]
    n = len(a)
    share = iqr_outlier_fraction(a) if ratio is None else ratio
    selected = top_indices(a, int(n * share))
    if plus:
        is_fixed = ratio is not None if fixed_grid is None else fixed_grid
        grid = _released_grid(n, share, is_fixed, selected)
        selected = torch.cat([selected, grid])
    x, unit = hidden[1:].to(torch.float32), unit_rows(keys[1:])
    is_rest = torch.ones(n, dtype=torch.bool).index_fill(0, selected, False)
    # every duplicate among the selected costs the complement one of its first tokens
    rest = is_rest.nonzero()[:, 0][len(selected) - len(set(selected.tolist())) :]
    outputs = []
    for i, token in enumerate(selected.tolist()):
        others = torch.cat([selected[:i], selected[i + 1 :], rest])
        similar = others[top_indices(unit[others] @ unit[token], neighbours)]
        outputs.append(x[token] + a[similar] @ x[similar])
    outputs.append(a[rest] @ x[rest])
    return torch.stack(outputs), selected


def _released_grid(n: int, share: float, is_fixed: bool, selected: Tensor) -> Tensor:
    """Evenly spaced tokens of the released code; the last token is never one of them."""
    step = int(1 / share) if share > 0 else 0
    if not is_fixed:
        step = step // 3
    if step < 1:
        raise BudgetError(
            f"the grid of the released PruMerge+ has no step at a share of {share:.3f}; give a "
            "ratio of at most a third, or use the fixed mode"
        )
    if is_fixed:
        return torch.arange(step // 2, n - 1, step)
    grid = torch.arange(0, n - 1, step)
    return grid[~torch.isin(grid, selected)]


@dataclass(frozen=True, slots=True)
class PruMerge(PerTile):
    """Tokens of high attention with what is like them, and a summary of the others.

    Attributes:
        neighbours: Others that each selected token takes in; fewer where there are fewer.
        layer: Encoder layer; the deepest that the context has by default.
    """

    neighbours: int = NEIGHBOURS
    layer: int | None = None
    name: ClassVar[str] = "prumerge"
    uses: ClassVar[frozenset[str]] = frozenset({"keys"})
    stage: ClassVar = "encoder_output"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS,)

    def __post_init__(self) -> None:
        if self.neighbours < 0:
            raise ModelError(f"{self.name} needs neighbours of at least 0, got {self.neighbours}")

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> Kept:
        mass, info = patch_mass(context, self.layer)
        selected, told = self._select(mass, k - 1)
        weights, _ = clean_scores(mass)
        is_rest = torch.ones(n, dtype=torch.bool).index_fill(0, selected, False)
        rest = is_rest.nonzero()[:, 0]
        x = context.features.detach().to(torch.float32)
        similar = self._neighbours(context, selected)
        summary = group_means(x[rest.to(x.device)], torch.zeros_like(rest), 1, weights[rest])
        outputs = torch.cat([_blend(x, selected, similar, weights), summary])
        position = torch.cat([selected, rest[top_indices(weights[rest], 1)]])
        sizes = torch.cat([torch.ones_like(selected), torch.tensor([len(rest)])])
        info = info | told | {"neighbours": similar[torch.argsort(selected)]}
        return merged(context.features, position, outputs, None, info, sizes)

    def _select(self, mass: Tensor, count: int) -> tuple[Tensor, dict[str, object]]:
        """``count`` tokens to keep, int64, and what to tell of them."""
        if count == 0:
            return torch.empty(0, dtype=torch.int64), {}
        kept = keep_best(mass, count)
        return kept.index, kept.info

    def _neighbours(self, context: TokenContext, selected: Tensor) -> Tensor:
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
    """Mean of each token and of the weighted mean of its neighbours, float32 ``(m, d)``."""
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
                "prumerge_plus needs a share in [0, 1] and neighbours of at least 0, "
                f"got {self.attended} and {self.neighbours}"
            )

    def _select(self, mass: Tensor, count: int) -> tuple[Tensor, dict[str, object]]:
        attended, told = PruMerge._select(self, mass, int(self.attended * count + 0.5))
        scores, _ = clean_scores(mass)
        is_rest = torch.ones(len(mass), dtype=torch.bool).index_fill(0, attended, False)
        # tokens without a score are not worth a place as long as there are others
        finite = is_rest & (scores > -torch.inf)
        spare = count - len(attended)
        rest = (finite if int(finite.sum()) >= spare else is_rest).nonzero()[:, 0]
        even = rest[torch.tensor(even_positions(len(rest), spare), dtype=torch.int64)]
        return torch.cat([attended, even]).sort().values, told
