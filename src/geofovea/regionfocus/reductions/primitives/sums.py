"""Sums that do not depend on the order of their terms."""

from __future__ import annotations

import torch
from torch import Tensor

from geofovea.regionfocus.reductions.primitives.similarity import row_blocks

__all__ = ["summed", "summed_by"]


def summed(values: Tensor, dims: int | tuple[int, ...]) -> Tensor:
    """Sums added up in double precision and rounded to float32, where the device can.

    Sums of equal numbers are then equal, whatever the order in which they were added.
    """
    wide = torch.float32 if values.device.type == "mps" else torch.float64
    return values.sum(dims, dtype=wide).float()


def summed_by(values: Tensor, label: Tensor, count: int) -> Tensor:
    """Sums of ``(m, d)`` values by label ``(m,)``, float32 ``(count, d)``.

    A product of matrices, since scattered additions come in any order on an accelerator; in blocks,
    so that no table of all labels by all values is held.
    """
    every = torch.arange(count, device=label.device)
    values = values.float()
    sums = values.new_empty(count, values.shape[1])
    for block in row_blocks(count, len(label)):
        sums[block] = (label == every[block, None]).float() @ values
    return sums
