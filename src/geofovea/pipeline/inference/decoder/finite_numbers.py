"""What a model makes has to be numbers; some weights need more range than a dtype has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["check_finite"]


def check_finite(values: Tensor, name: str, decoder: Any) -> None:
    """Refuse infinite and undefined numbers, which would be taken for an answer.

    Args:
        values: Of any shape.
        name: Of the model that made them.
        decoder: Its text model.

    Raises:
        ModelError: If there is one.
    """
    if not bool(torch.isfinite(values).all()):
        raise ModelError(
            f"{name} makes numbers that are not finite, in {decoder.dtype}; load it with --dtype "
            "bfloat16 or float32, or copy or download it again"
        )
