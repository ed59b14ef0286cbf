"""GLM-4.1V, GLM-4.5V and GLM-4.6V: patches of any image and positions of three axes, as Qwen-VL.

Source: GLM-V Team, GLM-4.1V-Thinking and GLM-4.5V, arXiv 2507.01006.
"""

from __future__ import annotations

from typing import Any

from geofovea.pipeline.hosts.families.qwen_vl import Qwen25VLFamily
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.inference.prompts.markers import ImageMarkers

__all__ = ["Glm4vFamily", "Glm4vMoeFamily", "Glm46vFamily"]


class Glm4vFamily(Qwen25VLFamily):
    """GLM-4.1V: tiles of 336 pixels, 144 tokens, unless told otherwise."""

    model_type = "glm4v"
    model_class = "Glm4vForConditionalGeneration"
    words = ImageMarkers(open="<|begin_of_image|>", close="<|end_of_image|>")
    words_scene = ImageMarkers(before="<|begin_of_image|>", after="<|end_of_image|>")
    marks_in_chats = True
    template = "[gMASK]<sop><|user|>\n{image}{question}<|assistant|>\n"
    boxes = BoxStyle.GLM

    @staticmethod
    def frames(config: Any) -> int:
        """See `Qwen25VLFamily`; an image is a video of equal frames."""
        frames: int = config.vision_config.temporal_patch_size
        return frames

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:
        """See `Family`."""
        vision, side = config.vision_config, cls.patches_a_side(config, tile_size)
        merged, out = vision.spatial_merge_size**2, vision.out_hidden_size
        # merged patches become one token of the decoder's width, which a gated MLP works on
        token = merged * vision.hidden_size * out + out * out + 3 * out * vision.intermediate_size
        return EncoderShape(
            layers=vision.depth,
            width=vision.hidden_size,
            # the MLPs of its blocks are as wide as the decoder, the merger's is wider
            intermediate=out,
            patches=side**2,
            patch_pixels=3 * vision.temporal_patch_size * vision.patch_size**2,
            matrices=3,
            projector=side**2 // merged * token,
        )


class Glm46vFamily(Glm4vFamily):
    """GLM-4.6V Flash, and whatever else calls itself so."""

    model_type = "glm46v"
    model_class = "Glm46VForConditionalGeneration"


class Glm4vMoeFamily(Glm4vFamily):
    """GLM-4.5V: the same tower before a decoder with experts."""

    model_type = "glm4v_moe"
    model_class = "Glm4vMoeForConditionalGeneration"
