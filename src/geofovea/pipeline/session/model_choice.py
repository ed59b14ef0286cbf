"""Which model answers where none is named, and which scenes the demo models know."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from geofovea.datasets.synthetic.vocabulary import is_in_domain, version_of
from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import NoModelError
from geofovea.pipeline.hosts.load import (
    EMBEDDED_MODELS,
    demo_model_of,
    embedded_model_path,
)
from geofovea.pipeline.hosts.load_options import AUTO
from geofovea.pipeline.system.configuration import FILE_NAME, read_configuration, variable_of
from geofovea.pipeline.system.model_catalog import smallest_download

if TYPE_CHECKING:
    from geofovea.pipeline.hosts.base import Host
    from geofovea.tiling.scene import Scene

__all__ = [
    "AUTO",
    "chosen_model",
    "is_beyond",
    "is_synthetic",
    "named_model",
    "usual_tile_size",
]

_USUAL_TILE = 336


def chosen_model(name: str, scenes: Iterable[Scene]) -> str:
    """The name of the model that answers questions about some scenes.

    Args:
        name: As it was given; ``"auto"`` leaves the choice to `named_model`, or else to the
            scenes: those that are synthetic are answered by a demo model, ``embedded`` where it
            knows the versions of all of them, else ``embedded-earth``.
        scenes: The scenes, looked at in turn until one is not synthetic.

    Raises:
        NoModelError: If no model is named, and one of the scenes is not synthetic.
    """
    if (named := named_model(name)) is not None:
        return named
    versions: set[int] = set()
    for scene in scenes:
        version = version_of(scene.description)
        if version is None:
            raise NoModelError(_ways_to_a_model(scene.path))
        versions.add(version)
    return demo_model_of(versions)


def named_model(name: str) -> str | None:
    """The model that an argument, ``$GEOFOVEA_MODEL`` or a configuration file names, if any does.

    Raises:
        ConfigurationError: If a configuration file says what cannot be meant.
    """
    if name != AUTO:
        return name
    model: str | None = read_configuration().get("model")
    return model


def usual_tile_size(scene: Scene) -> int:
    """Side of the tiles in which a scene is likely to be asked about, without loading a model.

    It is that of the demo models where one would answer, else that of LLaVA and Qwen-VL.

    Raises:
        ConfigurationError: If a configuration file says what cannot be meant.
    """
    version = version_of(scene.description)
    named = named_model(AUTO)
    if named not in (None, *EMBEDDED_MODELS) or version is None:
        return _USUAL_TILE
    config = json_of(embedded_model_path(named or demo_model_of({version})) / "config.json")
    side: int = config["vision_config"]["image_size"]
    return side


def is_synthetic(scene: Scene) -> bool:
    """Whether the file says that it shows the synthetic world."""
    return version_of(scene.description) is not None


def is_beyond(host: Host, scene: Scene) -> bool:
    """Whether the host was trained on synthetic scenes only, and this is a scene of another kind.

    A scene of another version of the synthetic world is one. The answer is then a guess, and how
    sure it is says nothing.
    """
    return not is_in_domain(host.capabilities.domain, scene.description)


def _ways_to_a_model(path: str) -> str:
    local = smallest_download()
    return (
        f"no model is named, and the demo model cannot answer about {path}: it knows synthetic "
        "scenes only. Name a real model in one of these ways:\n"
        "  Ollama   ollama pull qwen2.5vl:7b, then "
        "model='openai:qwen2.5vl:7b', endpoint='http://localhost:11434/v1'\n"
        "  vLLM     vllm serve Qwen/Qwen2.5-VL-7B-Instruct, then "
        "model='openai:Qwen/Qwen2.5-VL-7B-Instruct', endpoint='http://localhost:8000/v1'\n"
        f"  local    model='{local.hub_id}' (downloads {local.download_gb:.1f} GB once)\n"
        "  none     geofovea synthesize --output scene.tif writes one for the demo model\n"
        f"'geofovea models' lists more. ${variable_of('model')} or {FILE_NAME} keeps your choice, "
        "and model='embedded' shows what the demo model guesses."
    )
