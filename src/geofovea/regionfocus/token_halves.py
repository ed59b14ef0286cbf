"""The tokens of a look in two halves, each of which a model reads without the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from geofovea.regionfocus.tokens import TokenSet

__all__ = ["halves_of", "joined_halves", "split_half"]


def halves_of(tokens: TokenSet) -> list[Tensor]:
    """Indices of the tokens of the first half of the tiles, and of those of the second.

    Returns:
        Two times int64 ``(some,)``; nothing where there is one tile, which a model reads as a
        whole.
    """
    count = len(tokens.tiles)
    if count < 2:
        return []
    is_first = tokens.tile_index < (count + 1) // 2
    return [is_first.nonzero()[:, 0], (~is_first).nonzero()[:, 0]]


def joined_halves(rows: Sequence[Tensor], halves: Sequence[Tensor]) -> Tensor:
    """What the two halves get, as shares of all tokens.

    Each half weighs as much as it has tokens, so that a sink in one takes nothing from the other.

    Args:
        rows: ``(..., some)``, shares of the tokens of each half.
        halves: Indices of these tokens; see `halves_of`.

    Returns:
        ``(..., n)``.
    """
    count = sum(map(len, halves))
    joined = rows[0].new_zeros((*rows[0].shape[:-1], count))
    for shares, indices in zip(rows, halves, strict=True):
        joined[..., indices.to(joined.device)] = shares * (len(indices) / count)
    return joined


def split_half(joined: Tensor, half: Tensor) -> Tensor:
    """The shares of the tokens of one half, ``(..., some)``, as they went into `joined_halves`."""
    return joined[..., half] * (joined.shape[-1] / len(half))
