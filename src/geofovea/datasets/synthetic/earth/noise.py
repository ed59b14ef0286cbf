"""Smooth noise over the plane: a function of a seed and a place, computed only where needed.

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


def hashed(
    columns: NDArray[Any], rows: NDArray[Any], seed: int | NDArray[Any]
) -> NDArray[np.uint32]:
    """A number in 0 to 2**32 - 1 for each lattice point; all arguments broadcast.

    The mixing steps are those of the finalizer of MurmurHash3 (Appleby, public domain).
    """
    # whole numbers wrap around on purpose, without a warning, in arrays
    value = np.asarray(columns).astype(np.int64).astype(np.uint32) * np.uint32(0x9E3779B1)
    value = value + np.asarray(rows).astype(np.int64).astype(np.uint32) * np.uint32(0x85EBCA77)
    value = value + np.asarray(seed % 2**32).astype(np.uint32)
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
    upper, field = lines[row], lines[row + 1]
    # in place: memory that is touched for the first time costs more than the arithmetic
    field -= upper
    field *= along_y[:, None]
    field += upper
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
    waves = [wave / 2**n for n in range(octaves)]
    waves = [wave for n, wave in enumerate(waves) if n == 0 or wave >= finest]
    layers = _few_octaves if x.size * y.size <= _FEW else _many_octaves
    total, *others = layers(x, y, [(seed + 101 * n, wave) for n, wave in enumerate(waves)])
    for octave, layer in enumerate(others, 1):
        layer *= np.float32(0.5**octave)
        total += layer
    return total


_Octaves = list[tuple[int, float]]
"""Seed and wave of each octave."""

_FEW = 2048
"""Places for which it is faster to hash the corners of each than to hash a lattice by octaves."""


def _many_octaves(x: Axis, y: Axis, octaves: _Octaves) -> list[Field]:
    return [smooth_noise(x, y, seed, wave) for seed, wave in octaves]


def _few_octaves(x: Axis, y: Axis, octaves: _Octaves) -> list[Field]:
    """What `_many_octaves` gives, to the bit, in fewer and larger steps."""
    waves = np.array([wave for _, wave in octaves])[:, None]
    column, along_x = _place(x[None], waves)
    row, along_y = _place(y[None], waves)
    corners = np.stack([column, column + 1, column, column + 1])[:, :, None]
    lower = np.stack([row, row, row + 1, row + 1])[..., None]
    seeds = np.array([seed % 2**32 for seed, _ in octaves])[:, None, None]
    values = hashed(corners, lower, seeds).astype(np.float32) * np.float32(2**-31)
    values -= np.float32(1)
    upper_left, upper_right, lower_left, lower_right = values
    along_x = along_x[:, None]
    above = upper_left + (upper_right - upper_left) * along_x
    below = lower_left + (lower_right - lower_left) * along_x
    return list(above + (below - above) * along_y[..., None])


def _place(axis: Axis, wave: float | Axis) -> tuple[NDArray[np.int64], Field]:
    """Lattice cell of each coordinate, and how far it lies in it, eased at both ends."""
    scaled = axis / wave
    cell = np.floor(scaled)
    t = (scaled - cell).astype(np.float32)
    return cell.astype(np.int64), t * t * (3 - 2 * t)
