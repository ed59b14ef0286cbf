"""Weights of the original layout, read a tensor at a time, under the names of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "EMBEDDINGS",
    "HEAD",
    "NEWLINE",
    "POSITIONS",
    "PROJECTOR",
    "converted_name",
    "hub_name",
    "shapes_of",
    "tensors_in",
    "tower_of",
    "two_layers",
    "unread_of_siglip",
    "weights_of",
]

EMBEDDINGS = "language_model.model.embed_tokens.weight"
HEAD = "language_model.lm_head.weight"
NEWLINE = "image_newline"
PROJECTOR = "multi_modal_projector."
POSITIONS = "vision_tower.vision_model.embeddings.position_embedding.weight"
_TOWER = "model.vision_tower.vision_tower."
_NAMES = (
    ("model.mm_projector.0.", f"{PROJECTOR}linear_1."),
    ("model.mm_projector.2.", f"{PROJECTOR}linear_2."),
    ("model.mm_projector.", f"{PROJECTOR}linear_1."),
    (_TOWER, "vision_tower."),
    ("model.image_newline", NEWLINE),
    ("model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
)
_IN_MEMORY = (
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.", ""),
)
# older releases kept what is computed from the configuration
_COMPUTED = ("rotary_emb.inv_freq", "embeddings.position_ids")


def converted_name(name: str) -> str | None:
    """The name that stock ``transformers`` reads; None for what it computes by itself.

    Raises:
        ModelError: If a LLaVA has no weight of that name.
    """
    if name.endswith(_COMPUTED):
        return None
    for original, stock in _NAMES:
        if name.startswith(original):
            return _nested(stock + name.removeprefix(original))
    raise ModelError(
        f"the weight {name} belongs to no part of a LLaVA; this is another model, or one with "
        "parts of its own (adapters have to be merged first), and cannot be converted"
    )


def hub_name(name: str) -> str:
    """The name in files of the hub of what a stock LLaVA in memory has under another one."""
    for stock, in_file in _IN_MEMORY:
        if name.startswith(stock):
            return _nested(in_file + name.removeprefix(stock))
    return name


def two_layers(weights: Iterable[tuple[str, Tensor]]) -> Iterator[tuple[str, Tensor]]:
    """Weights with a projector of one layer, and behind it a second that changes nothing."""
    for name, tensor in weights:
        yield name, tensor
        if name == f"{PROJECTOR}linear_1.weight":
            yield f"{PROJECTOR}linear_2.weight", torch.eye(len(tensor), dtype=tensor.dtype)
            yield f"{PROJECTOR}linear_2.bias", torch.zeros(len(tensor), dtype=tensor.dtype)


def unread_of_siglip(layers: int) -> tuple[str, ...]:
    """What names of the weights begin with that the original code does not use.

    Args:
        layers: Of the tower, without the last one.
    """
    tower = "vision_tower.vision_model."
    return (f"{tower}encoder.layers.{layers}.", f"{tower}head.")


def shapes_of(files: list[Path]) -> dict[str, tuple[int, ...]]:
    """Shapes of all weights under their converted names, without reading a number.

    Raises:
        ModelError: If a file is damaged, or holds a weight of another model.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        with _opened(path) as reader:
            for name in reader.keys():  # noqa: SIM118
                if stock := converted_name(name):
                    shapes[stock] = tuple(reader.get_slice(name).get_shape())
    return shapes


def weights_of(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """All weights under their converted names, one in memory at a time.

    Raises:
        ModelError: If a file is damaged, or holds a weight of another model.
    """
    for path in files:
        for name, tensor in tensors_in(path):
            if stock := converted_name(name):
                yield stock, tensor


def tower_of(files: list[Path]) -> Iterator[tuple[str, Tensor]]:
    """Weights of a vision tower that lies in a folder of its own.

    Raises:
        ModelError: If a file is damaged.
    """
    for path in files:
        for name, tensor in tensors_in(path):
            # a CLIP of both sides holds a text tower, too
            is_vision = name.startswith(
                ("vision_model.", "embeddings.", "encoder.", "pre_", "post_")
            )
            if is_vision and not name.endswith(_COMPUTED):
                yield _nested(f"vision_tower.{name}"), tensor


def _nested(name: str) -> str:
    """Towers were saved with and without the name of their inner part; the hub has it."""
    start = "vision_tower."
    if name.startswith(start) and not name.startswith(f"{start}vision_model."):
        return f"{start}vision_model.{name.removeprefix(start)}"
    return name


def tensors_in(path: Path) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a file under their own names, one in memory at a time.

    Raises:
        ModelError: If it is damaged.
    """
    with _opened(path) as reader, torch.inference_mode():
        for name in reader.keys():  # noqa: SIM118
            yield name, reader.get_tensor(name)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with safe_open(path, "pt") as reader:
            yield reader
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{path} is damaged ({reason_of(error)}); copy or download it again"
        ) from error
