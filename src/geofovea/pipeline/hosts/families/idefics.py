"""Idefics3 and SmolVLM: a SigLIP tower whose tokens are merged by pixel shuffle."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.prompts.markers import ImageMarkers

__all__ = ["Idefics3Family", "SmolVLMFamily"]

_CHAT = "User:{image}{question}<end_of_utterance>\nAssistant:"


class Idefics3Family(Family):
    """Idefics3: a SigLIP tower and Llama 3."""

    model_type = "idefics3"
    model_class = "Idefics3ForConditionalGeneration"
    defaults = HostSettings(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    words = ImageMarkers(
        open="<fake_token_around_image><global-img>", close="<fake_token_around_image>"
    )
    template = "<|begin_of_text|>" + _CHAT
    # SmolVLM of the first release calls itself idefics3
    by_word = (("<|im_start|>", "<|im_start|>" + _CHAT),)

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.text_model
        self.vision = model.model.vision_model
        vision = self.config.vision_config
        self.tile_size = self._only_tile_size(tile_size, vision.image_size)
        self._patches = vision.image_size // vision.patch_size
        self.grid = self._grid(self._patches, self.config.scale_factor)

    def encode(self, images: Tensor) -> Tensor:
        """Tokens of the connector, for tiles of any content."""
        # get_image_features takes a tile that is exactly zero for padding, and drops it silently
        mask = torch.ones(
            len(images), self._patches, self._patches, dtype=torch.bool, device=images.device
        )
        output = self.vision(pixel_values=images, patch_attention_mask=mask)
        tokens: Tensor = self.model.model.connector(output.last_hidden_state)
        return tokens

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:  # noqa: ARG003
        """See `Family`."""
        return EncoderShape.with_linear_projector(
            config.vision_config, config.text_config.hidden_size
        )


class SmolVLMFamily(Idefics3Family):
    """SmolVLM and SmolVLM2: Idefics3 with a small decoder."""

    model_type = "smolvlm"
    model_class = "SmolVLMForConditionalGeneration"
    template = "<|im_start|>" + _CHAT
