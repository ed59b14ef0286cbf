"""A decoder with low-rank differences in its matrices, beside the decoder that it is made from.

A part that changes the vision tokens also trains the decoder to read them. The search still needs
the decoder as it was. So there is a copy, which shares all parameters that no difference touches.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from geofovea.errors import ModelError

__all__ = ["LowRank", "adapted_decoder", "learnable_decoder", "low_rank_tensors"]

_DOWN, _UP = "down", "up"


class LowRank(nn.Module):
    """Adds ``up @ down`` to a matrix.

    Attributes:
        down: ``(rank, inputs)``.
        up: ``(outputs, rank)``, zero at the start.
    """

    def __init__(self, matrix: Tensor, rank: int) -> None:
        """A difference of a matrix ``(outputs, inputs)`` that is nothing yet."""
        super().__init__()
        outputs, inputs = matrix.shape
        self.down = nn.Parameter(torch.randn(rank, inputs) * inputs**-0.5)
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, matrix: Tensor) -> Tensor:
        """The matrix with the difference."""
        return matrix + (self.up @ self.down).to(matrix.dtype)


def learnable_decoder(decoder: Any, rank: int) -> Any:
    """A copy of a decoder in which only low-rank differences of its layers can learn."""
    learner = copy.deepcopy(decoder).requires_grad_(False)
    for module in list(learner.layers.modules()):
        if isinstance(module, nn.Linear):
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))
    return learner


def low_rank_tensors(learner: Any) -> dict[str, Tensor]:
    """The differences of a copy by ``MATRIX.down`` and ``MATRIX.up``."""
    tensors: dict[str, Tensor] = {}
    for name, module in learner.layers.named_modules():
        if isinstance(module, LowRank):
            matrix = name.removesuffix(".parametrizations.weight.0")
            tensors |= {f"{matrix}.{_DOWN}": module.down.detach()}
            tensors |= {f"{matrix}.{_UP}": module.up.detach()}
    return tensors


def adapted_decoder(decoder: Any, differences: Mapping[str, Tensor]) -> Any:
    """A decoder with differences; it shares all parameters that have none with the original.

    Raises:
        ModelError: If the decoder has no such matrix, or a difference has another shape.
    """
    names = sorted({name.rpartition(".")[0] for name in differences})
    changed = {f"layers.{name}.weight" for name in names}
    own = dict(decoder.named_parameters())
    if unknown := changed - own.keys():
        raise ModelError(f"the decoder has no matrix {min(unknown)}, which a trained part changes")
    shared = {id(value): value for name, value in own.items() if name not in changed}
    adapted = copy.deepcopy(decoder, shared)
    for name in names:
        weight = adapted.get_parameter(f"layers.{name}.weight")
        down, up = (differences[f"{name}.{which}"].to(weight.device) for which in (_DOWN, _UP))
        if up.shape[0] != weight.shape[0] or down.shape[1] != weight.shape[1]:
            raise ModelError(f"a trained part does not fit the matrix {name} of the decoder")
        weight.data += (up.float() @ down.float()).to(weight.dtype)
    return adapted
