"""What differs between the families of LVLMs, as values and three small methods.

A family knows where the parts of its stock ``transformers`` model are, how a tile becomes vision
tokens, and what its prompts put around them. `LvlmHost` does the rest for all of them alike.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape, HostShape, host_shape
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.inference.prompts.markers import ImageMarkers, PromptStyle
from geofovea.pipeline.inference.prompts.sight import Sight

__all__ = ["Family"]


class Family:
    """A loaded model of one family; subclasses say what is particular to theirs.

    Attributes:
        model_type: As in ``config.json``.
        model_class: Name of the class in ``transformers``.
        policies: Position policies that it can have, the default first; see `position_ids`.
        axes: Rows of its position ids: 1, or 3 for M-RoPE.
        defaults: How it is used where ``geofovea.json`` does not say.
        words: What stands around its vision tokens.
        words_scene: Likewise, where all tiles share one frame of positions.
        template: The prompt, where neither settings nor processor nor tokenizer bring one.
        by_word: Other prompts, by a special word that tells the decoder; see `PromptStyle`.
        chat_image: How chat templates stand for an image; see `PromptStyle`.
        marks_in_chats: Whether chat templates write what stands around an image; likewise.
        sight: Which tokens of a prompt see tokens behind them.
        boxes: How it writes boxes into answers; None where it was not taught to.
        model: The model of ``transformers``, in evaluation mode.
        config: Its configuration.
        decoder: The text model: embeddings in, hidden states out.
        vision: The vision tower; its first parameter says where images have to be.
        newline: A learned vector ``(d,)`` that ends every tile, or None.
        tile_size: Side of its tiles in pixels.
        grid: ``(rows, columns)`` of the tokens of one tile, before any pooling.
        has_class_token: Its vision tower has one, so reductions that read its attention apply.
        deep: Decoder layers that get features of their own for each token (DeepStack).
    """

    model_type: ClassVar[str]
    model_class: ClassVar[str]
    policies: ClassVar[tuple[str, ...]] = ("compact", "original")
    axes: ClassVar[int] = 1
    defaults: ClassVar[HostSettings] = HostSettings()
    words: ClassVar[ImageMarkers] = ImageMarkers()
    words_scene: ClassVar[ImageMarkers] = ImageMarkers()
    boxes: ClassVar[BoxStyle | None] = None
    chat_image: ClassVar[tuple[str, str] | None] = None
    marks_in_chats: ClassVar[bool] = False
    sight: ClassVar[Sight] = Sight.CAUSAL

    model: Any
    config: Any
    template: str = "USER: {image}\n{question} ASSISTANT:"
    by_word: tuple[tuple[str, str], ...] = ()
    decoder: Any
    vision: Any
    newline: Tensor | None = None
    tile_size: int
    grid: tuple[int, int]
    has_class_token: bool = False
    deep: int = 0

    def __init__(self, model: Any, tile_size: int | None = None) -> None:  # noqa: ARG002 - of those that need it
        """Wrap a model of the family's class; subclasses go on to find its parts.

        Args:
            model: In evaluation mode.
            tile_size: Another side of tiles, for families that take any.

        Raises:
            ModelError: If the model is built or configured in a way that is not supported.
        """
        self.model, self.config = model, model.config

    @classmethod
    def usual_tile(cls, config: Any, least: float = 0, most: float = math.inf) -> int | None:  # noqa: ARG003
        """Side of its tiles in pixels; None where they have the side that its tower says.

        Args:
            config: Of a model of the family.
            least: Smaller images its stock processor enlarges; see ``ImageProcessor``.
            most: Larger ones it shrinks.
        """
        return None

    @property
    def is_clip(self) -> bool:
        """Whether its tower is a CLIP of which one layer makes the tokens, so it can be entered.

        Other towers have no class token, or pool: signals would be of other tokens.
        """
        layer = getattr(self.config, "vision_feature_layer", 0)
        tower = self.config.vision_config.model_type
        return bool(tower == "clip_vision_model") and isinstance(layer, int)

    def policy(self, settings: HostSettings) -> str:
        """The position policy of a host with some settings."""
        return settings.positions or self.policies[0]

    def prompt_style(self, policy: str) -> PromptStyle:
        """What its stock prompts put around the vision tokens under a position policy."""
        image_id = getattr(self.config, "image_token_id", None)
        return PromptStyle(
            markers=self.words_scene if policy == "scene" else self.words,
            template=self.template,
            vocabulary=self.model.get_input_embeddings().num_embeddings,
            image_id=image_id if isinstance(image_id, int) else None,
            by_word=self.by_word,
            chat_image=self.chat_image,
            marks_in_chats=self.marks_in_chats,
        )

    def token_settings(self, settings: HostSettings, grid: tuple[int, int]) -> dict[str, Any]:
        """What its tokens depend on besides weights, dtype and device, as JSON can say it.

        Args:
            settings: Of the host.
            grid: ``(rows, columns)`` of the tokens of a tile, after pooling.
        """
        return {
            "family": type(self).__name__,
            "config": {**self.config.to_dict(), "_name_or_path": None},
            "attention": getattr(self.vision.config, "_attn_implementation", ""),
            "normalization": [settings.image_mean, settings.image_std],
            "tile_size": self.tile_size,
            "grid": grid,
            "pool": settings.pool,
        }

    def encode(self, images: Tensor) -> Tensor:
        """Vision tokens ``(k, rows · columns, d · (1 + deep))`` of images ``(k, 3, T, T)``.

        Images are normalized and of the model's type. Where there are deep features, they follow a
        token's own in the same vector, so that whatever selects tokens selects them too. Here they
        are what the stock model makes of an image.
        """
        output = self.model.model.get_image_features(pixel_values=images, return_dict=True)
        tokens: Tensor = output.pooler_output
        return tokens

    def logits(self, states: Tensor) -> Tensor:
        """Logits ``(m, V)`` of the next token after states ``(m, d)``."""
        logits: Tensor = self.model.lm_head(states)
        return logits

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:
        """What its tower and projector compute for one tile.

        Args:
            config: Of a model of the family.
            tile_size: Side of a tile in pixels, for families that take any.
        """
        raise NotImplementedError

    @classmethod
    def host_shape(
        cls, config: Any, focus_layer: int, tile_size: int | None = None
    ) -> HostShape | None:
        """The shape of a model of the family; None where it cannot be told.

        Args:
            config: With ``vision_config`` and ``text_config``.
            focus_layer: See ``HostShape``.
            tile_size: Side of a tile in pixels, for families that take any.
        """
        try:
            encoder = cls.encoder_shape(config, tile_size)
            return host_shape(encoder, config.text_config, focus_layer, cls.sight)
        except (ArithmeticError, AttributeError, TypeError, ModelError):
            return None

    def _feature_layers(self, depth: int) -> tuple[int, ...]:
        """The hidden states of a tower of ``depth`` layers that tokens are made of.

        They are numbered as in ``hidden_states``: 0 are the embeddings, -1 is the last layer's.
        """
        setting = self.config.vision_feature_layer
        layers = tuple(setting) if isinstance(setting, (list, tuple)) else (setting,)
        if not layers or not all(_is_layer(each, depth) for each in layers):
            raise ModelError(
                f"the vision_feature_layer {setting!r} is not one of the hidden states "
                f"{-depth - 1} to {depth} of the vision tower of this {self.model_type}; "
                "correct its config.json, or download the model again"
            )
        return layers

    def _grid(self, patches: int, merge: int = 1) -> tuple[int, int]:
        """Tokens of a tile with so many patches a side, ``merge × merge`` of which are one."""
        if merge < 1 or patches < merge or patches % merge:
            raise ModelError(
                f"{patches} patches along a side of a tile cannot be merged {merge} × {merge}, as "
                f"the config.json of this {self.model_type} says; correct it, or download the "
                "model again"
            )
        return (patches // merge, patches // merge)

    def _only_tile_size(self, tile_size: int | None, fixed: int) -> int:
        if tile_size not in (None, fixed):
            raise ModelError(
                f"a {self.model_type} takes tiles of {fixed} pixels, not {tile_size}; correct "
                f"tile_size in its {SETTINGS_FILE}, or leave it out"
            )
        return fixed


def _is_layer(number: object, depth: int) -> bool:
    return isinstance(number, int) and -depth - 1 <= number <= depth
