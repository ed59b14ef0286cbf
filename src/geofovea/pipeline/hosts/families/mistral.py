"""Mistral Small 3.1 and Pixtral: images of any size, a word behind each row of their tokens.

Of a tile that lost tokens, a row that lost all of them loses its word as well.

Source: Agrawal et al., Pixtral 12B, arXiv 2410.07073.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.prompts.markers import ImageMarkers
from geofovea.pipeline.inference.vision.features import tower_features

__all__ = ["Mistral3Family", "PixtralFamily"]


class Mistral3Family(Family):
    """Mistral Small 3.1 and 3.2: tiles of 336 pixels, 144 tokens, unless told otherwise."""

    model_type = "mistral3"
    model_class = "Mistral3ForConditionalGeneration"
    words = ImageMarkers(close="[IMG_END]", row="[IMG_BREAK]")
    template = "<s>[INST]{image}{question}[/INST]"
    tokens_a_side = 12

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.language_model
        self.vision = model.model.vision_tower
        step = self.config.vision_config.patch_size * self._merge(self.config)
        self.tile_size = tile_size or self.usual_tile(self.config)
        if self.tile_size % step:
            raise ModelError(
                f"tiles of a {self.model_type} are multiples of {step} pixels, got "
                f"{self.tile_size}; correct tile_size in its {SETTINGS_FILE}, or leave it out"
            )
        self.grid = (self.tile_size // step, self.tile_size // step)

    @classmethod
    def usual_tile(cls, config: Any, least: float = 0, most: float = math.inf) -> int:  # noqa: ARG003
        """Side of its tiles in pixels.

        Args:
            config: Of a model of the family.
            least: Nothing: its processor enlarges no image.
            most: The longest side of an image that its stock processor does not shrink.
        """
        step: int = config.vision_config.patch_size * cls._merge(config)
        return int(max(1, min(cls.tokens_a_side, most // step))) * step

    @staticmethod
    def _merge(config: Any) -> int:
        """Patches along a side that become one token."""
        merge: int = config.spatial_merge_size
        return merge

    def encode(self, images: Tensor) -> Tensor:
        """Tokens of the projector."""
        # the stock tower attends over all images at once, with a mask that keeps them apart
        return torch.stack([self._encode_one(image[None]) for image in images])

    def _encode_one(self, image: Tensor) -> Tensor:
        # of one token alone the stock class drops an axis too many
        count = 2 if self.grid == (1, 1) else 1
        sizes = torch.tensor([[self.tile_size, self.tile_size]] * count, device=image.device)
        output = self.model.model.get_image_features(
            pixel_values=image.expand(count, -1, -1, -1), image_sizes=sizes, return_dict=True
        )
        tokens: Tensor = output.pooler_output[0]
        return tokens

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:
        """See `Family`."""
        vision, merge = config.vision_config, cls._merge(config)
        side = (tile_size or cls.tokens_a_side * merge * vision.patch_size) // vision.patch_size
        return EncoderShape(
            layers=vision.num_hidden_layers,
            width=vision.hidden_size,
            intermediate=vision.intermediate_size,
            patches=side**2,
            patch_pixels=3 * vision.patch_size**2,
            matrices=3,
            projector=(side // merge) ** 2 * cls._projected(config),
        )

    @staticmethod
    def _projected(config: Any) -> int:
        """Multiply-accumulates of the projector for one token."""
        width, out = config.vision_config.hidden_size, config.text_config.hidden_size
        merged = config.spatial_merge_size**2 * width * width
        return int(merged + width * out + out * out)


class PixtralFamily(Mistral3Family):
    """Pixtral 12B as stock ``transformers`` has it, a LLaVA: tiles of 384 pixels, 576 tokens."""

    # its config.json says llava, and pixtral of its tower
    model_type = "pixtral"
    model_class = "LlavaForConditionalGeneration"
    tokens_a_side = 24

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self._layers = self._feature_layers(self.config.vision_config.num_hidden_layers)
        if (strategy := self.config.vision_feature_select_strategy) != "full":
            raise ModelError(
                f"the vision_feature_select_strategy {strategy!r} does not fit a pixtral tower, "
                "which has no class token: it takes 'full'; correct its config.json, or download "
                "the model again"
            )

    @staticmethod
    def _merge(config: Any) -> int:  # noqa: ARG004
        return 1

    def _encode_one(self, image: Tensor) -> Tensor:
        features = tower_features(self.vision, image, self._layers, has_class_token=False)
        tokens: Tensor = self.model.model.multi_modal_projector(features)[0]
        return tokens

    @staticmethod
    def _projected(config: Any) -> int:
        width, out = config.vision_config.hidden_size, config.text_config.hidden_size
        layer = config.vision_feature_layer
        joined = width * (1 if isinstance(layer, int) else len(layer))
        return int(joined * out + out * out)
