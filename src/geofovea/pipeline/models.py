"""From the name of a model to a loaded host."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofovea.errors import ModelError

if TYPE_CHECKING:
    from geofovea.pipeline.endpoint_settings import EndpointSettings
    from geofovea.pipeline.host import Host

__all__ = ["EMBEDDED", "FAMILIES", "load_host"]

FAMILIES = ("llava",)
"""``model_type`` of what is loaded in process; the others can be asked behind an endpoint."""

EMBEDDED = "embedded"
"""The name of the model that travels with the package."""

_HOW_TO_NAME = (
    f"say {EMBEDDED!r}, a folder with a LLaVA in safetensors, a hub id such as "
    "'llava-hf/llava-1.5-7b-hf', or openai:NAME for a model behind an endpoint"
)


@lru_cache(maxsize=2)
def load_host(
    name: str = EMBEDDED, device: str = "cpu", endpoint: EndpointSettings | None = None
) -> Host:
    """Load a model once; the two used last stay in memory.

    Args:
        name: ``"embedded"``, a local folder, a hub id ``owner/name``, or ``openai:NAME``.
        device: A torch device.
        endpoint: Where ``openai:NAME`` is; what may be spent there holds for all its questions.

    Raises:
        ModelError: If there is no such model or device, or its family is not supported.
    """
    from geofovea.pipeline.endpoint_host import ENDPOINT_PREFIX, endpoint_host

    if name.startswith(ENDPOINT_PREFIX):
        return endpoint_host(name, endpoint)
    if endpoint is not None:
        raise ModelError(
            f"{name!r} is not behind an endpoint; name the model there as {ENDPOINT_PREFIX}NAME"
        )
    from geofovea.pipeline.llava_host import load_llava
    from geofovea.pipeline.published_host import load_published
    from geofovea.pipeline.published_weights import is_published

    _check_device(device)
    if name == EMBEDDED:
        from geofovea.pipeline.embedded import embedded_model_path

        host = load_llava(str(embedded_model_path()), device=device)
        host.name = EMBEDDED
        return host
    folder = Path(name)
    if folder.is_dir():
        config = _read_config(folder)
        if is_published(config):
            return load_published(name, device=device)
        _check_family(folder, config)
    elif folder.exists() or name.count("/") != 1:
        raise ModelError(f"there is no model {name!r}: {_HOW_TO_NAME}")
    elif _is_published_on_hub(name):
        return load_published(name, device=device)
    return load_llava(name, device=device)


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return dict(config, model_type=config["model_type"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the folder {folder} holds no model config.json: {_HOW_TO_NAME}"
        ) from error


def _is_published_on_hub(name: str) -> bool:
    """Whether a hub id is a published model's; that there is none, others say better."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    from geofovea.pipeline.published_weights import is_published

    try:
        config = Path(hf_hub_download(name, "config.json")).read_text(encoding="utf-8")
        return is_published(json.loads(config))
    except (OSError, ValueError, TypeError, AttributeError, HfHubHTTPError):
        return False


def _check_family(folder: Path, config: dict[str, Any]) -> None:
    family = config["model_type"]
    if family not in FAMILIES:
        supported = ", ".join(map(repr, FAMILIES))
        raise ModelError(f"{folder} is a {family!r}; supported is {supported}: {_HOW_TO_NAME}")


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(f"the device {device!r} cannot be used: {reason}") from error
