"""From the name of a model to a loaded host."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.endpoint.settings import ENDPOINT_PREFIX
from geofovea.pipeline.hosts.file_digests import folder_digest
from geofovea.pipeline.hosts.load_options import AUTO, Loading, LoadOptions, check_device
from geofovea.pipeline.hosts.original.internvl_configuration import is_internvl
from geofovea.pipeline.hosts.original.layout import (
    is_original,
    not_converted,
    refuse_unknown_decoder,
)
from geofovea.pipeline.system.model_lock import LOADING, models_at_rest
from geofovea.tiling.machine.paths import is_file, is_folder

if TYPE_CHECKING:
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings

__all__ = [
    "EMBEDDED",
    "EMBEDDED_EARTH",
    "EMBEDDED_MODELS",
    "demo_model_of",
    "embedded_model_path",
    "folder_of",
    "load_host",
    "load_uncalibrated",
    "model_digest",
]

_LOG = logging.getLogger(__name__)

EMBEDDED = "embedded"
"""The demo model, which knows version 1 of the synthetic world; other parts are trained beside it.
"""
EMBEDDED_EARTH = "embedded-earth"
"""The demo model that knows version 2 as well, whose land looks like the Earth's."""

_FOLDERS = {EMBEDDED: "embedded_model", EMBEDDED_EARTH: "embedded_earth"}
EMBEDDED_MODELS = tuple(_FOLDERS)
"""Names of the models that travel with the package."""

_HOW_TO_NAME = (
    f"say {EMBEDDED!r} or {EMBEDDED_EARTH!r}, a folder with a supported model in safetensors, a "
    "hub id such as 'llava-hf/llava-1.5-7b-hf', or openai:NAME for a model behind an endpoint"
)


def load_host(
    name: str = EMBEDDED,
    device: str = AUTO,
    endpoint: EndpointSettings | None = None,
    *,
    dtype: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
    positions: str | None = None,
    answer_tokens: int | None = None,
    threads: int | None = None,
    thinking: str | None = None,
    thought_tokens: int | None = None,
    compile_decode: bool = False,
) -> Host:
    """Load a model once; the two used last stay in memory, and any thread may ask them.

    Questions to one model wait for each other. While one is loaded, questions to others wait too.

    Args:
        name: One of `EMBEDDED_MODELS`, a local folder, a hub id ``owner/name``, or
            ``openai:NAME``.
        device: A torch device; ``auto`` is the first GPU that torch can use, or else the CPU.
        endpoint: Where ``openai:NAME`` is; what may be spent there holds for all its questions.
        dtype: ``float32``, ``bfloat16``, ``float16``, or ``auto`` for that of the weights. None is
            ``float32`` on a CPU, and ``auto`` elsewhere.
        device_map: ``auto``, ``balanced``, ``balanced_low_0`` or ``sequential`` spreads the model
            over all devices, instead of ``device``.
        quantization: ``8bit`` or ``4bit``, by bitsandbytes.
        positions: ``compact``, ``original`` or ``scene``, as far as the model's family has them.
        answer_tokens: The longest answer; None is the model's own, 16 unless its settings say
            otherwise. That of an endpoint stands in its settings.
        threads: How many threads of torch compute, for all who ask this model from now on. None
            chooses by the size of the model and the cores that this process may use.
        thinking: What a model does that would think before it answers: ``off`` closes its thought
            empty, ``room`` lets it think and keeps the thought out of the answer. None is ``off``
            unless its settings say otherwise.
        thought_tokens: The longest thought with ``room``; None is 1024 unless the settings say
            otherwise.
        compile_decode: Record the steps of answers once, as a CUDA graph, and replay them. Answers
            stay the same.

    Raises:
        ModelError: If there is no such model or device, its family is not supported, or an option
            does not fit it.
        MissingExtraError: If an option needs a package that is not installed.
    """
    LoadOptions(threads=threads)  # refused before anything is loaded
    options = LoadOptions(
        device,
        dtype,
        device_map,
        quantization,
        positions,
        answer_tokens,
        thinking=thinking,
        thought_tokens=thought_tokens,
        compile_decode=compile_decode,
    )
    return _host(name, endpoint, options, threads, _load)


def load_uncalibrated(
    name: str = EMBEDDED, endpoint: EndpointSettings | None = None, **loading: Unpack[Loading]
) -> Host:
    """Load a model to measure it: a calibration that it has is not read, and need not fit it.

    Args:
        name: See `load_host`, which keeps what it loads; this does not.
        endpoint: Likewise.
        loading: Likewise.

    Raises:
        ModelError: Likewise.
        MissingExtraError: Likewise.
    """
    options = LoadOptions(**loading)
    load = partial(_loaded, reads_calibration=False)
    return _host(name, endpoint, replace(options, threads=None), options.threads, load)


def _host(
    name: str,
    endpoint: EndpointSettings | None,
    options: LoadOptions,
    threads: int | None,
    load: Callable[[str, LoadOptions], Host],
) -> Host:
    """A model as `load` has it, or as it is behind its endpoint."""
    if name.startswith(ENDPOINT_PREFIX):
        if replace(options, device=AUTO) != LoadOptions() or options.device not in (AUTO, "cpu"):
            raise ModelError(
                f"{name} is loaded by its endpoint; leave out the device, dtype, device map, "
                "quantization, positions, thinking and answer_tokens (EndpointSettings has its own)"
            )
        with LOADING:
            return _at_endpoint(name, endpoint)
    if endpoint is not None:
        raise ModelError(
            f"{name!r} is not behind an endpoint; name the model there as {ENDPOINT_PREFIX}NAME"
        )
    with LOADING:
        host = load(name, options.placed())
    from geofovea.pipeline.system.torch_threads import set_threads

    set_threads(host, threads)
    return host


@cache
def _at_endpoint(name: str, endpoint: EndpointSettings | None) -> Host:
    # never forgotten: what was spent would be forgotten too, and it takes no memory to speak of
    from geofovea.pipeline.hosts.endpoint.host import endpoint_host

    return endpoint_host(name, endpoint)


@lru_cache(maxsize=2)
def _load(name: str, options: LoadOptions) -> Host:
    started = time.perf_counter()
    _LOG.info("model: loading %s on %s", name, options.device)
    with models_at_rest():
        host = _loaded(name, options)
    _LOG.info("model: loaded, %.2f s", time.perf_counter() - started)
    return host


def _loaded(name: str, options: LoadOptions, *, reads_calibration: bool = True) -> Host:
    from geofovea.pipeline.hosts.pretrained import load_lvlm
    from geofovea.pipeline.hosts.published.weights import is_published

    check_device(options.device)
    folder = folder_of(name)
    if name in EMBEDDED_MODELS:
        # it was trained in float32 and is small
        exact = replace(options, dtype=options.dtype or "float32")
        config = _read_config(folder)
        return load_lvlm(str(folder), config, exact, name, reads_calibration=reads_calibration)
    if is_folder(folder):
        config = _read_config(folder)
    elif is_file(folder) or name.count("/") != 1:
        raise ModelError(f"there is no model {name!r}: {_HOW_TO_NAME}")
    else:
        config = _read_config_on_hub(name)
    if is_original(config):
        raise not_converted(name)
    if is_internvl(config):
        raise not_converted(name, "an InternVL", "OpenGVLab/InternVL3-8B-hf")
    if is_published(config):
        return _load_published(name, options)
    refuse_unknown_decoder(name, config)
    return load_lvlm(name, config, options, reads_calibration=reads_calibration)


def _load_published(name: str, options: LoadOptions) -> Host:
    import torch

    from geofovea.pipeline.hosts.published.host import load_published

    others = (options.device_map, options.quantization, options.positions, options.thinking)
    if any(others) or options.compile_decode or options.dtype == "auto":
        raise ModelError(
            f"{name} is a published LRS-VQA model: it takes a device and a dtype, but no "
            "device map, quantization, position policy, thinking, compile_decode, or dtype auto"
        )
    dtype = getattr(torch, options.dtype or "float32")
    host = load_published(name, device=options.device, dtype=dtype)
    host.model.answer_tokens = options.answer_tokens or host.model.answer_tokens
    return host


def _read_config(folder: Path) -> dict[str, Any]:
    from geofovea.pipeline.hosts.checkpoint import refuse_adapter

    path = folder / "config.json"
    if not path.exists():
        refuse_adapter(str(folder))
    try:
        config = json_of(path)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"the folder {folder} holds no model config.json: {_HOW_TO_NAME}"
        ) from error
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{path} names no model_type, so nobody can tell what model it is of; copy or download "
            f"it again, or {_HOW_TO_NAME}"
        )
    return config


def _read_config_on_hub(name: str) -> dict[str, Any]:
    from huggingface_hub import hf_hub_download

    from geofovea.pipeline.hosts.checkpoint import ask_hub_once
    from geofovea.pipeline.hosts.pretrained import could_not_load

    try:
        ask_hub_once(name)
        folder = Path(hf_hub_download(name, "config.json")).parent
    except Exception as error:  # its client raises those of several libraries
        raise could_not_load(name, error) from error
    return _read_config(folder)


def embedded_model_path(name: str = EMBEDDED) -> Path:
    """The folder of a model that travels with the package, one of `EMBEDDED_MODELS`."""
    return Path(__file__).parents[1] / _FOLDERS[name]


def demo_model_of(versions: Iterable[int]) -> str:
    """The name of the demo model for scenes of some versions of the synthetic world."""
    return EMBEDDED if set(versions) <= {1} else EMBEDDED_EARTH


def folder_of(name: str) -> Path:
    """The folder that the name of a local model means: that in the package, or the path itself."""
    return embedded_model_path(name) if name in EMBEDDED_MODELS else Path(name)


def model_digest(name: str | None) -> str:
    """The `folder_digest` of a model by its name; empty for a hub id, an endpoint or None."""
    if name is None:
        return ""
    folder = folder_of(name)
    return folder_digest(folder) if is_folder(folder) else ""
