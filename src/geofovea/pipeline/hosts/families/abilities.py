"""What a model of a family can do beyond answering."""

from __future__ import annotations

from typing import Any

from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.attention.support import can_run_layers
from geofovea.pipeline.inference.decoder.planned_layer import can_plan_layers
from geofovea.pipeline.inference.decoder.spoken_boxes import CELL_WORDS, BoxStyle
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.inference.vision.clip_signals import CLIP_SIGNALS

__all__ = ["are_plain", "box_style", "capabilities_of", "plans_layers", "signals_of", "stages_of"]


def capabilities_of(
    family: Family, settings: HostSettings, *, attention: bool, context: int
) -> Capabilities:
    """What a host of a family can do.

    Args:
        family: The model.
        settings: How it is used.
        attention: See `Capabilities`; likewise the context.
        context: The longest sequence in tokens.
    """
    return Capabilities(
        attention=attention,
        domain=settings.domain,
        context=context,
        signals=signals_of(family),
        stages=stages_of(family),
        layer_plans=plans_layers(family),
        positions=family.policy(settings),
        choices=True,
        dates=True,
        confidence_temperature=settings.confidence_temperature,
    )


def are_plain(family: Family, policy: str, shows_first: bool) -> bool:
    """Whether what stands before a question depends neither on it nor on what follows.

    Args:
        family: The model.
        policy: Of its position ids.
        shows_first: Whether its prompts show the image before the question.
    """
    is_compact = (family.axes, family.deep, policy) == (1, 0, "compact")
    return is_compact and family.sight is Sight.CAUSAL and shows_first


def box_style(family: Family, tokenizer: Any) -> BoxStyle | None:
    """How a model writes boxes: in the cells that its vocabulary has words for, or as its family.

    Args:
        family: The model.
        tokenizer: The model's; models of any family may have been taught to write cells.
    """
    numbers = tokenizer.convert_tokens_to_ids(list(CELL_WORDS))
    writes_cells = not {None, tokenizer.unk_token_id} & set(numbers)
    return BoxStyle.CELLS if writes_cells else family.boxes


def signals_of(family: Family) -> frozenset[str]:
    """Fields of a `TokenContext` that a model of a family can give beyond its tokens."""
    # tokens with deep features are wider than the embeddings of words
    of_text = set() if family.deep else {"text_embeds", "text_similarity"}
    return frozenset({"entropy"} | of_text | (CLIP_SIGNALS if family.is_clip else set()))


def plans_layers(family: Family) -> bool:
    """Whether work can be skipped inside the layers of a family's decoder."""
    return can_plan_layers(family.decoder) and family.sight is Sight.CAUSAL


def stages_of(family: Family) -> frozenset[str]:
    """Where inside a model of a family tokens can be dropped."""
    stages = {"encoder_layer"} if family.is_clip else set()
    if can_run_layers(family.decoder) and family.sight is Sight.CAUSAL:
        stages |= {"decoder_layer"}
    return frozenset(stages)
