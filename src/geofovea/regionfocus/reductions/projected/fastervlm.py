"""FasterVLM: the tokens that the class token attends to most.

Source: "[CLS] Attention is All You Need for Training-Free Visual Token Pruning: Make VLM Inference
Faster" (repository Theia-4869/FasterVLM). The same rule appears in "When Language Overrules".

Signal: attention of the class token in the feature layer (the last but one of CLIP), heads
averaged; no question. Needs a host that gives that row; without a class token, attention received
from all queries takes its place, and ``info`` says so. Acts on projected tokens, tile by tile.
Cost O(heads · n + n log n), memory O(n).

`fixed` is the published rule on a stable top-k; there is no other mode to tell apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import HAS_MASS, patch_mass

__all__ = ["FasterVLM"]


@dataclass(frozen=True, slots=True)
class FasterVLM(PerTile):
    """The ``k`` tokens of highest class attention.

    Attributes:
        layer: Encoder layer; the deepest that the context has by default.
    """

    layer: int | None = None
    name: ClassVar[str] = "fastervlm"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS,)

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        mass, info = patch_mass(context, self.layer)
        choice = keep_best(mass, k)
        return replace(choice, info=choice.info | info)
