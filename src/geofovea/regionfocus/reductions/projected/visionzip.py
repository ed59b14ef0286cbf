"""VisionZip: dominant tokens as they are, the others merged into a few contextual ones.

Source: "VisionZip", CVPR 2025 (repository dvlab-research/VisionZip).

Signal: class attention summed over heads, and cosine similarity of the encoder's keys, heads
averaged; no question. Needs class attention (or attention received); keys, or else features take
their place. Acts on the encoder's output, before the projector, tile by tile. O(n c d) time for c
contextual tokens, O(n c) memory.

Where this differs from the released code: a contextual token is the mean of its target and all that
were assigned to it, where the released code adds the mean of the assigned to the target, which
about doubles its length; the class token is not passed on; the budget is exact, and ``contextual``
of it (10 of 64 in the published example) are contextual tokens; output is in order of position.
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

__all__ = ["VisionZip", "assign_to_targets"]


def assign_to_targets(metric: Tensor, rest: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Evenly spaced targets among some tokens, and the target most like each of the tokens.

    Args:
        metric: ``(n, d)``, what similarity is measured in.
        rest: int64 ``(m,)``, the tokens, ascending.
        count: Targets; there are fewer where m is smaller.

    Returns:
        Targets int64 ``(c,)``, and for each of ``rest`` its place among the targets, int64
        ``(m,)``; a target goes to itself, and the first of equally similar ones is taken.
    """
    step = max(1, len(rest) // count) if count else 1
    slots = torch.arange(0, len(rest), step)[:count]
    unit = unit_rows(metric)[rest.to(metric.device)]
    best = torch.empty(len(rest), dtype=torch.int64)
    for block in row_blocks(len(rest), max(1, len(slots))):
        best[block] = (unit[block] @ unit[slots.to(unit.device)].T).argmax(dim=1).cpu()
    best[slots] = torch.arange(len(slots))
    return rest[slots], best


@dataclass(frozen=True, slots=True)
class VisionZip(PerTile):
    """Dominant tokens, and means of the others around evenly spaced targets.

    Attributes:
        contextual: Share of the budget for contextual tokens.
        layer: Encoder layer; the deepest that the context has by default.
    """

    contextual: float = 10 / 64
    layer: int | None = None
    name: ClassVar[str] = "visionzip"
    merges: ClassVar[bool] = True
    uses: ClassVar[frozenset[str]] = frozenset({"keys"})
    stage: ClassVar = "encoder_output"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS,)

    def __post_init__(self) -> None:
        if not 0 <= self.contextual <= 1:
            raise ModelError(
                f"visionzip needs a share of contextual tokens in [0, 1], got {self.contextual}"
            )

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        mass, info = patch_mass(context, self.layer)
        count = int(self.contextual * k + 0.5)
        best = keep_best(mass, k - count) if k > count else None
        index = best.index if best is not None else torch.empty(0, dtype=torch.int64)
        info = (best.info if best is not None else {}) | info
        if count == 0:
            return TokenChoice(index, info=info)
        is_rest = torch.ones(n, dtype=torch.bool).index_fill(0, index, False)
        rest = is_rest.nonzero()[:, 0]
        metric = context.keys if context.keys is not None else context.features
        targets, best_target = assign_to_targets(metric, rest, count)
        groups = torch.empty(n, dtype=torch.int64)
        groups[index] = torch.arange(len(index))
        groups[rest] = best_target + len(index)
        position = torch.cat([index, targets])
        outputs = group_means(context.features, groups, k)
        return merged(context.features, position, outputs, groups, info)
