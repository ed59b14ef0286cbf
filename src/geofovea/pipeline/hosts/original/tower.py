"""The vision tower that a LLaVA of the original layout names: in a folder, or on the hub."""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import check_files, read_json
from geofovea.pipeline.inference.vision.image_processor import ImageProcessor
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD
from geofovea.tiling.machine.system_errors import first_line

__all__ = [
    "SIGLIP",
    "image_colors",
    "resized_positions",
    "sized_as_trained",
    "tower_folder",
    "vision_config",
]

_SECONDS = 10
_PROCESSOR = "preprocessor_config.json"
_FILES = ["config.json", _PROCESSOR, "*.safetensors", "*.safetensors.index.json"]
SIGLIP = "siglip_vision_model"
_KINDS = {"clip": "clip_vision_model", "siglip": SIGLIP}
_KINDS |= {kind: kind for kind in _KINDS.values()}
_SIZES = ("image_size", "patch_size", "num_hidden_layers")
_COLORS = ("image_mean", "image_std", "do_normalize", "do_rescale", "rescale_factor")


def tower_folder(name: str) -> Path:
    """The folder of a vision tower.

    Args:
        name: A folder, or a hub id, which is downloaded unless it is there.

    Raises:
        ModelError: If there is none, the hub does not answer, or its weights are pickled.
    """
    folder = Path(name)
    if not folder.is_dir():
        folder = _from_hub(name)
    if not (folder / "config.json").exists():
        raise ModelError(f"the folder {folder} holds no vision tower (config.json); {_what(name)}")
    check_files(str(folder), read_json(folder / "config.json"))
    if not any(folder.glob("*.safetensors")):
        raise ModelError(f"the vision tower {name} holds no safetensors; {_what(name)}")
    return folder


def vision_config(folder: Path) -> dict[str, Any]:
    """What the ``config.json`` of a tower says of its vision side, as a stock LLaVA has it.

    Of a SigLIP the original code takes neither the last layer nor the head.

    Raises:
        ModelError: If it is neither a CLIP nor a SigLIP.
    """
    config = read_json(folder / "config.json")
    part = config.get("vision_config", config)
    named = part.get("model_type", config.get("model_type")) if isinstance(part, dict) else None
    kind = _KINDS.get(str(named))
    if kind is None:
        raise ModelError(
            f"the vision tower in {folder} is a {named!r}, and stock LLaVA classes have a CLIP or "
            "a SigLIP: serve the model with the code of its authors and name it by openai:NAME"
        )
    stock = {**part, "model_type": kind, **_sizes(kind, part)}
    if kind == SIGLIP:
        stock |= {"num_hidden_layers": stock["num_hidden_layers"] - 1, "vision_use_head": False}
    return stock


def _sizes(kind: str, part: dict[str, Any]) -> dict[str, Any]:
    """Sizes of a tower; files leave out those that are usual."""
    from transformers import CLIPVisionConfig, SiglipVisionConfig

    make = SiglipVisionConfig if kind == SIGLIP else CLIPVisionConfig
    try:
        made = make.from_dict(part)
        sizes = {name: int(getattr(made, name)) for name in _SIZES}
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        raise ModelError(
            f"the config.json of the vision tower does not describe one ({first_line(error)}); "
            "copy or download it again"
        ) from error
    if min(sizes.values()) < 1:
        raise ModelError(
            f"the config.json of the vision tower has sizes below 1 ({sizes}); copy or download it "
            "again"
        )
    return sizes


def image_colors(folder: Path) -> dict[str, Any]:
    """What the image processor beside a tower says of colors, as far as it does.

    Raises:
        ModelError: If it is not JSON, or says something that no stock processor could do.
    """
    path = folder / _PROCESSOR
    record = read_json(path) if path.is_file() else {}
    ImageProcessor.of(record, CLIP_MEAN, CLIP_STD)
    return {key: record[key] for key in _COLORS if record.get(key) is not None}


def sized_as_trained(vision: dict[str, Any], positions: int) -> dict[str, Any]:
    """A tower for images of the size that its position embeddings were trained for.

    GeoChat's code enlarges a tower, and what it saves still names the tower that it began with.

    Args:
        vision: What the configuration of the tower says.
        positions: How many position embeddings the weights hold.
    """
    patches = positions - (vision["model_type"] != SIGLIP)
    side = isqrt(max(patches, 0))
    if not side or side**2 != patches or side == vision["image_size"] // vision["patch_size"]:
        # what is no square is refused by its shape later
        return vision
    return vision | {"image_size": side * vision["patch_size"]}


def resized_positions(table: Tensor, patches: int) -> Tensor:
    """Position embeddings (1 + n², d) of a tower for another number of patches, (1 + patches², d).

    GeoChat resizes those of CLIP for images of 504 pixels when it loads; this is how.
    """
    side = round((len(table) - 1) ** 0.5)
    # what is no table of a square and a class token is refused by its shape later
    if side in (0, patches) or len(table) != 1 + side**2:
        return table
    grid = table[1:].float().view(1, side, side, -1).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        grid, size=(patches, patches), mode="bicubic", align_corners=True
    )
    places = resized.permute(0, 2, 3, 1).reshape(patches**2, -1)
    return torch.cat([table[:1], places.to(table.dtype)])


def _from_hub(name: str) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    if name.count("/") != 1 or name.startswith((".", "/")):
        raise ModelError(f"there is no folder {name} with a vision tower; {_what(name)}")
    try:
        return Path(snapshot_download(name, allow_patterns=_FILES, local_files_only=True))
    except (OSError, ValueError):
        pass  # not here yet
    try:
        # asked once: downloads ask again and again where nobody answers
        HfApi().model_info(name, timeout=_SECONDS)
        return Path(snapshot_download(name, allow_patterns=_FILES))
    except Exception as error:  # its client raises those of several libraries
        reason = first_line(error)
        raise ModelError(
            f"the vision tower {name} is not on this machine, and the hub did not give it "
            f"({reason}); {_what(name)}"
        ) from error


def _what(name: str) -> str:
    return (
        f"download {name} elsewhere in safetensors, and name its folder with --tower, or correct "
        "mm_vision_tower in config.json"
    )
