"""Every family of LVLMs that the pipeline carries in-process, by ``model_type``."""

from __future__ import annotations

from geofovea.pipeline.family import Family
from geofovea.pipeline.llava_families import LlavaFamily, LlavaNextFamily, LlavaOnevisionFamily
from geofovea.pipeline.patch_families import Idefics3Family, InternVLFamily, SmolVLMFamily
from geofovea.pipeline.qwen_vl_families import Qwen2VLFamily, Qwen3VLFamily

__all__ = ["FAMILIES"]

FAMILIES: dict[str, type[Family]] = {
    family.model_type: family
    for family in (
        LlavaFamily,
        LlavaNextFamily,
        LlavaOnevisionFamily,
        Qwen2VLFamily,
        Qwen3VLFamily,
        InternVLFamily,
        Idefics3Family,
        SmolVLMFamily,
    )
}
