"""What a model of a family can do beyond answering."""

from __future__ import annotations

from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.inference.attention.support import can_run_layers
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.inference.vision.clip_signals import CLIP_SIGNALS

__all__ = ["signals_of", "stages_of"]


def signals_of(family: Family) -> frozenset[str]:
    """Fields of a `TokenContext` that a model of a family can give beyond its tokens."""
    # tokens with deep features are wider than the embeddings of words
    of_text = set() if family.deep else {"text_embeds", "text_similarity"}
    return frozenset({"entropy"} | of_text | (CLIP_SIGNALS if family.is_clip else set()))


def stages_of(family: Family) -> frozenset[str]:
    """Where inside a model of a family tokens can be dropped."""
    stages = {"encoder_layer"} if family.is_clip else set()
    if can_run_layers(family.decoder) and family.sight is Sight.CAUSAL:
        stages |= {"decoder_layer"}
    return frozenset(stages)
