"""TokenSelect: each query reads the entries that its heads vote for.

Source: "TokenSelect: Efficient Long-Context Inference and Length Extrapolation for LLMs via Dynamic
Token-Level KV Cache Selection", pzs19/TokenSelect. Each head's softmax over the entries is a vote;
the entries with the largest sums are read, beside the first and the last ones. It saves reads of
the cache, not memory. O(heads · n · d) a query.

``faithful``: `votes` with ``form="released"``. ``fixed`` mends three defects of the release: query
head h reads key head h mod key_heads, which is wrong for grouped queries; logits are not scaled;
votes are added up in bfloat16. The release takes the mean query of a chunk; measured on the
embedded model, one choice for a whole question loses answers that one choice a word keeps, so
`read` takes one query.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.cache_policies.base import CachePolicy
from geofovea.regionfocus.scoring import clean_scores, top_indices

__all__ = ["TokenSelect", "votes"]


@dataclass(frozen=True, slots=True)
class TokenSelect(CachePolicy):
    """Read a share of the vision entries for each query.

    Attributes:
        share: Of the vision entries, rounded up.
        least: Entries that are read at least.

    Raises:
        ModelError: If the share is not above 0 and at most 1, or ``least`` is below 1.
    """

    share: float = 0.05
    least: int = 16
    name: ClassVar[str] = "tokenselect"

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1 or self.least < 1:
            raise ModelError(
                f"share={self.share} must be above 0 and at most 1, and least={self.least} at "
                "least 1"
            )

    def read(self, query: Tensor, keys: Tensor) -> Tensor | None:
        """See `CachePolicy`."""
        n = keys.shape[1]
        k = max(self.least, ceil(self.share * n))
        if k >= n:
            return None
        scores, _ = clean_scores(votes(query, keys))
        return top_indices(scores, k).sort().values.to(keys.device)


def votes(query: Tensor, keys: Tensor, form: Literal["fixed", "released"] = "fixed") -> Tensor:
    """Sum over query heads of their softmax over some entries, float32 ``(n,)``.

    Args:
        query: ``(heads, head_dim)``.
        keys: ``(key_heads, n, head_dim)`` of the entries that may be chosen.
        form: How heads pair, and in which precision votes are added up.

    Returns:
        Votes; they add up to the number of heads.
    """
    heads, dim = query.shape
    each = torch.arange(heads, device=query.device)
    if form == "released":
        logits = (keys[each % len(keys)].float() @ query.float()[..., None])[..., 0]
        return logits.to(torch.bfloat16).softmax(-1).sum(0).float()
    logits = (keys[each // (heads // len(keys))].float() @ query.float()[..., None])[..., 0]
    each_vote: Tensor = (logits / dim**0.5).softmax(-1)
    return each_vote.sum(0)
