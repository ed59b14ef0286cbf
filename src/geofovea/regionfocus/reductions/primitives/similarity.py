"""Cosine similarity that neither zero vectors nor smooth imagery can break, and a memory guard."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from geofovea.errors import BudgetError

__all__ = [
    "MOST_TOKENS",
    "broken_rows",
    "cosine_matrix",
    "refuse_quadratic",
    "row_blocks",
    "unit_rows",
    "without_noise",
]

MOST_TOKENS = 8192
"""Most tokens whose n × n table is held at once: 268 MB in float32."""

NOISE = 1e-6
"""Cosine distances below this are rounding errors of float32, and count as zero."""


def broken_rows(features: Tensor) -> Tensor:
    """Rows of ``(n, d)`` that hold a value that is not finite, bool ``(n,)``."""
    return ~features.isfinite().all(dim=1)


def unit_rows(features: Tensor, eps: float = 1e-12, broken: float = 0.0) -> Tensor:
    """Rows of ``(n, d)`` at length one, in float32; zero rows stay zero.

    Args:
        features: ``(n, d)``.
        eps: Least length to divide by.
        broken: What rows with a value that is not finite are filled with. NaN keeps them apart from
            rows that are like nothing.
    """
    x = features.detach().to(torch.float32)
    # the copy that zeroes broken rows is only made where there are any
    if bool((is_broken := broken_rows(x)).any()):
        x = x.masked_fill(is_broken[:, None], broken)
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    return x / norms.clamp_min(eps)


def cosine_matrix(features: Tensor) -> Tensor:
    """Cosine similarity of all pairs of rows of ``(n, d)``, float32 ``(n, n)``.

    A zero vector has similarity 0 to all, itself included.

    Raises:
        BudgetError: Above `MOST_TOKENS` rows.
    """
    refuse_quadratic(len(features), "a cosine matrix")
    unit = unit_rows(features)
    return unit @ unit.T


def refuse_quadratic(n: int, name: str, limit: int = MOST_TOKENS) -> None:
    """Refuse a table of n × n entries that is too large for memory.

    Raises:
        BudgetError: If ``n`` is above ``limit``.
    """
    if n > limit:
        raise BudgetError(
            f"{name} needs a table of {n} x {n} and takes at most {limit} tokens at a time; reduce "
            "tile by tile, or choose a linear method such as divprune, todre or fastervlm"
        )


def row_blocks(rows: int, cols: int, entries: int = 1 << 24) -> Iterator[slice]:
    """Slices over ``rows`` so that a block of them by ``cols`` has at most ``entries`` entries."""
    step = max(1, entries // max(1, cols))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def without_noise(distance: Tensor) -> Tensor:
    """Cosine distances, in their shape; those that float32 cannot tell from zero are zero."""
    return torch.where(distance < NOISE, 0, distance)
