"""Even choices for when no score prefers one place to another."""

from __future__ import annotations

from collections.abc import Sequence

from geofovea.tiling.pyramid import Tile

__all__ = ["even_positions", "spread_tiles"]


def even_positions(total: int, count: int) -> list[int]:
    """``count`` evenly spaced indices below ``total``: ``floor((i + 0.5) * total / count)``.

    All indices when ``count >= total``; none when ``count <= 0``.
    """
    if count >= total:
        return list(range(total))
    return [(2 * i + 1) * total // (2 * count) for i in range(count)]


def spread_tiles(tiles: Sequence[Tile], count: int) -> list[Tile]:
    """``count`` of the tiles of one level, spread over the plane, in reading order.

    Every n-th tile in reading order would fall into few columns whenever n divides the row; along
    a Z-order curve the same stride spreads over both axes.
    """
    along_curve = sorted(tiles, key=lambda tile: _interleave(tile.row, tile.col))
    return sorted(along_curve[i] for i in even_positions(len(along_curve), count))


def _interleave(row: int, col: int) -> int:
    # read as base four, a binary number has a free bit after each of its own
    return 2 * int(f"{row:b}", 4) + int(f"{col:b}", 4)
