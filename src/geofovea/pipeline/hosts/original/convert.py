"""From a LLaVA of the original layout to a folder that stock ``transformers`` loads."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from geofovea.errors import ModelError, OutputError
from geofovea.pipeline.hosts.checkpoint import check_files, quiet_transformers, read_json
from geofovea.pipeline.hosts.original.configuration import stock_config
from geofovea.pipeline.hosts.original.layout import check_convertible
from geofovea.pipeline.hosts.original.tower import resized_positions, tower_folder, vision_config
from geofovea.pipeline.hosts.original.weights import EMBEDDINGS, HEAD, tower_of, weights_of
from geofovea.pipeline.inference.vision.pixels import CLIP_MEAN, CLIP_STD

__all__ = ["convert_llava"]

IMAGE_WORD = "<image>"
_SHARD_BYTES = 2**31
_POSITIONS = "embeddings.position_embedding.weight"


def convert_llava(source: Path, output: Path, tower: str | None = None) -> Path:
    """Write a folder with the same model in the layout of stock ``transformers``.

    Weights are copied a tensor at a time, so memory is that of one file of 2 GiB.

    Args:
        source: Folder with ``config.json``, safetensors and a tokenizer.
        output: Folder to write; it must not exist.
        tower: Folder or hub id of the vision tower; None takes the one that the model names, unless
            it holds one.

    Returns:
        The folder that was written.

    Raises:
        ModelError: If it is no such model, is built otherwise, lacks a part, or is pickled.
        OutputError: If the output exists or cannot be written.
    """
    if not (source / "config.json").is_file():
        raise ModelError(f"the folder {source} holds no config.json of a model")
    config = read_json(source / "config.json")
    check_convertible(str(source), config)
    check_files(str(source), config)
    files = sorted(source.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{source} holds no weights in safetensors; copy or download it again")
    if output.exists():
        raise OutputError(f"{output} exists already; name a folder that does not")
    part = output.with_name(f".{output.name}-{uuid.uuid4().hex[:8]}")
    try:
        part.mkdir(parents=True)
        _write(files, config, source, part, tower)
        part.rename(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return output


def _write(
    files: list[Path], config: dict[str, Any], source: Path, part: Path, tower: str | None
) -> None:
    own = any(name.startswith("vision_tower.") for name, _ in weights_of(files))
    folder = tower_folder(tower or _near(source, str(config["mm_vision_tower"])))
    image_id, words = _write_tokenizer(source, part)
    rows = next((len(w) for name, w in weights_of(files) if name == EMBEDDINGS), 0)
    vocabulary = max(words, rows)
    made = stock_config(config, vision_config(folder), image_id, vocabulary)
    _write_json(part / "config.json", made)
    _write_json(part / "preprocessor_config.json", _processor(made["vision_config"]["image_size"]))
    patches = made["vision_config"]["image_size"] // made["vision_config"]["patch_size"]
    weights = _fitting(_all_weights(files, folder, own=own), vocabulary, patches)
    _check_all(made, _save(part, weights), source)


def _near(source: Path, tower: str) -> str:
    """A tower that is named relative to the model's folder, or as it is named."""
    near = source / tower
    return str(near) if near.is_dir() else tower


def _all_weights(files: list[Path], folder: Path, *, own: bool) -> Iterator[tuple[str, Tensor]]:
    yield from weights_of(files)
    if not own:
        yield from tower_of(sorted(folder.glob("*.safetensors")))


def _fitting(
    weights: Iterator[tuple[str, Tensor]], vocabulary: int, patches: int
) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in weights:
        if name in (EMBEDDINGS, HEAD):
            # no mean of rows is ever likelier than the likeliest of them
            mean = tensor.float().mean(0, keepdim=True).to(tensor.dtype)
            yield name, torch.cat([tensor, mean.expand(vocabulary - len(tensor), -1)])
        elif name.endswith(_POSITIONS):
            yield name, resized_positions(tensor, patches)
        else:
            yield name, tensor


def _save(part: Path, weights: Iterator[tuple[str, Tensor]]) -> dict[str, torch.Size]:
    """Write files of bounded size with their index; shapes of all weights."""
    shards: list[list[str]] = []
    shapes: dict[str, torch.Size] = {}
    pending: dict[str, Tensor] = {}

    def flush() -> None:
        if pending:
            shards.append(list(pending))
            save_file(pending, part / _shard(len(shards)), metadata={"format": "pt"})
            pending.clear()

    for name, tensor in weights:
        if pending and sum(w.nbytes for w in pending.values()) + tensor.nbytes > _SHARD_BYTES:
            flush()
        pending[name], shapes[name] = tensor.contiguous(), tensor.shape
    flush()
    listing = {name: _shard(i + 1) for i, names in enumerate(shards) for name in names}
    _write_json(part / "model.safetensors.index.json", {"metadata": {}, "weight_map": listing})
    return shapes


def _shard(number: int) -> str:
    return f"model-{number:05d}.safetensors"


def _check_all(config: dict[str, Any], shapes: dict[str, torch.Size], source: Path) -> None:
    """Refuse what the stock class would fill with random numbers, before it is kept."""
    parts = ("multi_modal_projector.linear_1.weight", "multi_modal_projector.linear_2.weight")
    tied = config["tie_word_embeddings"]
    for name in (EMBEDDINGS, *parts, *(() if tied else (HEAD,))):
        if name not in shapes:
            raise ModelError(
                f"{source} lacks the weights that become {name}; copy or download it again"
            )
    if not any(name.startswith("vision_tower.") for name in shapes):
        raise ModelError(f"no weights of a vision tower were found for {source}; name it: --tower")


def _write_tokenizer(source: Path, part: Path) -> tuple[int, int]:
    """Copy the tokenizer with a word for images; its id, and how many words there are."""
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
            tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_WORD]})
            tokenizer.save_pretrained(part)
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(
            f"the tokenizer in {source} could not be loaded ({reason}); copy or download it again"
        ) from error
    return int(tokenizer.convert_tokens_to_ids(IMAGE_WORD)), len(tokenizer)


def _processor(side: int) -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "size": {"shortest_edge": side},
        "crop_size": {"height": side, "width": side},
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
