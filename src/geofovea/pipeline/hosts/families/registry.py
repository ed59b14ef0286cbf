"""Every family of LVLMs that the pipeline carries in-process, by ``model_type``."""

from __future__ import annotations

from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.families.glm_v import Glm4vFamily, Glm4vMoeFamily, Glm46vFamily
from geofovea.pipeline.hosts.families.idefics import Idefics3Family, SmolVLMFamily
from geofovea.pipeline.hosts.families.internvl import InternVLFamily
from geofovea.pipeline.hosts.families.llava import (
    LlavaFamily,
    LlavaNextFamily,
    LlavaOnevisionFamily,
)
from geofovea.pipeline.hosts.families.qwen_vl import (
    Qwen2VLFamily,
    Qwen3VLFamily,
    Qwen3VLMoeFamily,
    Qwen25VLFamily,
)

__all__ = ["FAMILIES"]

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
        Glm4vFamily,
        Glm46vFamily,
        Glm4vMoeFamily,
        InternVLFamily,
        Idefics3Family,
        SmolVLMFamily,
    )
}
