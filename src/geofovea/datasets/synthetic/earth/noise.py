"""Smooth noise over the plane: a function of a seed and a place, computed where it is asked for.

Values of a lattice are hashed from its whole coordinates, so that no array of the whole scene ever
exists and a place has the same value in whatever window it is computed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "Field", "fractal", "hashed", "smooth_noise"]

Axis = NDArray[np.floating[Any]]
"""Coordinates along one axis."""

Field = NDArray[np.floating[Any]]
"""Values of shape (len(y), len(x))."""


def hashed(columns: NDArray[Any], rows: NDArray[Any], seed: int) -> NDArray[np.uint32]:
    """A number in 0 to 2**32 - 1 for each lattice point; ``columns`` and ``rows`` broadcast.

    The mixing steps are those of the finalizer of MurmurHash3 (Appleby, public domain).
    """
    # whole numbers wrap around on purpose, without a warning, in arrays
    value = np.asarray(columns).astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    value = value + np.asarray(rows).astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    value = value + np.array(seed % 2**32, np.uint32)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        value = (value ^ (value >> np.uint32(shift))) * np.uint32(factor)
    mixed: NDArray[np.uint32] = value ^ (value >> np.uint32(16))
    return mixed


def smooth_noise(x: Axis, y: Axis, seed: int, wave: float) -> Field:
    """Value noise in [-1, 1] whose lattice has a pitch of ``wave``."""
    column, along_x = _place(x, wave)
    row, along_y = _place(y, wave)
    columns = np.arange(column[0], column[-1] + 2)
    rows = np.arange(row[0], row[-1] + 2)
    lattice = hashed(columns[None], rows[:, None], seed).astype(np.float32) * np.float32(2**-31)
    lattice -= np.float32(1)
    column -= column[0]
    row -= row[0]
    left, right = lattice[:, column], lattice[:, column + 1]
    lines = left + (right - left) * along_x
    upper, lower = lines[row], lines[row + 1]
    field: Field = upper + (lower - upper) * along_y[:, None]
    return field


def fractal(x: Axis, y: Axis, seed: int, wave: float, octaves: int, finest: float = 0.0) -> Field:
    """A sum of octaves of noise, about in [-1, 1]; each is half as long and half as strong.

    Args:
        x: Rising coordinates along rows.
        y: Rising coordinates along columns.
        seed: Of the noise.
        wave: Pitch of the longest octave.
        octaves: Number of them.
        finest: Octaves shorter than this are left out: their mean over a pixel is zero.
    """
    total = smooth_noise(x, y, seed, wave)
    weight = 1.0
    for octave in range(1, octaves):
        wave, weight = wave / 2, weight / 2
        if wave < finest:
            break
        total += np.float32(weight) * smooth_noise(x, y, seed + 101 * octave, wave)
    return total


def _place(axis: Axis, wave: float) -> tuple[NDArray[np.int64], Field]:
    """Lattice cell of each coordinate, and how far it lies in it, eased at both ends."""
    scaled = axis / wave
    cell = np.floor(scaled)
    t = (scaled - cell).astype(np.float32)
    return cell.astype(np.int64), t * t * (3 - 2 * t)
