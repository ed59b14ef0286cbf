"""From a LLaVA of the original layout to a folder that stock ``transformers`` loads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import read_json
from geofovea.pipeline.hosts.families.llava import llava_prompt
from geofovea.pipeline.hosts.original.configuration import (
    GEOCHAT,
    IMAGE_MARKS,
    LINEAR,
    answer_rules,
    host_settings,
    projector_activation,
    stock_config,
)
from geofovea.pipeline.hosts.original.stock_weights import check_weights
from geofovea.pipeline.hosts.original.tower import (
    SIGLIP,
    image_colors,
    resized_positions,
    sized_as_trained,
    tower_folder,
    vision_config,
)
from geofovea.pipeline.hosts.original.weights import (
    EMBEDDINGS,
    HEAD,
    NEWLINE,
    POSITIONS,
    PROJECTOR,
    hub_name,
    shapes_of,
    tower_of,
    two_layers,
    unread_of_siglip,
    weights_of,
)
from geofovea.pipeline.hosts.original.written_folder import (
    tokenizer_of,
    write_json,
    write_weights,
)
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD

__all__ = ["IMAGE_WORD", "write_llava"]

IMAGE_WORD = "<image>"


def write_llava(
    files: list[Path], config: dict[str, Any], source: Path, part: Path, tower: str | None
) -> None:
    """Write the same model in the layout of stock ``transformers``.

    Args:
        files: Its weights.
        config: Its ``config.json``.
        source: Its folder.
        part: The folder to write.
        tower: Folder or hub id of the vision tower; None takes the one that the model names, unless
            it holds one.

    Raises:
        ModelError: If it lacks a part, or has one that the stock class does not.
    """
    held = shapes_of(files)
    own = any(name.startswith("vision_tower.") for name in held)
    _check_projector(config, held, source)
    folder = tower_folder(tower or _named_tower(source, config["mm_vision_tower"]))
    vision = vision_config(folder)
    if POSITIONS in held:
        vision = sized_as_trained(vision, held[POSITIONS][0])
    _check_layer(config, vision, source)
    rows = held.get(EMBEDDINGS, (0,))[0]
    tokenizer = _write_tokenizer(source, part, config, rows)
    image_id = int(tokenizer.convert_tokens_to_ids(IMAGE_WORD))
    vocabulary = max(len(tokenizer), rows)
    made = stock_config(config, vision, image_id, vocabulary)
    write_json(part / "config.json", made)
    processor = _processor(vision["model_type"], made["vision_config"]["image_size"])
    write_json(part / "preprocessor_config.json", processor | image_colors(folder))
    prompt = llava_prompt(made["text_config"]["model_type"], tokenizer.all_special_tokens)
    if settings := host_settings(config, prompt):
        write_json(part / SETTINGS_FILE, settings)
    rules = source / "generation_config.json"
    kept = answer_rules(config, read_json(rules) if rules.is_file() else {})
    write_json(part / rules.name, kept)
    weights = _extended(_all_weights(files, folder, own=own), vocabulary)
    if config["model_type"] == GEOCHAT:
        patches = made["vision_config"]["image_size"] // made["vision_config"]["patch_size"]
        weights = _resized(weights, patches)
    unread = _unread(made)
    weights = ((name, tensor) for name, tensor in weights if not name.startswith(unread))
    if made["projector_hidden_act"] == LINEAR:
        weights = two_layers(weights)
    _check_all(made, write_weights(part, weights), source)


def _unread(made: dict[str, Any]) -> tuple[str, ...]:
    """What names of weights begin with that lie in files and that the stock model must not have."""
    vision = made["vision_config"]
    unread: tuple[str, ...] = (NEWLINE,) if made["model_type"] == "llava" else ()
    # it would keep the stock class from tying it
    unread += (HEAD,) if made["tie_word_embeddings"] else ()
    if vision["model_type"] == SIGLIP:
        unread += unread_of_siglip(vision["num_hidden_layers"])
    return unread


def _check_layer(config: dict[str, Any], vision: dict[str, Any], source: Path) -> None:
    layer = config.get("mm_vision_select_layer", -2)
    if vision["model_type"] == SIGLIP and layer != -2:
        raise ModelError(
            f"{source} has mm_vision_select_layer = {layer} and a SigLIP, of which LLaVA-NeXT "
            "takes the last layer but one whatever stands there, and other code does not: write "
            "-2 into its config.json if it was trained by LLaVA-NeXT, or serve it with its own "
            "code and name it by openai:NAME"
        )


def _check_projector(
    config: dict[str, Any], held: Mapping[str, tuple[int, ...]], source: Path
) -> None:
    """Refuse two layers without the function between them: no shape would tell."""
    if projector_activation(config) == LINEAR and f"{PROJECTOR}linear_2.weight" in held:
        raise ModelError(
            f"{source} has mm_projector_type = {config.get('mm_projector_type')!r}, a projector of "
            "one layer, and its weights hold one of two (model.mm_projector.2): copy or download "
            "its config.json again, or write mlp2x_gelu there if it was trained so"
        )


def _named_tower(source: Path, tower: object) -> str:
    """A tower that is named relative to the model's folder, or as it is named.

    Raises:
        ModelError: If none is named.
    """
    if not isinstance(tower, str) or not tower.strip():
        raise ModelError(
            f"the config.json of {source} names no vision tower (mm_vision_tower = {tower!r}): "
            "name the one that it was trained with by --tower, a folder or a hub id"
        )
    near = source / tower
    return str(near) if near.is_dir() else tower


def _all_weights(files: list[Path], folder: Path, *, own: bool) -> Iterator[tuple[str, Tensor]]:
    yield from weights_of(files)
    if not own:
        yield from tower_of(sorted(folder.glob("*.safetensors")))


def _resized(weights: Iterator[tuple[str, Tensor]], patches: int) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights:
        yield name, resized_positions(tensor, patches) if name == POSITIONS else tensor


def _extended(
    weights: Iterator[tuple[str, Tensor]], vocabulary: int
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights:
        if name in (EMBEDDINGS, HEAD):
            # no mean of rows is ever likelier than the likeliest of them
            mean = tensor.float().mean(0, keepdim=True).to(tensor.dtype)
            yield name, torch.cat([tensor, mean.expand(vocabulary - len(tensor), -1)])
        else:
            yield name, tensor


def _check_all(config: dict[str, Any], shapes: dict[str, torch.Size], source: Path) -> None:
    """Refuse what the stock class would fill with random numbers, before it is kept."""
    if not any(name.startswith("vision_tower.") for name in shapes):
        raise ModelError(f"no weights of a vision tower were found for {source}; name it: --tower")
    check_weights(config, shapes, source, hub_name)


def _write_tokenizer(source: Path, part: Path, config: dict[str, Any], rows: int) -> Any:
    """Copy the tokenizer with a word for images; what was written.

    Raises:
        ModelError: If it lacks words that the prompts of the model need.
    """
    tokenizer = tokenizer_of(source)
    if config.get("mm_use_im_start_end"):
        ids = tokenizer.convert_tokens_to_ids(list(IMAGE_MARKS))
        if any(i in (None, tokenizer.unk_token_id) or i >= rows for i in ids):
            raise ModelError(
                f"{source} puts {' and '.join(IMAGE_MARKS)} around images (mm_use_im_start_end), "
                "and its tokenizer or its embeddings do not know them; copy or download it again"
            )
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_WORD]})
    tokenizer.save_pretrained(part)
    return tokenizer


def _processor(kind: str, side: int) -> dict[str, Any]:
    if kind == SIGLIP:
        return {
            "image_processor_type": "SiglipImageProcessor",
            "image_mean": [0.5] * 3,
            "image_std": [0.5] * 3,
            "size": {"height": side, "width": side},
        }
    return {
        "image_processor_type": "CLIPImageProcessor",
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
    }
