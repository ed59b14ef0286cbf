"""Attention that tokens receive: from the class token, or from all queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import row_blocks

__all__ = [
    "HAS_MASS",
    "cls_row",
    "deepest",
    "mean_received",
    "patch_mass",
    "received_by_query",
    "received_from",
]

HAS_MASS = frozenset({"cls_attention", "received"})
"""Fields of a context of which `patch_mass` needs one."""


def cls_row(query: Tensor, keys: Tensor) -> Tensor:
    """Attention of the class token to the patches, by head.

    The softmax is over class token and patches; then the entry of the class token is dropped, so
    a row sums to less than 1. One query row: O(n · d · heads), no n × n table.

    Args:
        query: ``(heads, d)`` of the class token.
        keys: ``(heads, 1 + n, d)``, the class token first.

    Returns:
        float32 ``(heads, n)``.
    """
    q, k = query.to(torch.float32), keys.to(torch.float32)
    logits = (k @ q[:, :, None])[..., 0] / q.shape[-1] ** 0.5
    row: Tensor = logits.softmax(dim=-1)[:, 1:]
    return row


def mean_received(attention: Tensor) -> Tensor:
    """Mean over heads and queries of what each key receives, ``(heads, m, m)`` to ``(m,)``."""
    return attention.to(torch.float32).mean(dim=(0, 1))


def received_by_query(attention: Tensor) -> Tensor:
    """Mean attention received in a causal map, over the queries that see a token.

    A plain column sum favors early tokens, which more rows can see (normalization of ZipCache).

    Args:
        attention: ``(m, m)`` or ``(heads, m, m)``, lower triangular.

    Returns:
        float32 ``(m,)``.
    """
    table = attention.to(torch.float32)
    sums = table.reshape(-1, *table.shape[-2:]).mean(dim=0).sum(dim=0)
    return sums / torch.arange(len(sums), 0, -1, device=sums.device)


def received_from(queries: Tensor, keys: Tensor) -> Tensor:
    """`mean_received` from queries and keys ``(heads, m, d)``, in blocks: no m × m table."""
    q, k = queries.to(torch.float32), keys.to(torch.float32)
    heads, m, width = q.shape
    total = q.new_zeros(m)
    for block in row_blocks(m, m * heads):
        logits = q[:, block] @ k.transpose(1, 2) / width**0.5
        total += logits.softmax(dim=-1).sum(dim=(0, 1))
    return total / (heads * m)


def deepest(maps: Mapping[int, object], layer: int | None, what: str) -> int:
    """The layer that is asked for, or the deepest that there is.

    Raises:
        ModelError: If the asked layer is not there; the message lists those that are.
    """
    if layer is None and maps:
        return max(maps)
    if layer is None or layer not in maps:
        there = ", ".join(map(str, sorted(maps))) or "none"
        raise ModelError(f"no {what} of encoder layer {layer}; these are there: {there}")
    return layer


def patch_mass(context: TokenContext, layer: int | None = None) -> tuple[Tensor, dict[str, Any]]:
    """Attention that each token receives in one layer, and what to tell of it.

    The class token's, heads averaged. An encoder without a class token gives the mean over all
    queries instead, and ``info`` says so.

    Args:
        context: With one of `HAS_MASS`.
        layer: Encoder layer; the deepest that there is by default.

    Returns:
        float32 ``(n,)`` and an ``info`` of a `TokenChoice`.

    Raises:
        ModelError: If there is neither, or not of that layer.
    """
    if context.cls_attention:
        row = context.cls_attention[deepest(context.cls_attention, layer, "class attention")]
        return row.detach().to(torch.float32).reshape(-1, row.shape[-1]).mean(dim=0), {}
    received = context.received or {}
    row = received[deepest(received, layer, "received attention")]
    return row.detach().to(torch.float32), {"score": "received"}
