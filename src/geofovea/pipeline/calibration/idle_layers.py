"""Makes a checkpoint whose attention points in one known layer only, by adding idle layers.

An idle layer adds nothing to what passes through it, so the model answers as before. Its queries
and keys are random, so its attention points nowhere. The result is an ordinary checkpoint.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import DataError
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tensor_files import write_tensors

__all__ = ["write_with_idle_layers"]

_LAYER = re.compile(r"(.*language_model\.model\.layers\.)(\d+)\.(.*)")
_WEIGHTS = "model.safetensors"
_SILENT = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
_RANDOM = ("self_attn.q_proj.weight", "self_attn.k_proj.weight")
_FOCUS_FILES = ("region_focus.json", "region_focus.safetensors")
_LOUDNESS = 0.15


def write_with_idle_layers(
    source: Path, folder: Path, *, good_layer: int, place: int, depth: int, seed: int
) -> None:
    """Write a checkpoint with idle layers before and after the one that points.

    Args:
        source: Folder of the embedded model, or of one like it.
        folder: To fill.
        good_layer: The layer of ``source`` whose attention points.
        place: Where that layer stands in the new decoder; at least ``good_layer``.
        depth: Layers of the new decoder.
        seed: Of the random queries and keys.

    Raises:
        DataError: If the layers do not fit into the depth.
        OutputError: If a file cannot be written.
    """
    config = json_of(source / "config.json")
    layers = int(config["text_config"]["num_hidden_layers"])
    if not good_layer <= place <= depth - (layers - good_layer):
        raise DataError(
            f"a layer that is number {good_layer} of {layers} cannot be number {place} of {depth}"
        )
    new_place = {
        i: i if i < good_layer else place if i == good_layer else depth - layers + i
        for i in range(layers)
    }
    make_folder(folder)
    weights = load_file(source / _WEIGHTS)
    idle_places = sorted(set(range(depth)) - set(new_place.values()))
    new_weights = _moved(weights, new_place) | _idle_layers(weights, idle_places, seed)
    write_tensors(folder / _WEIGHTS, new_weights, {"format": "pt"})
    text = config["text_config"]
    text |= {"num_hidden_layers": depth, "layer_types": ["full_attention"] * depth}
    write_text(folder / "config.json", json.dumps(config))
    settings = json_of(source / SETTINGS_FILE)
    for key in ("focus_layer", "focus", "calibration"):
        settings.pop(key, None)
    write_text(folder / SETTINGS_FILE, json.dumps(settings))
    others = {_WEIGHTS, "config.json", SETTINGS_FILE, *_FOCUS_FILES}
    for path in source.iterdir():
        if path.suffix in (".json", ".safetensors") and path.name not in others:
            shutil.copyfile(path, folder / path.name)


def _moved(weights: dict[str, Tensor], new_place: dict[int, int]) -> dict[str, Tensor]:
    moved = {}
    for name, weight in weights.items():
        match = _LAYER.fullmatch(name)
        name = f"{match[1]}{new_place[int(match[2])]}.{match[3]}" if match else name
        moved[name] = weight
    return moved


def _idle_layers(weights: dict[str, Tensor], places: list[int], seed: int) -> dict[str, Tensor]:
    """Weights of idle layers at some places of a decoder, in the shapes of its first layer."""
    generator = torch.Generator().manual_seed(seed)
    first = [(m, w) for n, w in weights.items() if (m := _LAYER.fullmatch(n)) and int(m[2]) == 0]
    return {
        f"{match[1]}{place}.{match[3]}": _idle(match[3], weight, generator)
        for place in places
        for match, weight in first
    }


def _idle(part: str, weight: Tensor, generator: torch.Generator) -> Tensor:
    if part in _SILENT:
        return torch.zeros_like(weight)
    if part in _RANDOM:
        return (_LOUDNESS * torch.randn(weight.shape, generator=generator)).to(weight.dtype)
    return weight.clone()
