"""InternVL: a tower whose tokens are merged by pixel shuffle."""

from __future__ import annotations

from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.inference.prompts.markers import CHAT_ML, ImageMarkers

__all__ = ["InternVLFamily"]


class InternVLFamily(Family):
    """InternVL 2.5, 3 and 3.5 in the format of ``transformers`` (``-hf``)."""

    model_type = "internvl"
    model_class = "InternVLForConditionalGeneration"
    defaults = HostSettings(image_mean=(0.485, 0.456, 0.406), image_std=(0.229, 0.224, 0.225))
    # the tiles of one image follow each other without a word between them
    words = ImageMarkers(before="<img>", after="</img>")
    template = CHAT_ML
    boxes = BoxStyle.INTERNVL

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.language_model
        self.vision = model.model.vision_tower
        self.has_class_token = True
        vision = self.config.vision_config
        self.tile_size = self._only_tile_size(tile_size, vision.image_size[0])
        if vision.image_size[0] != vision.image_size[1]:
            raise ModelError(f"only square tiles are supported, this model has {vision.image_size}")
        self.grid = self._grid(
            self.tile_size // vision.patch_size[0], self._merge(self.config.downsample_ratio)
        )
        strategy = self.config.vision_feature_select_strategy
        if len(self._feature_layers(vision.num_hidden_layers)) != 1 or strategy != "default":
            raise ModelError(
                f"an internvl takes one vision_feature_layer and drops the class token, this one "
                f"has {self.config.vision_feature_layer} and the strategy {strategy!r}; correct "
                "its config.json, or download the model again"
            )

    def _merge(self, ratio: float) -> int:
        """Patches along a side that become one token."""
        merge = round(1 / ratio) if ratio > 0 else 0
        if not merge or abs(merge * ratio - 1) > 1e-6:
            raise ModelError(
                f"the downsample_ratio {ratio} of this internvl is not one over a whole number; "
                "correct its config.json, or download the model again"
            )
        return merge

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:  # noqa: ARG003
        """See `Family`."""
        vision, out = config.vision_config, config.text_config.hidden_size
        patches = (vision.image_size[0] // vision.patch_size[0]) ** 2
        merged = round(1 / config.downsample_ratio) ** 2
        return EncoderShape(
            layers=vision.num_hidden_layers,
            width=vision.hidden_size,
            intermediate=vision.intermediate_size,
            patches=patches,
            patch_pixels=3 * vision.patch_size[0] ** 2,
            extra_tokens=1,
            projector=patches // merged * out * (merged * vision.hidden_size + out),
        )
