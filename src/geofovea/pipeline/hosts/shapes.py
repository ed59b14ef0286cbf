"""The shape of a host by its ``transformers`` config, as its operations are counted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geofovea.errors import ModelError

__all__ = ["DecoderShape", "EncoderShape", "HostShape", "shape_from_config"]

# decoders with three matrices in every layer's MLP; of experts it is not known which ones run
_GATED = frozenset(
    {
        "gemma",
        "granite",
        "llama",
        "mistral",
        "phi3",
        "qwen2",
        "qwen2_5_vl_text",
        "qwen3",
        "qwen3_vl_text",
    }
)


def shape_from_config(
    config: Any, focus_layer: int, tile_size: int | None = None
) -> HostShape | None:
    """The shape of a model of one of the families; None where it cannot be told.

    Args:
        config: With ``vision_config`` and ``text_config``.
        focus_layer: See ``HostShape``.
        tile_size: Side of a tile in pixels, for families that take any.
    """
    make = _ENCODERS.get(getattr(config, "model_type", None))
    try:
        if make is None or config.text_config.model_type not in _GATED:
            return None
        encoder = make(config, tile_size)
        return HostShape(encoder, _decoder(config.text_config), focus_layer)
    except (ArithmeticError, AttributeError, TypeError, ModelError):
        return None


def _decoder(text: Any) -> DecoderShape:
    return DecoderShape(
        layers=text.num_hidden_layers,
        width=text.hidden_size,
        heads=text.num_attention_heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or text.num_attention_heads,
        head_width=getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads,
        intermediate=text.intermediate_size,
        vocabulary=text.vocab_size,
    )


def _llava(config: Any, _: int | None) -> EncoderShape:
    vision, out = config.vision_config, config.text_config.hidden_size
    width, patches = vision.hidden_size, (vision.image_size // vision.patch_size) ** 2
    layer = config.vision_feature_layer
    joined = width * (1 if isinstance(layer, int) else len(layer))
    pool = 0
    if getattr(vision, "vision_use_head", False) and vision.model_type == "siglip_vision_model":
        # the stock tower pools its patches into one vector, which nothing here reads
        pool = 2 * patches * width * (width + 1) + 2 * width * (width + vision.intermediate_size)
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


def _internvl(config: Any, _: int | None) -> EncoderShape:
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


def _idefics3(config: Any, _: int | None) -> EncoderShape:
    vision, out = config.vision_config, config.text_config.hidden_size
    patches = (vision.image_size // vision.patch_size) ** 2
    return EncoderShape(
        layers=vision.num_hidden_layers,
        width=vision.hidden_size,
        intermediate=vision.intermediate_size,
        patches=patches,
        patch_pixels=3 * vision.patch_size**2,
        # one matrix, from as many patches as are merged
        projector=patches * vision.hidden_size * out,
    )


def _qwen_vl(config: Any, tile_size: int | None) -> EncoderShape:
    vision = config.vision_config
    if tile_size is None:
        raise ModelError("the patches of a tile of any size are not known; give its tile_size")
    deep = len(getattr(vision, "deepstack_visual_indexes", ()))
    side, merged = tile_size // vision.patch_size, vision.spatial_merge_size**2
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


def _window_pairs(vision: Any, side: int) -> int:
    """Pairs of patches that attend to each other in all layers, of a tile of side × side."""
    window = vision.window_size // vision.patch_size // vision.spatial_merge_size
    window *= vision.spatial_merge_size
    along = side // window * window**2 + (side % window) ** 2
    whole = len({*vision.fullatt_block_indexes} & {*range(vision.depth)})
    return int(whole * side**4 + (vision.depth - whole) * along**2)


_ENCODERS: dict[Any, Any] = {
    "llava": _llava,
    "llava_next": _llava,
    "llava_onevision": _llava,
    "internvl": _internvl,
    "idefics3": _idefics3,
    "smolvlm": _idefics3,
    "qwen2_5_vl": _qwen_vl,
    "qwen3_vl": _qwen_vl,
}


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """A decoder of gated layers.

    Attributes:
        layers: Their number.
        width: ``d``.
        heads: Query heads.
        kv_heads: Key and value heads.
        head_width: Of one head.
        intermediate: ``m``, between the two halves of the MLP.
        vocabulary: Rows of the output matrix.

    Raises:
        ModelError: If a number is not positive.
    """

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_width: int
    intermediate: int
    vocabulary: int

    def __post_init__(self) -> None:
        _check_positive(self)

    @property
    def macs_a_token(self) -> int:
        """Multiply-accumulates of the matrices of one layer for one token."""
        attention = 2 * self.width * self.head_width * (self.heads + self.kv_heads)
        return attention + 3 * self.width * self.intermediate

    def prefill(self, tokens: int, layers: int | None = None) -> float:
        """Operations of ``tokens`` through some layers (all by default), causally."""
        count = self.layers if layers is None else layers
        # of n × n pairs a causal mask leaves n (n + 1) / 2, each for scores and for values
        pairs = tokens * (tokens + 1) / 2
        attention = 2 * pairs * self.heads * self.head_width
        return 2.0 * count * (tokens * self.macs_a_token + attention)

    def decode(self, context: int, answer: int) -> float:
        """Operations of ``answer`` further tokens after ``context``, their logits included."""
        return self.layers * self.decode_layer(context, answer) + self.logits(answer)

    def decode_layer(self, context: int, answer: int) -> float:
        """Operations of one layer on ``answer`` further tokens, of whose context it keeps some."""
        pairs = answer * context + answer * (answer + 1) / 2
        attention = 2 * pairs * self.heads * self.head_width
        return 2.0 * (answer * self.macs_a_token + attention)

    def logits(self, rows: int) -> float:
        """Operations of the output matrix for some tokens."""
        return 2.0 * rows * self.width * self.vocabulary

    def keys(self, tokens: int) -> float:
        """Operations of one row of attention: the keys of all tokens, and one query."""
        key_width = self.kv_heads * self.head_width
        query_width = self.heads * self.head_width
        one_row = self.width * query_width + tokens * query_width
        return 2.0 * (tokens * self.width * key_width + one_row)


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """A vision transformer and the projector behind it.

    Attributes:
        layers: Layers that are run.
        width: Of its tokens.
        intermediate: Of its MLPs.
        patches: Patches of one tile.
        patch_pixels: Numbers of one patch, channels included.
        extra_tokens: Tokens besides patches: 1 for a class token.
        matrices: Of each MLP: 2, or 3 with a gate.
        pairs: Tokens that attend to each other, ordered, in all layers; None where all do.
        projector: Multiply-accumulates of what is behind the layers, for one tile; None is that of
            two matrices, to the decoder's width and on.

    Raises:
        ModelError: If a number is not positive.
    """

    layers: int
    width: int
    intermediate: int
    patches: int
    patch_pixels: int
    extra_tokens: int = 0
    matrices: int = 2
    pairs: int | None = None
    projector: int | None = None

    def __post_init__(self) -> None:
        _check_positive(self, but=("extra_tokens",))

    def tiles(self, count: int, projected_width: int) -> float:
        """Operations of some tiles, one after the other, projected to the decoder's width."""
        n, d = self.patches + self.extra_tokens, self.width
        layer = n * (4 * d * d + self.matrices * d * self.intermediate)
        attention = 2 * d * (self.layers * n * n if self.pairs is None else self.pairs)
        embedding = self.patches * d * self.patch_pixels
        projector = self.projector
        if projector is None:
            projector = self.patches * projected_width * (d + projected_width)
        return 2.0 * count * (self.layers * layer + attention + embedding + projector)


@dataclass(frozen=True, slots=True)
class HostShape:
    """What must be known of a host to count its operations.

    Attributes:
        encoder: Its vision side.
        decoder: Its language side.
        focus_layer: Decoder layers that run before the one whose attention is the focus.
    """

    encoder: EncoderShape
    decoder: DecoderShape
    focus_layer: int


def _check_positive(shape: DecoderShape | EncoderShape, but: Sequence[str] = ()) -> None:
    for name, value in asdict(shape).items():
        if value is not None and value < (0 if name in but else 1):
            raise ModelError(f"a model cannot have {name}={value}")
