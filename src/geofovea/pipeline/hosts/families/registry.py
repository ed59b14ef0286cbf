"""Every family of LVLMs that the pipeline carries in-process, by ``model_type``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.families.gemma3 import Gemma3Family
from geofovea.pipeline.hosts.families.glm_v import Glm4vFamily, Glm4vMoeFamily, Glm46vFamily
from geofovea.pipeline.hosts.families.idefics import Idefics3Family, SmolVLMFamily
from geofovea.pipeline.hosts.families.internvl import InternVLFamily
from geofovea.pipeline.hosts.families.llava import (
    LlavaFamily,
    LlavaNextFamily,
    LlavaOnevisionFamily,
)
from geofovea.pipeline.hosts.families.mistral import Mistral3Family, PixtralFamily
from geofovea.pipeline.hosts.families.paligemma import PaliGemmaFamily
from geofovea.pipeline.hosts.families.qwen35 import Qwen35Family, Qwen35MoeFamily
from geofovea.pipeline.hosts.families.qwen_vl import (
    Qwen2VLFamily,
    Qwen3VLFamily,
    Qwen3VLMoeFamily,
    Qwen25VLFamily,
)

__all__ = ["FAMILIES", "family_in"]

FAMILIES: dict[str, type[Family]] = {
    family.model_type: family
    for family in (
        LlavaFamily,
        LlavaNextFamily,
        LlavaOnevisionFamily,
        Qwen2VLFamily,
        Qwen25VLFamily,
        Qwen3VLFamily,
        Qwen3VLMoeFamily,
        Qwen35Family,
        Qwen35MoeFamily,
        Glm4vFamily,
        Glm46vFamily,
        Glm4vMoeFamily,
        InternVLFamily,
        Idefics3Family,
        SmolVLMFamily,
        Gemma3Family,
        PaliGemmaFamily,
        Mistral3Family,
        PixtralFamily,
    )
}
"""By the name that their ``config.json`` has for them, but for Pixtral; see `family_in`."""


def family_in(config: Mapping[str, Any]) -> type[Family] | None:
    """The family of a ``config.json``; None where none is carried."""
    name, vision = config.get("model_type"), config.get("vision_config")
    if name == "llava" and isinstance(vision, Mapping):
        # one class of transformers is two families: Pixtral's images have any size
        name = "pixtral" if vision.get("model_type") == "pixtral" else name
    elif name == "pixtral":
        # a tower alone
        return None
    return FAMILIES.get(name) if isinstance(name, str) else None
