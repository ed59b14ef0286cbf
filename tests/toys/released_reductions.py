"""What the released codes of some papers do with projected tokens: oracles, faults included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from released_mergers import tome_survivors
from torch import Tensor

from geofovea.errors import BudgetError, GeometryError
from geofovea.regionfocus.reductions.encoder.tome import tome_pairs
from geofovea.regionfocus.reductions.primitives.attention_mass import cls_row
from geofovea.regionfocus.reductions.primitives.merging import group_rows, size_weighted_mean
from geofovea.regionfocus.reductions.primitives.outliers import iqr_outlier_fraction
from geofovea.regionfocus.reductions.primitives.outputs import group_means
from geofovea.regionfocus.reductions.primitives.similarity import unit_rows
from geofovea.regionfocus.reductions.projected.holov import EPS, variances
from geofovea.regionfocus.reductions.projected.prumerge import NEIGHBORS
from geofovea.regionfocus.reductions.projected.vflowopt import recycled
from geofovea.regionfocus.reductions.projected.visionzip import assign_to_targets
from geofovea.regionfocus.scoring import top_indices

Version = Literal["v1", "v2", "v3", "v4", "v5"]


def hiprune_released(obj: Tensor, deep: Tensor, k: int, alpha: float, width: int) -> Tensor:
    """The choice of the released code, with its wrapped and clipped neighbors.

    Args:
        obj: ``(n,)``, attention received in the object layer.
        deep: ``(n,)``, the same in the deep layer.
        k: Tokens to keep.
        alpha: Share of the budget for anchors and their neighbors.
        width: Columns of the grid.

    Returns:
        int64 ``(k,)``, ascending.

    Raises:
        BudgetError: If anchors and neighbors alone exceed ``k``.
    """
    anchors = top_indices(obj, round(k * alpha / 5))
    steps = torch.tensor([0, -1, 1, -width, width], device=obj.device)
    near = torch.unique((anchors[:, None] + steps).clamp(0, len(obj) - 1))
    if len(near) > k:
        raise BudgetError(
            f"anchors and neighbors are {len(near)} tokens, more than the budget of {k}; lower "
            f"alpha from {alpha}, or use the fixed mode, which cuts them"
        )
    rest = deep.to(torch.float32).index_fill(0, near, -torch.inf)
    return torch.cat([near, top_indices(rest, k - len(near))]).sort().values


def holov_released(
    features: Tensor,
    attention: Tensor,
    k: int,
    *,
    crops: int = 16,
    alpha: float = 1.0,
    beta: float = 0.09,
) -> tuple[Tensor, Tensor]:
    """The choice of the released code, padding included.

    Args:
        features: ``(n, d)``.
        attention: ``(n,)``, class attention.
        k: Rows of the output.
        crops: Runs into which the tokens are cut; the first ``n mod crops`` are one longer.
        alpha: Weight of the attention.
        beta: Weight of the variance.

    Returns:
        Positions int64 ``(k,)``, −1 for a pad, and tokens ``(k, d)``, zero for a pad.
    """
    n = len(features)
    a = attention.to(torch.float32)
    runs = torch.tensor_split(torch.arange(n, device=a.device), crops)
    scores = []
    for run in runs:
        inside = a[run]
        if len(run) > 1:
            scaled = 1000 * inside
            varied = variances(features[run])
            varied = varied * scaled.abs().mean() / (varied.abs().mean() + EPS)
            inside = alpha * scaled + beta * varied
        scores.append(inside.mean())
    score = torch.stack(scores)
    weights = score / (score.sum() + EPS)
    shares = (weights * k).floor().to(torch.int64)
    left = max(0, k - int(shares.sum()))
    shares[top_indices(weights, left)] += 1
    kept = []
    for run, share in zip(runs, shares.tolist(), strict=True):
        kept.append(run if share >= len(run) else run[top_indices(a[run], share)])
    found = torch.cat(kept)[:k]
    positions = torch.full((k,), -1, dtype=torch.int64, device=a.device)
    positions[: len(found)] = found
    tokens = features.new_zeros(k, features.shape[1])
    tokens[: len(found)] = features[found]
    return positions, tokens


def visionzip_released(
    cls_heads: Tensor, metric: Tensor, hidden: Tensor, dominant: int, contextual: int
) -> tuple[Tensor, Tensor]:
    """Output of the released code, class token included.

    Args:
        cls_heads: ``(heads, n)``, class attention to the patches.
        metric: ``(1 + n, c)``, keys, the class token first.
        hidden: ``(1 + n, d)``, encoder output, the class token first.
        dominant: Dominant patches, besides the class token.
        contextual: Contextual tokens.

    Returns:
        float32 ``(1 + dominant + contextual, d)``: class token and dominant patches in order, then
        contextual tokens; and the indices of the former in 0..n, in order of attention.
    """
    mass = cls_heads.to(torch.float32).sum(dim=0)
    top = torch.cat([torch.zeros(1, dtype=torch.int64), top_indices(mass, dominant).cpu() + 1])
    is_rest = torch.ones(len(hidden), dtype=torch.bool).index_fill(0, top, False)
    rest = is_rest.nonzero()[:, 0]
    x = hidden.to(torch.float32)
    if contextual == 0 or len(rest) == 0:
        return x[top.sort().values], top
    targets, best = assign_to_targets(metric, rest, contextual)
    follows = torch.where(torch.isin(rest, targets), -1, best)
    context = x[targets] + group_means(x[rest], follows, len(targets))
    return torch.cat([x[top.sort().values], context]), top


def prumerge_released(
    query: Tensor,
    keys: Tensor,
    hidden: Tensor,
    *,
    ratio: float | None = None,
    plus: bool = False,
    neighbours: int = NEIGHBORS,
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


def recycle_released(
    features: Tensor, scores: Tensor, cell: Tensor, *, m: float, r_v: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Prune and recycle with the counts of the released code.

    Args:
        features: ``(n, d)``.
        scores: ``(n,)``, importance; 1 for tokens that must stay.
        cell: int64 ``(n,)``, tokens of one number may be merged; see `cell_numbers`.
        m: Side of a cell, in tokens.
        r_v: Nominal share of tokens to keep.

    Returns:
        Tokens float32 ``(k, d)`` in order of position, their importance ``(k,)`` (of the most
        important one, where tokens were merged), and positions int64 ``(k,)``.
    """
    n = len(features)
    removed = min(n, round(n * (1 - r_v)) + int(n / m**2))
    position, groups = recycled(scores, cell, removed)
    tokens = group_means(features, groups, len(position), scores)
    return tokens, scores[position.to(scores.device)], position


def released_counts(weights: Sequence[float], total: int) -> list[int]:
    """Counts of the released code: shares of the total, cut to integers."""
    whole = math.fsum(weights)
    return [int(total * weight / whole) for weight in weights]


def capped_shares(weights: Sequence[float], most: float) -> list[float]:
    """The released cap: what is above it goes to the others once; the sum may stay below 1.

    Args:
        weights: Shares of tiles, not all 0; they are normalized first.
        most: Greatest share.
    """
    whole = math.fsum(weights)
    shares = [weight / whole for weight in weights]
    cut = [min(share, most) for share in shares]
    left = math.fsum(cut)
    return [c if s > most else c / left for s, c in zip(shares, cut, strict=True)]


def resize_tokens(features: Tensor, grid: tuple[int, int], count: int, version: Version) -> Tensor:
    """Bring the tokens of a tile to ``count`` by one of the released rules.

    Args:
        features: ``(rows * cols, d)``.
        grid: ``(rows, cols)``.
        count: From 1 to the number of tokens; versions 1, 2 and 5 may return fewer.
        version: See the module.

    Returns:
        float32 ``(count or fewer, d)``.

    Raises:
        GeometryError: If the tokens do not fill the grid.
        BudgetError: If the count is impossible.
    """
    if grid[0] * grid[1] != len(features):
        raise GeometryError(f"a grid of {grid} does not hold {len(features)} tokens")
    if not 1 <= count <= len(features):
        raise BudgetError(f"cannot bring {len(features)} tokens to {count}; ask for 1 to as many")
    x = features.detach().to(torch.float32)
    if version == "v3":
        return x[torch.linspace(0, len(x) - 1, count).to(torch.int64)]
    if version == "v4":
        return _merge_to(x, count)
    picture = x.T.reshape(1, -1, *grid)
    side = math.isqrt(count)
    shape = (side + 1, side) if side * (side + 1) <= count else (side, side)
    if version == "v1":
        resized = F.interpolate(picture, size=shape, mode="bilinear", align_corners=False)
    else:
        resized = F.adaptive_avg_pool2d(picture, shape)
    return resized[0].flatten(1).T


def _merge_to(x: Tensor, count: int) -> Tensor:
    """Merge even tokens into the most similar odd ones until ``count`` are left; no sizes."""
    while len(x) > count:
        pairs = tome_pairs(x, len(x) - count)
        groups, survivors = group_rows(len(x), pairs, tome_survivors(x, pairs))
        x = size_weighted_mean(x, x.new_ones(len(x)), groups, len(survivors))
    return x
