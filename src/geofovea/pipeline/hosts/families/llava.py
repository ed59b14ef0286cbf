"""LLaVA-1.5, LLaVA-NeXT and LLaVA-OneVision: a vision tower, a projector, a decoder.

NeXT and OneVision cut an image into tiles by themselves and pack the tokens of all of them; here
each tile is encoded on its own, as their tower and projector do it, and is followed by the learned
newline with which they end an image of one tile.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.prompts.markers import CHAT_ML, ImageMarkers, PromptStyle
from geofovea.pipeline.inference.vision.features import tower_features

__all__ = ["LlavaFamily", "LlavaNextFamily", "LlavaOnevisionFamily", "llava_prompt"]

_HAS_CLASS_TOKEN = {"clip_vision_model": True, "siglip_vision_model": False}
_TEMPLATES = {
    "mistral": "[INST] {image}\n{question} [/INST]",
    "qwen2": CHAT_ML,
    "qwen3": CHAT_ML,
}
# decoders of LLaMA's kind differ in their words: Llama 3 and Yi
_LLAMA_TEMPLATES = (
    (
        "<|start_header_id|>",
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{image}\n{question}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "<|im_start|>",
        "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{image}\n{question}"
        "<|im_end|><|im_start|>assistant\n",
    ),
)


def _prompts(decoder: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The prompt of a LLaVA with a decoder of some kind, and others by special words."""
    by_word = _LLAMA_TEMPLATES if decoder == "llama" else ()
    return _TEMPLATES.get(decoder, Family.template), by_word


def llava_prompt(decoder: str, special_words: Collection[str]) -> str:
    """The prompt of a LLaVA whose model brings none.

    Args:
        decoder: The ``model_type`` of its decoder.
        special_words: Of its tokenizer.
    """
    template, by_word = _prompts(decoder)
    return PromptStyle(ImageMarkers(), template, 0, by_word=by_word).template_for(special_words)


class LlavaFamily(Family):
    """LLaVA-1.5 and its kin; the embedded model is one of them."""

    model_type = "llava"
    model_class = "LlavaForConditionalGeneration"
    # as many tokens as NeXT shows of one image at most: five tiles of 576
    defaults = HostSettings(tokens=2880)

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.language_model
        self.vision = model.model.vision_tower
        vision = self.config.vision_config
        strategy = self.config.vision_feature_select_strategy
        if vision.model_type not in _HAS_CLASS_TOKEN:
            raise ModelError(
                f"the vision tower of this {self.model_type} is a {vision.model_type!r}; supported "
                f"are {', '.join(_HAS_CLASS_TOKEN)}: name a model with one of them"
            )
        self._layers = self._feature_layers(vision.num_hidden_layers)
        self.has_class_token = _HAS_CLASS_TOKEN[vision.model_type]
        if strategy != ("default" if self.has_class_token else "full"):
            raise ModelError(
                f"the vision_feature_select_strategy {strategy!r} does not fit a "
                f"{vision.model_type}: 'default' drops the class token, 'full' is for towers "
                "without one"
            )
        self.tile_size = self._only_tile_size(tile_size, vision.image_size)
        self.grid = self._grid(vision.image_size // vision.patch_size)
        self.template, self.by_word = _prompts(self.config.text_config.model_type)

    def encode(self, images: Tensor) -> Tensor:
        """Tokens of the projector, without the class token."""
        features = tower_features(
            self.vision, images, self._layers, has_class_token=self.has_class_token
        )
        tokens: Tensor = self.model.model.multi_modal_projector(features)
        return tokens

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:  # noqa: ARG003
        """See `Family`."""
        vision, out = config.vision_config, config.text_config.hidden_size
        width, patches = vision.hidden_size, (vision.image_size // vision.patch_size) ** 2
        layer = config.vision_feature_layer
        joined = width * (1 if isinstance(layer, int) else len(layer))
        pool = 0
        if getattr(vision, "vision_use_head", False) and vision.model_type == "siglip_vision_model":
            # the stock tower pools its patches into one vector, which nothing here reads
            pool = 2 * patches * width * (width + 1) + 2 * width * (
                width + vision.intermediate_size
            )
        return EncoderShape(
            # the stock tower runs to its end, whichever layer the features are taken from
            layers=vision.num_hidden_layers,
            width=width,
            intermediate=vision.intermediate_size,
            patches=patches,
            patch_pixels=3 * vision.patch_size**2,
            extra_tokens=int(vision.model_type == "clip_vision_model"),
            projector=patches * out * (joined + out) + pool,
        )


class LlavaNextFamily(LlavaFamily):
    """LLaVA-NeXT (1.6) on Vicuna, Mistral, Llama 3 or Qwen."""

    model_type = "llava_next"
    model_class = "LlavaNextForConditionalGeneration"

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.newline = model.model.image_newline.detach()


class LlavaOnevisionFamily(LlavaNextFamily):
    """LLaVA-OneVision: SigLIP, 729 tokens a tile."""

    model_type = "llava_onevision"
    model_class = "LlavaOnevisionForConditionalGeneration"
    defaults = HostSettings(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
