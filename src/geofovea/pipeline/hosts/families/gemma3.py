"""Gemma 3: a SigLIP tower whose patches are averaged, and a decoder that looks at images both ways.

Source: Gemma Team, Gemma 3 Technical Report, arXiv 2503.19786.
"""

from __future__ import annotations

import math
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.prompts.markers import ImageMarkers
from geofovea.pipeline.inference.prompts.sight import Sight

__all__ = ["Gemma3Family"]


class Gemma3Family(Family):
    """Gemma 3 with images (4B, 12B, 27B): tiles of 896 pixels, 256 tokens."""

    model_type = "gemma3"
    model_class = "Gemma3ForConditionalGeneration"
    defaults = HostSettings(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    # the processor puts an empty line before and behind each image: two between two of them
    words = ImageMarkers(open="<start_of_image>", close="<end_of_image>", between="\n\n\n\n")
    template = (
        "<bos><start_of_turn>user\n\n\n{image}\n\n{question}<end_of_turn>\n<start_of_turn>model\n"
    )
    chat_image = ("<start_of_image>", "\n\n{image}\n\n")
    sight = Sight.TILE

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.language_model
        self.vision = model.model.vision_tower
        vision = self.config.vision_config
        self.tile_size = self._only_tile_size(tile_size, vision.image_size)
        patches, side = vision.image_size // vision.patch_size, self._side()
        self.grid = self._grid(patches, patches // side)

    def _side(self) -> int:
        """Tokens along a side of a tile."""
        tokens = self.config.mm_tokens_per_image
        side = math.isqrt(tokens)
        if not side or side * side != tokens:
            raise ModelError(
                f"the mm_tokens_per_image {tokens} of this gemma3 are no square; correct its "
                "config.json, or download the model again"
            )
        return side

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:  # noqa: ARG003
        """See `Family`."""
        return EncoderShape.with_linear_projector(
            config.vision_config, config.text_config.hidden_size, config.mm_tokens_per_image
        )
