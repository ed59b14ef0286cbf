"""A lattice of samples over the ground, and smooth fields interpolated there from a few nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.earth.noise import Axis, Field

__all__ = ["Samples", "whole_steps"]

_NODE = 32
"""Ground units between nodes of a field, at least; its shortest waves are three times as long."""


@dataclass(frozen=True, slots=True)
class Samples:
    """A lattice of samples: whole numbers of its first one, and ground units between two.

    Attributes:
        col: Column of the first.
        row: Row of the first.
        width: Columns.
        height: Rows.
        step: Ground units from one to the next, a power of two.
    """

    col: int
    row: int
    width: int
    height: int
    step: int

    @property
    def x(self) -> Axis:
        """Middles of the columns."""
        return (np.arange(self.col, self.col + self.width) + 0.5) * self.step

    @property
    def y(self) -> Axis:
        """Middles of the rows."""
        return (np.arange(self.row, self.row + self.height) + 0.5) * self.step

    @property
    def finest(self) -> float:
        """The shortest wave that samples at this distance can show."""
        return 3.0 * self.step

    @property
    def _per_node(self) -> int:
        return max(_NODE // self.step, 2)

    @property
    def nodes(self) -> tuple[Axis, Axis]:
        """Coordinates of the nodes around these samples, the same for all windows of a level."""
        pitch = self._per_node
        across = np.arange(self.col // pitch, (self.col + self.width - 1) // pitch + 2)
        down = np.arange(self.row // pitch, (self.row + self.height - 1) // pitch + 2)
        return across * float(pitch * self.step), down * float(pitch * self.step)

    def field(self, function: Callable[[Axis, Axis], Field]) -> Field:
        """A function of the place at every sample, float32 (height, width)."""
        return self.drawn_out(function(*self.nodes))

    def drawn_out(self, values: Field) -> Field:
        """Values at the samples, interpolated linearly between the nodes."""
        pitch = self._per_node
        part = ((np.arange(pitch) + 0.5) / pitch).astype(np.float32)
        left, top = self.col % pitch, self.row % pitch
        across = values[:, 1:] - values[:, :-1]
        lines = np.empty((*across.shape, pitch), values.dtype)
        for number, share in enumerate(part):
            # long steps with a stride; an inner loop over the few samples of a node is slower
            np.multiply(across, share, out=lines[..., number])
            lines[..., number] += values[:, :-1]
        lines = lines.reshape(len(values), -1)[:, left : left + self.width]
        upper = lines[:-1, None]
        field = (lines[1:, None] - upper) * part[:, None]
        field += upper
        return field.reshape(-1, self.width)[top : top + self.height]


def whole_steps(axis: Field, step: int) -> NDArray[np.int32]:
    """Whole steps in coordinates, in their shape; a ``step`` is a power of two, so it is exact."""
    scaled = axis * np.float32(1 / step)
    whole: NDArray[np.int32] = np.floor(scaled, out=scaled).astype(np.int32)
    return whole
