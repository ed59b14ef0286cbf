"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: patches of any image, positions of three axes, DeepStack.

Sources: Bai et al., Qwen2.5-VL Technical Report, arXiv 2502.13923; Meng et al., DeepStack,
arXiv 2406.04334.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.inference.prompts.markers import ImageMarkers

__all__ = ["Qwen2VLFamily", "Qwen3VLFamily", "Qwen3VLMoeFamily", "Qwen25VLFamily"]

_TOKENS_A_SIDE = 12
_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
_USER = "<|im_start|>user\n{image}{question}<|im_end|>\n<|im_start|>assistant\n"


class Qwen25VLFamily(Family):
    """Qwen2.5-VL: tiles of 336 pixels, 144 tokens, unless told otherwise."""

    model_type = "qwen2_5_vl"
    model_class = "Qwen2_5_VLForConditionalGeneration"
    policies = ("original", "scene", "compact")
    axes = 3
    # in one frame the tiles are one image, elsewhere each is one
    words = ImageMarkers(open="<|vision_start|>", close="<|vision_end|>")
    words_scene = ImageMarkers(before="<|vision_start|>", after="<|vision_end|>")
    marks_in_chats = True
    template = _SYSTEM + _USER
    boxes = BoxStyle.JSON_PIXELS

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.language_model
        self.vision = model.model.visual
        vision = self.config.vision_config
        step = vision.patch_size * vision.spatial_merge_size
        self.tile_size = tile_size or self.usual_tile(self.config)
        if self.tile_size % step:
            raise ModelError(
                f"tiles of a {self.model_type} are multiples of {step} pixels, got "
                f"{self.tile_size}; correct tile_size in its {SETTINGS_FILE}, or leave it out"
            )
        self.grid = (self.tile_size // step, self.tile_size // step)

    @classmethod
    def usual_tile(cls, config: Any, least: float = 0, most: float = math.inf) -> int:
        """Side of its tiles in pixels: as near to 12 tokens as its processor leaves an image.

        Args:
            config: Of a model of the family.
            least: Pixels of the smallest image that its stock processor does not enlarge.
            most: Likewise of the largest.
        """
        vision = config.vision_config
        step: int = vision.patch_size * vision.spatial_merge_size
        fewest = math.ceil(math.sqrt(least / cls.frames(config)) / step)
        most_a_side = math.sqrt(most / cls.frames(config)) / step
        tokens_a_side = int(max(1, min(max(_TOKENS_A_SIDE, fewest), most_a_side)))
        return tokens_a_side * step

    @staticmethod
    def frames(config: Any) -> int:  # noqa: ARG004
        """How often its processor counts the pixels of an image."""
        return 1

    def encode(self, images: Tensor) -> Tensor:
        """Tokens of the merger."""
        output = self._features(images)
        return torch.stack(list(output.pooler_output))

    def _features(self, images: Tensor) -> Any:
        vision = self.config.vision_config
        side = self.tile_size // vision.patch_size
        shape = torch.tensor([[1, side, side]] * len(images), device=images.device)
        return self.model.model.get_image_features(
            pixel_values=self._patches(images), image_grid_thw=shape, return_dict=True
        )

    def _patches(self, images: Tensor) -> Tensor:
        """Patches in the order of the stock processor, ``(k · patches, values)``.

        Patches that are merged stand together, and an image is a video of equal frames.
        """
        vision = self.config.vision_config
        merge, patch = vision.spatial_merge_size, vision.patch_size
        outer = self.tile_size // patch // merge
        parts = images.view(len(images), 3, outer, merge, patch, outer, merge, patch)
        parts = parts.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
        parts = parts.expand(*parts.shape[:6], vision.temporal_patch_size, patch, patch)
        return parts.reshape(-1, 3 * vision.temporal_patch_size * patch * patch)

    @staticmethod
    def patches_a_side(config: Any, tile_size: int | None) -> int:
        """Patches along a side of a tile.

        Raises:
            ModelError: If the side of a tile is not known.
        """
        if tile_size is None:
            raise ModelError("the patches of a tile of any size are not known; give its tile_size")
        return int(tile_size // config.vision_config.patch_size)

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:
        """See `Family`."""
        vision, side = config.vision_config, cls.patches_a_side(config, tile_size)
        deep = len(getattr(vision, "deepstack_visual_indexes", ()))
        merged = vision.spatial_merge_size**2
        joined = merged * vision.hidden_size
        is_windowed = hasattr(vision, "fullatt_block_indexes")
        return EncoderShape(
            layers=vision.depth,
            width=vision.hidden_size,
            intermediate=vision.intermediate_size,
            patches=side**2,
            patch_pixels=3 * vision.temporal_patch_size * vision.patch_size**2,
            matrices=3 if is_windowed else 2,
            pairs=_window_pairs(vision, side) if is_windowed else None,
            # every deep layer has a merger of its own
            projector=(1 + deep) * side**2 // merged * joined * (joined + vision.out_hidden_size),
        )


class Qwen3VLFamily(Qwen25VLFamily):
    """Qwen3-VL: tiles of 384 pixels, 144 tokens, features for the first decoder layers as well."""

    model_type = "qwen3_vl"
    model_class = "Qwen3VLForConditionalGeneration"
    defaults = HostSettings(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    template = _USER
    boxes = BoxStyle.JSON_THOUSANDTHS

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.deep = len(self.config.vision_config.deepstack_visual_indexes)

    def encode(self, images: Tensor) -> Tensor:
        """Tokens of the merger, and behind them those of each DeepStack merger."""
        output = self._features(images)
        # deep features come image by image, in earlier releases of transformers 5 all in one
        every = [
            features if isinstance(features, Tensor) else torch.cat(list(features))
            for features in (output.pooler_output, *output.deepstack_features)
        ]
        return torch.cat([f.reshape(len(images), -1, f.shape[-1]) for f in every], dim=-1)


class Qwen3VLMoeFamily(Qwen3VLFamily):
    """Qwen3-VL with experts, such as 30B-A3B."""

    model_type = "qwen3_vl_moe"
    model_class = "Qwen3VLMoeForConditionalGeneration"


class Qwen2VLFamily(Qwen25VLFamily):
    """Qwen2-VL: a tower without windows and without gates."""

    model_type = "qwen2_vl"
    model_class = "Qwen2VLForConditionalGeneration"
    boxes = BoxStyle.QWEN2

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:
        """See `Family`."""
        vision, side = config.vision_config, cls.patches_a_side(config, tile_size)
        merged = vision.spatial_merge_size**2
        joined = merged * vision.embed_dim
        return EncoderShape(
            layers=vision.depth,
            width=vision.embed_dim,
            intermediate=int(vision.embed_dim * vision.mlp_ratio),
            patches=side**2,
            patch_pixels=3 * vision.temporal_patch_size * vision.patch_size**2,
            # the tower's configuration calls the decoder's width its hidden size
            projector=side**2 // merged * joined * (joined + vision.hidden_size),
        )


def _window_pairs(vision: Any, side: int) -> int:
    """Pairs of patches that attend to each other in all layers, of a tile of side × side."""
    window = vision.window_size // vision.patch_size // vision.spatial_merge_size
    window *= vision.spatial_merge_size
    along = side // window * window**2 + (side % window) ** 2
    whole = len({*vision.fullatt_block_indexes} & {*range(vision.depth)})
    return int(whole * side**4 + (vision.depth - whole) * along**2)
