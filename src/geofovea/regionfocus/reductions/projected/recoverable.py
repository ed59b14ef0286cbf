"""Recoverable Compression: tokens of high attention, and tokens that the question brings back.

Source: "Recoverable Compression: A Multimodal Vision Token Recovery Mechanism Guided by Text
Information", AAAI 2025 (repository banjiuyufen/Recoverable-Compression).

Signal: class attention (in the released code as one head of full width), then the likeness of the
other tokens to the question in the space of a contrastive encoder. How many tokens each gives is
the fraction of local outliers among its scores. Needs class attention (or attention received) and
that likeness. Acts on the encoder's output, before the projector, tile by tile. O(n log n) time and
O(n) memory (scores lie on a line, where neighbors are found by sorting).

Where this differs from the released code: the budget is exact, and the two fractions only say how
it is split (evenly where there is no outlier at all); ``adaptive`` gives the published counts,
between ``min_tokens`` and the budget. The released code ends with a clustering of the rest whose
indices are mixed up, so that it usually merges nothing; it is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.attention_mass import HAS_MASS, patch_mass
from geofovea.regionfocus.reductions.primitives.outliers import lof_outlier_fraction
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["RecoverableCompression", "Recovered", "recover"]


@dataclass(frozen=True, slots=True, eq=False)
class Recovered:
    """What attention and question keep.

    Attributes:
        by_vision: int64, in order of attention.
        by_text: int64, in order of likeness, disjoint from ``by_vision``.
        ratio_vision: Fraction of outliers among the attentions.
        ratio_text: Fraction of outliers among the likenesses, kept tokens at their minimum.
    """

    by_vision: Tensor
    by_text: Tensor
    ratio_vision: float
    ratio_text: float

    @property
    def index(self) -> Tensor:
        """Both, int64 ``(k,)``, ascending."""
        return torch.cat([self.by_vision, self.by_text]).sort().values


def recover(attention: Tensor, similarity: Tensor, neighbours: int = 20) -> Recovered:
    """The choice of the paper, with counts that depend on the data.

    Args:
        attention: ``(n,)``, finite.
        similarity: ``(n,)``, likeness of token and question, finite.
        neighbours: Of the local outlier factor.
    """
    n = len(attention)
    ratio_vision = lof_outlier_fraction(attention, neighbours)
    by_vision = top_indices(attention, int(n * ratio_vision)).cpu()
    likeness = similarity.detach().cpu()
    likeness = likeness.index_fill(0, by_vision, float(likeness.min()) if n else 0.0)
    ratio_text = lof_outlier_fraction(likeness, neighbours)
    # what is kept already must not be brought back where likenesses tie at the minimum
    likeness = likeness.index_fill(0, by_vision, -torch.inf)
    by_text = top_indices(likeness, int((n - len(by_vision)) * ratio_text))
    return Recovered(by_vision, by_text, ratio_vision, ratio_text)


@dataclass(frozen=True, slots=True)
class RecoverableCompression(PerTile):
    """Tokens of high attention and tokens like the question.

    Attributes:
        neighbours: Of the local outlier factor.
        adaptive: Whether the data may ask for less than the budget.
        min_tokens: Least number of tokens where it may.
        layer: Encoder layer; the deepest that the context has by default.
    """

    neighbours: int = 20
    adaptive: bool = False
    min_tokens: int = 1
    layer: int | None = None
    name: ClassVar[str] = "recoverable"
    stage: ClassVar = "encoder_output"
    requires: ClassVar[frozenset[str]] = frozenset({"text_similarity"})
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS,)

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.min_tokens < 1:
            raise ModelError(
                "recoverable needs at least one neighbor and one token, "
                f"got {self.neighbours} and {self.min_tokens}"
            )

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:  # noqa: ARG002
        assert context.text_similarity is not None  # noqa: S101 - required, and checked by reduce
        mass, info = patch_mass(context, self.layer)
        attention, no_attention = clean_scores(mass)
        likeness, no_likeness = clean_scores(context.text_similarity)
        if no_attention and no_likeness:
            return keep_best(mass, k)
        recovery = recover(_finite(attention), _finite(likeness), self.neighbours)
        ratios: dict[str, Any] = {
            "ratio_vision": recovery.ratio_vision,
            "ratio_text": recovery.ratio_text,
        }
        if self.adaptive:
            k = min(k, max(self.min_tokens, len(recovery.index)))
        vision_count, text_count = len(recovery.by_vision), len(recovery.by_text)
        share = vision_count / (vision_count + text_count) if vision_count + text_count else 0.5
        # a kind of score that is missing altogether has no say
        share = 0.0 if no_attention else 1.0 if no_likeness else share
        by_vision = top_indices(attention, int(k * share + 0.5))
        rest = likeness.index_fill(0, by_vision, -torch.inf)
        # what neither attention nor question can tell is told by neither: it comes last
        rest = torch.where(attention.isneginf(), -torch.inf, rest)
        order = torch.argsort(-rest, stable=True)
        order = order[~torch.isin(order, by_vision)]
        index = torch.cat([by_vision, order[: k - len(by_vision)]])
        return TokenChoice(index.sort().values, info=info | ratios)


def _finite(scores: Tensor) -> Tensor:
    """Scores whose infinities are the extremes of the finite ones."""
    finite = scores[scores.isfinite()]
    return scores.clamp(float(finite.min()), float(finite.max()))
