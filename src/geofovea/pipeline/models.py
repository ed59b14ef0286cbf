"""From the name of a model to a loaded host."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from geofovea.errors import ModelError

if TYPE_CHECKING:
    from geofovea.pipeline.host import Host

__all__ = ["EMBEDDED", "load_host"]

EMBEDDED = "embedded"
"""The name of the model that travels with the package."""

_HOW_TO_NAME = (
    f"say {EMBEDDED!r}, a folder with a LLaVA in safetensors, or a hub id such as "
    "'llava-hf/llava-1.5-7b-hf'"
)


@lru_cache(maxsize=2)
def load_host(name: str = EMBEDDED, device: str = "cpu") -> Host:
    """Load a model once; the two used last stay in memory.

    Args:
        name: ``"embedded"``, a local folder, or a hub id ``owner/name``.
        device: A torch device.

    Raises:
        ModelError: If there is no such model or device, or its family is not supported.
    """
    from geofovea.pipeline.llava_host import load_llava

    _check_device(device)
    if name == EMBEDDED:
        from geofovea.pipeline.embedded import embedded_model_path

        host = load_llava(str(embedded_model_path()), device=device)
        host.name = EMBEDDED
        return host
    folder = Path(name)
    if folder.is_dir():
        _check_family(folder)
    elif folder.exists() or name.count("/") != 1:
        raise ModelError(f"there is no model {name!r}: {_HOW_TO_NAME}")
    return load_llava(name, device=device)


def _check_family(folder: Path) -> None:
    try:
        family = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the folder {folder} holds no model config.json: {_HOW_TO_NAME}"
        ) from error
    if family != "llava":
        raise ModelError(f"{folder} is a {family!r}; supported is 'llava': {_HOW_TO_NAME}")


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the device {device!r} cannot be used: {reason}") from error
