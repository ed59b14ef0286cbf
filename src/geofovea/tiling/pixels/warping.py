"""Pixels of one grid sampled at places of another: the map between them, and the sampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["mapped_grid", "sample_bilinear"]

Points = NDArray[np.float64]
RGB = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_FIRST_PARTS = 4
_MOST_PARTS = 64
# of an output pixel; gdalwarp allows 0.125
_TOLERANCE = 0.05


def mapped_grid(
    move: Callable[[Points], Points],
    origin: tuple[float, float],
    step: tuple[float, float],
    shape: tuple[int, int],
) -> Points:
    """Where the centers of the pixels of a grid lie in another frame.

    The map is computed on a coarse mesh and interpolated, as ``gdalwarp`` does. The mesh becomes
    finer until it is true to a twentieth of a pixel; where it never is, or leaves the map, every
    pixel is computed.

    Args:
        move: Moves points ``(n, 2)`` of the frame of the grid into the other frame.
        origin: ``(x, y)`` of the grid's top-left corner.
        step: ``(x, y)`` size of one of its pixels.
        shape: ``(rows, cols)``.

    Returns:
        float64 ``(rows, cols, 2)`` as (x, y); NaN where a pixel has no place.
    """

    def at(rows: Points, cols: Points) -> Points:
        x, y = np.meshgrid(origin[0] + (cols + 0.5) * step[0], origin[1] + (rows + 0.5) * step[1])
        points = np.column_stack((x.ravel(), y.ravel()))
        return move(points).reshape(len(rows), len(cols), 2)

    ends = [np.arange(size, dtype=np.float64) for size in shape]
    parts = _FIRST_PARTS
    while parts <= _MOST_PARTS and 4 * parts * parts < shape[0] * shape[1]:
        fine = [np.linspace(0, size - 1, 2 * parts + 1) for size in shape]
        nodes = at(*fine)
        if not np.isfinite(nodes).all():
            break
        coarse = _interpolated(nodes[::2, ::2], fine[0][::2], fine[1][::2], *fine)
        if np.abs(coarse - nodes).max() <= _TOLERANCE * _pixel_of(nodes, shape):
            return _interpolated(nodes, *fine, *ends)
        parts *= 2
    return at(*ends)


def _pixel_of(nodes: Points, shape: tuple[int, int]) -> float:
    """The size of a pixel of the grid in the other frame, along its shorter axis."""
    sizes = [
        np.hypot(*np.diff(nodes, axis=axis).reshape(-1, 2).T).mean()
        * (nodes.shape[axis] - 1)
        / max(1, shape[axis] - 1)
        for axis in (0, 1)
        if shape[axis] > 1
    ]
    return float(min(sizes, default=1.0))


def _interpolated(
    nodes: Points, rows: Points, cols: Points, at_rows: Points, at_cols: Points
) -> Points:
    """Values ``(r, c, 2)`` on a mesh, bilinear at other rows and columns."""
    result: Points = np.einsum(
        "ar,rck,bc->abk", _weights(rows, at_rows), nodes, _weights(cols, at_cols), optimize=True
    )
    return result


def _weights(nodes: Points, places: Points) -> Points:
    """Weights ``(places, nodes)`` of a linear interpolation."""
    if nodes[-1] == nodes[0]:
        return np.tile(np.eye(1, len(nodes)), (len(places), 1))
    position = (places - nodes[0]) / (nodes[-1] - nodes[0]) * (len(nodes) - 1)
    low = np.clip(np.floor(position).astype(int), 0, len(nodes) - 2)
    share = position - low
    weights = np.zeros((len(places), len(nodes)))
    each = np.arange(len(places))
    weights[each, low] = 1 - share
    weights[each, low + 1] += share
    return weights


def sample_bilinear(rgb: RGB, valid: Mask, places: Points) -> tuple[NDArray[np.float32], Mask]:
    """A picture at some places of it.

    What is missing counts for nothing; a place of which more than half is missing is not valid.

    Args:
        rgb: ``(h, w, 3)``.
        valid: ``(h, w)``.
        places: ``(rows, cols, 2)`` as (x, y), where (0, 0) is the top-left corner of the picture,
            so that the center of its first pixel is (0.5, 0.5).

    Returns:
        float32 ``(rows, cols, 3)``, arbitrary where not valid; and which places are valid.
    """
    height, width = valid.shape
    x, y = places[..., 0], places[..., 1]
    with np.errstate(invalid="ignore"):
        inside = (x >= 0) & (y >= 0) & (x <= width) & (y <= height)
    # a center outside the outermost centers is that of the outermost pixel
    x = np.clip(np.where(inside, x, 0) - 0.5, 0, width - 1)
    y = np.clip(np.where(inside, y, 0) - 0.5, 0, height - 1)
    col, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    share_x, share_y = (x - col).astype(np.float32), (y - row).astype(np.float32)
    total = np.zeros((*inside.shape, 3), np.float32)
    known = np.zeros(inside.shape, np.float32)
    flat, flat_valid = rgb.reshape(-1, 3), valid.ravel()
    for down, across in ((0, 0), (0, 1), (1, 0), (1, 1)):
        index = np.minimum(row + down, height - 1) * width + np.minimum(col + across, width - 1)
        weight = (share_y if down else 1 - share_y) * (share_x if across else 1 - share_x)
        weight = weight * flat_valid[index]
        total += weight[..., None] * flat[index]
        known += weight
    total /= np.maximum(known, 1e-6)[..., None]
    return total, inside & (known >= 0.5)
