"""Whether settings fit the model that they are for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings

__all__ = ["check_settings"]


def check_settings(
    name: str, family: Family, settings: HostSettings, scene_position: Tensor | None
) -> None:
    """Refuse settings that do not fit a model.

    Args:
        name: How the user named the model.
        family: The model as its family drives it.
        settings: How it is to be used.
        scene_position: Linear map ``(d, 3)`` of a token's place, or None.

    Raises:
        ModelError: If the decoder is of another build, the context is unknown, a number of its
            configuration is not positive, the pool does not divide a tile's tokens, the family has
            no such positions, or the map is of another width.
    """
    text, (rows, cols) = family.decoder.config, family.grid
    if not hasattr(family.decoder, "layers"):
        raise ModelError(
            f"the decoder of {name} is a {text.model_type!r}, whose layers are not where those of "
            "supported decoders are; name a model with a decoder of LLaMA's, Mistral's, Qwen's or "
            "Gemma's kind"
        )
    if not getattr(text, "max_position_embeddings", None):
        raise ModelError(
            f"the config.json of {name} says no max_position_embeddings of its text model, so "
            "it is not known what fits; add it"
        )
    _check_numbers(name, text)
    if rows % settings.pool or cols % settings.pool:
        raise ModelError(
            f"a pool of {settings.pool} does not divide the {rows} tokens along a side of a tile; "
            f"set another in {SETTINGS_FILE}"
        )
    if settings.positions not in (None, *family.policies):
        raise ModelError(
            f"a {family.model_type} has no positions {settings.positions!r}; choose one of "
            + ", ".join(family.policies)
        )
    if scene_position is not None and scene_position.shape != (text.hidden_size, 3):
        raise ModelError(
            f"{SCENE_POSITION_FILE} of {name} holds a matrix {tuple(scene_position.shape)}, "
            f"the model needs {(text.hidden_size, 3)}"
        )


def _check_numbers(name: str, text: Any) -> None:
    """Refuse numbers with which every class can be made, and that make nonsense of a prompt."""
    rope = getattr(text, "rope_parameters", None) or {}
    # decoders with layers of several kinds have some of each
    turns = {each.get("rope_theta") for each in (rope, *rope.values()) if isinstance(each, Mapping)}
    # of decoders that do not use it, some have a window of 0
    has_window = getattr(text, "use_sliding_window", True)
    windows = {getattr(text, "sliding_window", None)} if has_window else set()
    found = {"sliding_window": windows, "rope_theta": turns}
    for key, values in found.items():
        for value in values:
            if value is not None and not value > 0:
                raise ModelError(
                    f"the config.json of {name} has {key} = {value} for its text model, which has "
                    "to be more than 0; correct it, or download it again"
                )
