"""The folder that a conversion writes: it appears whole, or not at all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError, OutputError
from geofovea.pipeline.hosts.checkpoint import quiet_transformers, read_json
from geofovea.pipeline.hosts.families.stock_class import stock_config
from geofovea.pipeline.hosts.pretrained import why_no_tokenizer
from geofovea.pipeline.system.tensor_files import full_disk_told, write_tensors
from geofovea.tiling.machine.system_errors import why_unwritten

__all__ = ["new_folder", "tokenizer_of", "write_json", "write_weights"]

_SHARD_BYTES = 2**31


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """A folder to write into, which becomes the output when all is well.

    Raises:
        OutputError: If the output exists, or cannot be written.
    """
    if output.exists():
        raise OutputError(f"{output} exists already; name a folder that does not")
    part = output.with_name(f".{output.name}-{uuid.uuid4().hex[:8]}")
    try:
        part.mkdir(parents=True)
        with full_disk_told(output):
            yield part
        part.rename(output)
    except OSError as error:
        raise OutputError(f"{output} cannot be written: {why_unwritten(error)}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_weights(part: Path, weights: Iterator[tuple[str, Tensor]]) -> dict[str, torch.Size]:
    """Write files of bounded size with their index; shapes of all weights."""
    shards: list[list[str]] = []
    shapes: dict[str, torch.Size] = {}
    pending: dict[str, Tensor] = {}

    def flush() -> None:
        if pending:
            shards.append(list(pending))
            write_tensors(part / _shard(len(shards)), pending, {"format": "pt"})
            pending.clear()

    for name, tensor in weights:
        if pending and sum(w.nbytes for w in pending.values()) + tensor.nbytes > _SHARD_BYTES:
            flush()
        pending[name], shapes[name] = tensor.contiguous(), tensor.shape
    flush()
    listing = {name: _shard(i + 1) for i, names in enumerate(shards) for name in names}
    write_json(part / "model.safetensors.index.json", {"metadata": {}, "weight_map": listing})
    return shapes


def _shard(number: int) -> str:
    return f"model-{number:05d}.safetensors"


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write an object as a file."""
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def tokenizer_of(source: Path) -> Any:
    """The tokenizer in a folder, without code of its own.

    Raises:
        ModelError: If it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        with quiet_transformers():
            return AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        _check_config(source)
        reason = why_no_tokenizer(str(source), error)
        raise ModelError(
            f"the tokenizer in {source} could not be loaded ({reason}); copy or download it "
            "again, and if it needs code of its own, put a tokenizer.json of a conversion beside it"
        ) from error


def _check_config(source: Path) -> None:
    """Refuse a ``config.json`` that no tokenizer can be loaded beside.

    ``transformers`` reads it for the name of a tokenizer's class, and all of it.

    Raises:
        ModelError: If it is at fault.
    """
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    config = read_json(source / "config.json")
    known = config["model_type"] in CONFIG_MAPPING
    kind = CONFIG_MAPPING[config["model_type"]] if known else PreTrainedConfig
    stock_config(str(source), kind, config)
