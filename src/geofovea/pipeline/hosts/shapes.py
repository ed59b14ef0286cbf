"""The shape of a host by its ``transformers`` config, as its operations are counted by."""

from __future__ import annotations

from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.flops import DecoderShape, EncoderShape, HostShape

__all__ = ["shape_from_config"]

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
