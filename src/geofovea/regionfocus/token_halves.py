"""The tokens of a look in two halves, each of which a model reads without the other."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from geofovea.regionfocus.attention_mode import MOST_HALVINGS
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["halvings_of", "joined_halves", "split_half"]


def halvings_of(tokens: TokenSet, count: int = MOST_HALVINGS) -> list[list[Tensor]]:
    """Ways to divide the tiles into halves: the first ones and the others, then by turns.

    A patch that is elsewhere among other tokens may happen to touch its old place; in both ways it
    hardly does.

    Args:
        tokens: The n tokens.
        count: How many of these ways, at most ``MOST_HALVINGS``.

    Returns:
        For each way the indices of the tokens of both halves, int64 ``(some,)``; no way where there
        is one tile, which a model reads as a whole.
    """
    tiles = len(tokens.tiles)
    if tiles < 2:
        return []
    ways = (tokens.tile_index < (tiles + 1) // 2, tokens.tile_index % 2 == 0)
    return [[some.nonzero()[:, 0], (~some).nonzero()[:, 0]] for some in ways[:count]]


def joined_halves(rows: Sequence[Tensor], halves: Sequence[Tensor]) -> Tensor:
    """What two halves get, as shares of all tokens.

    Each half weighs as much as it has tokens, so that a sink in one takes nothing from the other.

    Args:
        rows: ``(..., some)``, shares of the tokens of each half.
        halves: Indices of these tokens; see `halvings_of`.

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
