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
from typing import ClassVar, Literal

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.budget import share_up
from geofovea.regionfocus.cache_policies.base import CachePolicy

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
        mask = self.sees(_scaled_logits(query, keys)[:, None])
        return None if mask is None else mask[0].nonzero()[:, 0]

    def sees(self, logits: Tensor) -> Tensor | None:
        """See `CachePolicy`."""
        n = logits.shape[-1]
        k = max(self.least, share_up(self.share, n))
        if k >= n:
            return None
        each = logits.softmax(-1).sum(0)
        # NaN never wins, as everywhere; the stable sort takes equal entries in their order
        cleaned = torch.where(each.isnan(), -torch.inf, each)
        best = torch.argsort(-cleaned, dim=-1, stable=True)[:, :k]
        mask = torch.zeros_like(each, dtype=torch.bool)
        return mask.scatter_(1, best, value=True)


def votes(query: Tensor, keys: Tensor, form: Literal["fixed", "released"] = "fixed") -> Tensor:
    """Sum over query heads of their softmax over some entries, float32 ``(n,)``.

    Args:
        query: ``(heads, head_dim)``.
        keys: ``(key_heads, n, head_dim)`` of the entries that may be chosen.
        form: How heads pair, and in which precision votes are added up.

    Returns:
        Votes; they add up to the number of heads.
    """
    each = torch.arange(len(query), device=query.device)
    if form == "released":
        logits = (keys[each % len(keys)].float() @ query.float()[..., None])[..., 0]
        return logits.to(torch.bfloat16).softmax(-1).sum(0).float()
    return _scaled_logits(query, keys).softmax(-1).sum(0)


def _scaled_logits(query: Tensor, keys: Tensor) -> Tensor:
    """Logits ``(heads, n)`` of a query ``(heads, head_dim)``."""
    heads, dim = query.shape
    own = torch.arange(heads, device=query.device) // (heads // len(keys))
    logits: Tensor = (keys[own].float() @ query.float()[..., None])[..., 0] / dim**0.5
    return logits
