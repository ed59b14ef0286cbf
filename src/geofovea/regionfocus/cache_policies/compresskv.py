"""CompressKV: after the question, keep the entries that retrieving heads attend to.

Source: "CompressKV: Semantic Retrieval Heads Know What Tokens Are Not Important Before Generation",
TUDa-HWAI/CompressKV. The last rows of the prompt attend to all entries; a few heads of each layer,
found beforehand because their attention falls on the place that an answer comes from, say which
entries stay. Layers whose output suffers most get the largest budgets. O(m s d) for m rows.

``faithful``: `window_scores` with a kernel, `layer_budgets`. ``fixed`` pools nothing by default:
places that are neighbors in the sequence are none in a scene, and pooling runs across the borders
of tiles. Measured on the embedded model at 5 % of the vision entries: without pooling all answers
stay the same, with a kernel of 5 92 to 96 % of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from geofovea.errors import BudgetError, ModelError
from geofovea.regionfocus.budget import share_up
from geofovea.regionfocus.cache_policies.base import CachePolicy, CacheView, attention_rows
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["CompressKv", "layer_budgets", "window_scores"]


@dataclass(frozen=True, slots=True)
class CompressKv(CachePolicy):
    """Keep the best vision entries; all heads of a layer keep the same.

    Attributes:
        share: Of the vision entries, rounded up; at least one stays.
        heads: Query heads whose attention counts, of each layer; of layers that have none, and
            where nothing is told, all heads count.
        kernel: Entries that are averaged along the sequence, an odd number; 1 for none.

    Raises:
        ModelError: If the share is not above 0 and at most 1, or the kernel is even.
    """

    share: float = 0.25
    heads: tuple[tuple[int, ...], ...] = ()
    kernel: int = 1
    name: ClassVar[str] = "compresskv"
    needs_question: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.kernel < 1 or self.kernel % 2 == 0:
            raise ModelError(
                f"share={self.share} must be above 0 and at most 1, and kernel={self.kernel} odd"
            )

    def keep(self, view: CacheView) -> Tensor:
        """See `CachePolicy`."""
        heads = self.heads[view.layer] if view.layer < len(self.heads) else ()
        scores, _ = clean_scores(window_scores(attention_rows(view), heads, self.kernel))
        visual = view.visual.to(scores.device)
        n = len(visual)
        k = min(n, max(1, share_up(self.share, n)))
        best = visual[top_indices(scores[visual], k)]
        return torch.cat([best, view.words.to(best.device)]).sort().values


def window_scores(attention: Tensor, heads: Sequence[int] = (), kernel: int = 1) -> Tensor:
    """Mean over some heads of what the rows of a window attend to, float32 ``(s,)``.

    Args:
        attention: ``(heads, m, s)``.
        heads: Which heads count; none for all.
        kernel: Entries averaged along the sequence; zeros beyond its ends count.
    """
    received = attention.float().sum(1)
    if kernel > 1:
        received = torch.nn.functional.avg_pool1d(received, kernel, 1, kernel // 2)
    by_head = received[list(heads)] if heads else received
    return by_head.mean(0)


def layer_budgets(errors: Sequence[float], total: int, least: int, most: int) -> list[int]:
    """Entries for each layer, more where eviction hurts more.

    Args:
        errors: Relative error of each layer's output at a small budget; scaled to add up to 1.
        total: Entries of all layers together.
        least: Entries that a layer gets at least.
        most: Entries that a layer gets at most.

    Returns:
        Budgets in the order of the layers. They add up to ``total`` unless every layer is at a
        limit.

    Raises:
        BudgetError: If the limits contradict each other, or no error is above 0.
    """
    weight = sum(errors)
    if not 0 <= least <= most or weight <= 0 or min(errors) < 0:
        raise BudgetError(
            f"layers need errors of at least 0 and limits least <= most, got {least} and {most}"
        )
    shares = [error / weight for error in errors]
    spare = total - least * len(shares)
    budgets = [min(most, max(least, least + round(share * spare))) for share in shares]
    # one at a time, the largest error first, or the smallest where there are too many
    falling = sorted(range(len(shares)), key=lambda layer: (-shares[layer], layer))
    while (missing := total - sum(budgets)) != 0:
        step = 1 if missing > 0 else -1
        order = falling if step > 0 else falling[::-1]
        free = [i for i in order if least <= budgets[i] + step <= most]
        if not free:
            break
        for layer in free[: abs(missing)]:
            budgets[layer] += step
    return budgets
