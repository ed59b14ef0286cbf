"""HoloV: each crop of an image gets its share of the tokens, so that context survives.

Source: "Don't Just Chase 'Highlighted Tokens' in MLLMs: Revisiting Visual Holistic Context
Retention", NeurIPS 2025 (repository obananas/HoloV).

Signal: class attention of the layer before the last, and the variance of similarities in a crop; no
question. Needs class attention (or attention received) and places on a grid. Acts
on projected tokens, tile by tile. O(n² d / crops) time with the variance, O(n) without; memory
O((n / crops)²).

Where this differs from the released code:

- crops are rectangles of the grid, as the paper draws them; the released code cuts runs of the
  row-major order;
- the budget goes to the crops by `allot_tokens`, so that what a crop cannot hold goes to others;
  the released code loses it and pads with zero vectors (positions −1);
- output is in ascending order; the released code has falling attention within each crop;
- ``crop_score``. The released score of a crop rescales the variances to the mean of the attention
  of that crop, so they cancel: the score is (alpha + beta) times the mean attention whatever the
  features are. ``attention`` is therefore the default; in ``combined`` variances are scaled over
  all crops and do act; ``max`` takes the largest combined value of a crop.

The code for Qwen's models takes more crops where fewer tokens stay: `qwen_budget`, which is
``crops=None``. Where its rate leaves no token, it divides by zero; here one stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.base import TokenChoice, keep_best
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.per_tile import PerTile
from geofovea.regionfocus.reductions.primitives.allotment import allot_tokens
from geofovea.regionfocus.reductions.primitives.attention_mass import HAS_MASS, patch_mass
from geofovea.regionfocus.reductions.primitives.cells import HAS_CELLS, cells_of, even_cells
from geofovea.regionfocus.reductions.primitives.similarity import refuse_quadratic
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["HoloV", "crop_scores", "keep_by_crop", "qwen_budget", "qwen_crops", "variances"]

CropScore = Literal["attention", "combined", "max"]
EPS = 1e-6


def crop_scores(
    features: Tensor,
    attention: Tensor,
    crop: Tensor,
    *,
    crop_score: CropScore = "attention",
    alpha: float = 1.0,
    beta: float = 0.09,
) -> Tensor:
    """Score of each crop.

    Args:
        features: ``(n, d)``.
        attention: ``(n,)``.
        crop: int64 ``(n,)``, labels from 0 on without gaps.
        crop_score: See the module.
        alpha: Weight of the attention.
        beta: Weight of the variance.

    Returns:
        float32 ``(crops,)`` on the host; what is not finite in the attention weighs nothing.

    Raises:
        BudgetError: If a crop whose variance is asked for has more than `MOST_TOKENS` tokens.
    """
    a = attention.detach().to("cpu", torch.float32)
    a = torch.where(a.isfinite() & (a > 0), a, 0)
    members = [(crop == label).nonzero()[:, 0] for label in range(int(crop.max()) + 1)]
    if crop_score == "attention":
        return torch.stack([a[tokens].mean() for tokens in members])
    varied = torch.zeros_like(a)
    for tokens in members:
        refuse_quadratic(len(tokens), "the variance of a crop of holov")
        if len(tokens) > 1:
            varied[tokens] = variances(features[tokens.to(features.device)]).cpu()
    combined = alpha * a / (a.mean() + 1e-12) + beta * varied / (varied.mean() + 1e-12)
    if crop_score == "max":
        return torch.stack([combined[tokens].max() for tokens in members])
    return torch.stack([combined[tokens].mean() for tokens in members])


def keep_by_crop(attention: Tensor, crop: Tensor, scores: Tensor, k: int) -> TokenChoice:
    """Share ``k`` tokens among crops by score and keep the most attended ones of each.

    Args:
        attention: ``(n,)``.
        crop: int64 ``(n,)``, labels from 0 on without gaps.
        scores: ``(crops,)``.
        k: From 1 to n.
    """
    a, is_replaced = clean_scores(attention)
    if is_replaced:
        return keep_best(attention, k)
    sizes = crop.bincount(minlength=len(scores))
    # tokens without a score are not worth a share as long as there are others
    scored = crop[a > -torch.inf].bincount(minlength=len(scores))
    capacities = scored if int(scored.sum()) >= k else sizes
    shares = allot_tokens(scores.tolist(), capacities.tolist(), k)
    parts = []
    for label, share in enumerate(shares):
        tokens = (crop == label).nonzero()[:, 0]
        parts.append(tokens[top_indices(a[tokens], share)])
    return TokenChoice(torch.cat(parts).sort().values, info={"per_crop": shares})


@dataclass(frozen=True, slots=True)
class HoloV(PerTile):
    """A share of the tokens for each crop, the most attended ones in it.

    Attributes:
        crops: About how many rectangles a tile is cut into; None for `qwen_crops`.
        crop_score: What gives a crop its share; see the module.
        alpha: Weight of the attention in a combined score.
        beta: Weight of the variance in a combined score.
        layer: Encoder layer; the deepest that the context has by default.
    """

    crops: int | None = 16
    crop_score: CropScore = "attention"
    alpha: float = 1.0
    beta: float = 0.09
    layer: int | None = None
    name: ClassVar[str] = "holov"
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = (HAS_MASS, HAS_CELLS)

    def __post_init__(self) -> None:
        if (self.crops is not None and self.crops < 1) or min(self.alpha, self.beta) < 0:
            raise ModelError(
                "holov needs at least one crop and weights of at least 0, "
                f"got {self.crops}, {self.alpha} and {self.beta}"
            )
        if self.crop_score not in ("attention", "combined", "max"):
            raise ModelError(
                f"holov scores crops by attention, combined or max, got {self.crop_score!r}"
            )

    def _choose_in_tile(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        mass, info = patch_mass(context, self.layer)
        crop = _rectangles(cells_of(context), self.crops or min(n, qwen_crops(n, k)))
        scores = crop_scores(
            context.features,
            mass,
            crop,
            crop_score=self.crop_score,
            alpha=self.alpha,
            beta=self.beta,
        )
        choice = keep_by_crop(mass, crop, scores, k)
        return replace(choice, info=choice.info | info)


def qwen_budget(tokens: int, rate: float) -> tuple[int, int]:
    """Tokens that stay of an image, and crops, as the code for Qwen's models has them.

    Args:
        tokens: Of the image, at least one.
        rate: Share that stays, rounded down to tokens; at least one stays.
    """
    count = max(1, int(tokens * rate))
    return count, qwen_crops(tokens, count)


def qwen_crops(tokens: int, count: int) -> int:
    """Crops of an image of which some tokens stay: 16 where a ninth of them do."""
    return max(1, 1024 * tokens // (576 * count))


def _rectangles(cells: Tensor, crops: int) -> Tensor:
    """About ``crops`` rectangles of about the shape of the grid."""
    height, width = (cells.amax(dim=0) - cells.amin(dim=0) + 1).tolist()
    rows = min(height, crops, max(1, round((crops * height / width) ** 0.5)))
    return even_cells(cells, rows, max(1, crops // rows))


def variances(features: Tensor) -> Tensor:
    """Spread of each token's similarities to the others of its crop, float32 ``(n,)``.

    Its similarity to itself enters as 0 and counts in the sum, but not in the divisor.
    """
    x = features.detach().to(torch.float32)
    unit = x / (torch.linalg.vector_norm(x, dim=1, keepdim=True) + EPS)
    table = (unit @ unit.T).fill_diagonal_(0)
    others = len(x) - 1
    mean = table.sum(dim=1, keepdim=True) / others
    spread: Tensor = (table - mean).square().sum(dim=1) / others
    return spread
