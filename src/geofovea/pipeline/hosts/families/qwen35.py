"""Qwen3.5: the tower of Qwen3-VL before a decoder of which three layers in four are linear.

A linear layer keeps a state and no keys, so there is no row of attention to read in it, no run with
a reduction inside the decoder, and no answering side by side. The focus reads full layers.

Source: Qwen Team, Qwen3.5, and Yang et al., Gated Delta Networks, arXiv 2412.06464.
"""

from __future__ import annotations

from geofovea.pipeline.hosts.families.qwen_vl import Qwen3VLFamily, Qwen25VLFamily
from geofovea.pipeline.hosts.settings import HostSettings

__all__ = ["Qwen35Family", "Qwen35MoeFamily"]


class Qwen35Family(Qwen25VLFamily):
    """Qwen3.5: tiles of 384 pixels, 144 tokens; one layer in four attends in full."""

    model_type = "qwen3_5"
    model_class = "Qwen3_5ForConditionalGeneration"
    defaults = HostSettings(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    template = Qwen3VLFamily.template
    boxes = Qwen3VLFamily.boxes


class Qwen35MoeFamily(Qwen35Family):
    """Qwen3.5 with experts."""

    model_type = "qwen3_5_moe"
    model_class = "Qwen3_5MoeForConditionalGeneration"
