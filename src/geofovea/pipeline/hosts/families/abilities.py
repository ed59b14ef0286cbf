"""What a model of a family can do beyond answering, and which settings fit it."""

from __future__ import annotations

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings
from geofovea.pipeline.inference.attention.support import can_run_layers
from geofovea.pipeline.inference.vision.clip_signals import CLIP_SIGNALS

__all__ = ["check_settings", "signals_of", "stages_of"]


def check_settings(
    name: str, family: Family, settings: HostSettings, scene_position: Tensor | None
) -> None:
    """Refuse settings that do not fit a model.

    Raises:
        ModelError: If one of them does not.
    """
    text, (rows, cols) = family.decoder.config, family.grid
    if not getattr(text, "max_position_embeddings", None):
        raise ModelError(
            f"the config.json of {name} says no max_position_embeddings of its text model, so "
            "it is not known what fits; add it"
        )
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


def signals_of(family: Family) -> frozenset[str]:
    """Fields of a `TokenContext` that a model of a family can give beyond its tokens."""
    # tokens with deep features are wider than the embeddings of words
    of_text = set() if family.deep else {"text_embeds", "text_similarity"}
    return frozenset({"entropy"} | of_text | (CLIP_SIGNALS if family.is_clip else set()))


def stages_of(family: Family, policy: str) -> frozenset[str]:
    """Where inside a model of a family tokens can be dropped."""
    # a run with a reduction has compact positions of one axis
    is_plain = family.axes == 1 and not family.deep and policy == "compact"
    stages = {"encoder_layer"} if family.is_clip else set()
    if is_plain and can_run_layers(family.decoder):
        stages |= {"decoder_layer"}
    return frozenset(stages)
