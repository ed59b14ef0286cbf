"""The embedded model as a folder of standard files: shapes, tokenizer, coordinates of tokens.

It is a LLaVA of stock ``transformers`` classes (CLIP vision tower, two-layer projector, Qwen2
decoder), small enough to travel inside the package. Two things are particular to it, and both are
stated in ``geofovea.json`` beside its weights, which any other model folder may carry too:

* ``pool``: projected tokens are averaged 2 × 2, as the published method does with its tiles;
* ``scene_position``: a linear map of a token's place in the scene (x, y, level) is added to the
  projected token. Its weights are in ``scene_position.safetensors``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geofovea.datasets.synthetic.vocabulary import (
    COLORS,
    DIRECTIONS,
    SETTINGS,
    SHAPES,
    SITES,
    SPELLINGS,
    STATUSES,
    SURFACES,
    THINGS,
)

if TYPE_CHECKING:
    from transformers import (
        CLIPVisionConfig,
        LlavaForConditionalGeneration,
        PreTrainedTokenizerFast,
        Qwen2Config,
    )

__all__ = ["ModelShape", "build_model", "build_tokenizer"]

_HEAD_WIDTH = 64
_SPECIAL_WORDS = ("<pad>", "<unk>", "<s>", "</s>", "<image>")
# a word's place here is its id in the shipped weights, so "colour" stays, which no question uses
_QUESTION_WORDS = " ".join(
    (
        "what how many is are the a at in of to on or under number color",
        "colour",
        "category object surface standing status shape hall located area objects rural urban",
        "north south east west",
    )
)
LARGEST_COUNT = 9
# behind all others, so that weights with fewer words can be trained further
_LATER_WORDS = (
    "visible picture this there any does show kind have which lie further than before after "
    "appeared gone from new did change changed its site gray"
)


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes of an embedded model; the defaults are those of the shipped weights.

    Attributes:
        width: Width of the vision tower and of the decoder.
        vision_layers: Layers of the vision tower.
        decoder_layers: Layers of the decoder.
        tile_size: Side of a tile in pixels.
        patch_size: Side of a patch in pixels.
        pool: Projected tokens are averaged ``pool × pool``.
        focus_layer: The decoder layer whose last-token attention is the focus.
    """

    width: int = 192
    vision_layers: int = 4
    decoder_layers: int = 4
    tile_size: int = 192
    patch_size: int = 16
    pool: int = 2
    focus_layer: int = 2

    @property
    def grid(self) -> int:
        """Vision tokens of a tile along one side."""
        return self.tile_size // self.patch_size // self.pool


def vocabulary() -> list[str]:
    """All words of the embedded model, special ones first, in a fixed order."""
    words = [*_QUESTION_WORDS.split(), "?", "yes", "no"]
    words += [str(n) for n in range(LARGEST_COUNT + 1)]
    for names in (SITES, THINGS, COLORS, STATUSES, SHAPES, SURFACES, DIRECTIONS, SETTINGS):
        words += [word for name in names for word in name.split()]
    words += [f"{thing}s" for thing in THINGS]
    words += _LATER_WORDS.split()
    return list(dict.fromkeys([*_SPECIAL_WORDS, *words]))


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over ``vocabulary()``: lower case, one spelling of each word."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(vocabulary())}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))  # noqa: S106
    spellings = [
        normalizers.Replace(Regex(rf"\b{word}\b"), taught) for word, taught in SPELLINGS.items()
    ]
    # a day is nothing that it could read, and the words around the pictures of two dates end in ":"
    signs = normalizers.Replace(Regex(r"\b\d{4}-\d{2}-\d{2}\b|[,.:!]"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), signs, *spellings])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("?", "isolated")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        pad_token="<pad>",  # noqa: S106
        extra_special_tokens={"image_token": "<image>"},
    )


def build_model(shape: ModelShape) -> LlavaForConditionalGeneration:
    """A randomly initialized model of the given shape; seed torch before the call."""
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    words = vocabulary()
    config = LlavaConfig(
        vision_config=_encoder_config(shape),
        text_config=_decoder_config(shape, words),
        image_token_id=words.index("<image>"),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        tie_word_embeddings=True,
    )
    return LlavaForConditionalGeneration(config)


def _encoder_config(shape: ModelShape) -> CLIPVisionConfig:
    from transformers import CLIPVisionConfig

    return CLIPVisionConfig(
        hidden_size=shape.width,
        intermediate_size=4 * shape.width,
        num_hidden_layers=shape.vision_layers,
        num_attention_heads=shape.width // _HEAD_WIDTH,
        image_size=shape.tile_size,
        patch_size=shape.patch_size,
        hidden_act="gelu_pytorch_tanh",
    )


def _decoder_config(shape: ModelShape, words: Sequence[str]) -> Qwen2Config:
    from transformers import Qwen2Config

    heads = shape.width // _HEAD_WIDTH
    return Qwen2Config(
        vocab_size=-(-len(words) // 64) * 64,
        hidden_size=shape.width,
        intermediate_size=8 * shape.width // 3 // 64 * 64,
        num_hidden_layers=shape.decoder_layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=words.index("<s>"),
        eos_token_id=words.index("</s>"),
        pad_token_id=words.index("<pad>"),
    )
