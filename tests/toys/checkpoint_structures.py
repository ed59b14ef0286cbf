"""Structures of checkpoints that people name: layers, ids, contexts, templates; widths are tiny.

Depths, patches, ids of words, contexts and rotary settings are those of the published files. Heads
and widths are cut down, so that a model takes no time; nothing here holds weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from chat_templates import (
    GEMMA_3,
    GLM,
    IDEFICS,
    INTERN,
    LLAMA_3,
    MISTRAL,
    MISTRAL_3,
    ONEVISION,
    QWEN,
    VICUNA,
    YI,
)

__all__ = ["STRUCTURES", "Structure", "Words"]

_QWEN_WORDS = (
    ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    + [f"<|{part}_ref_{end}|>" for part in ("object",) for end in ("start", "end")]
    + [f"<|{part}_{end}|>" for part in ("box", "quad", "vision") for end in ("start", "end")]
    + ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<tool_call>", "</tool_call>"]
    + [f"<|fim_{part}|>" for part in ("prefix", "middle", "suffix", "pad")]
    + ["<|repo_name|>", "<|file_sep|>", "<tool_response>", "</tool_response>"]
    + ["<think>", "</think>"]
)
_PLAIN = tuple(_QWEN_WORDS[14:])


@dataclass(frozen=True)
class Words:
    """The words of a tokenizer: how many ordinary ones, and the special ones by their ids."""

    ordinary: int
    special: Mapping[int, str]
    begin: str | None = None
    plain: tuple[str, ...] = ()
    named: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Structure:
    """A checkpoint with tiny widths.

    Attributes:
        family: Of ours.
        vision: Its tower.
        text: Its decoder; ``model_type`` is its kind.
        image: Word of an image.
        words: Its tokenizer.
        template: Its chat template, if any.
        tile: Side of a tile in pixels.
        grid: Tokens along a side of it.
        more: The rest of its configuration.
        thinks: Whether its prompt opens a thought.
    """

    family: str
    vision: Mapping[str, Any]
    text: Mapping[str, Any]
    image: str
    words: Words
    template: str | None
    tile: int
    grid: int
    more: Mapping[str, Any] = field(default_factory=dict)
    thinks: bool = False


_NARROW = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 4}
_CLIP = _NARROW | {
    "model_type": "clip_vision_model",
    "image_size": 336,
    "patch_size": 14,
    "num_hidden_layers": 24,
}
_SIGLIP = _NARROW | {"model_type": "siglip_vision_model", "vision_use_head": False}


def _text(kind: str, layers: int, vocabulary: int, context: int, **more: Any) -> dict[str, Any]:
    sizes = {"num_key_value_heads": 2, "num_hidden_layers": layers, "vocab_size": vocabulary}
    return _NARROW | sizes | {"model_type": kind, "max_position_embeddings": context} | more


@cache
def _qwen_words(*behind: str) -> Words:
    words = [*_QWEN_WORDS[:14], *behind] if behind else _QWEN_WORDS
    named = {}
    if "<IMG_CONTEXT>" in behind:
        named = {
            "start_image_token": "<img>",
            "end_image_token": "</img>",
            "context_image_token": "<IMG_CONTEXT>",
        }
    plain = tuple(word for word in _PLAIN if word in words)
    return Words(151643, {151643 + i: w for i, w in enumerate(words)}, None, plain, named)


_LLAMA_WORDS = Words(32000, {32000: "<image>", 32001: "<pad>", 32002: "<s>"}, "<s>")
_LLAVA = {"vision_feature_layer": -2, "vision_feature_select_strategy": "default"}
_PINPOINTS = {
    "image_grid_pinpoints": [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]
}


def _llava(layers: int) -> Structure:
    text = _text("llama", layers, 32064, 4096)
    more = _LLAVA | {"image_token_index": 32000}
    return Structure("llava", _CLIP, text, "<image>", _LLAMA_WORDS, VICUNA, 336, 24, more)


def _next(text: dict[str, Any], image: int, words: Words, template: str) -> Structure:
    more = _LLAVA | _PINPOINTS | {"image_token_index": image}
    return Structure("llava_next", _CLIP, text, "<image>", words, template, 336, 24, more)


_YI_WORDS = {64000: "<image>", 64001: "<|startoftext|>", 64002: "<|im_start|>", 64003: "<|im_end|>"}
_LLAMA_3_WORDS = ("<|begin_of_text|>", "<|end_of_text|>")
_LLAMA_3 = dict(enumerate(_LLAMA_3_WORDS, start=128000)) | {
    128006: "<|start_header_id|>",
    128007: "<|end_header_id|>",
    128009: "<|eot_id|>",
}


def _onevision(layers: int, *, tied: bool) -> Structure:
    words = {151643 + i: w for i, w in enumerate((*_QWEN_WORDS[:3], "<image>", "<video>"))}
    sides = range(384, 2305, 384)
    more = {
        "image_token_index": 151646,
        "video_token_index": 151647,
        "image_grid_pinpoints": [[a, b] for a in sides for b in sides],
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "tie_word_embeddings": tied,
    }
    vision = _SIGLIP | {"image_size": 384, "patch_size": 14, "num_hidden_layers": 26}
    text = _text("qwen2", layers, 152000, 32768, rope_theta=1e6)
    words_of = Words(151643, words)
    return Structure("llava_onevision", vision, text, "<image>", words_of, ONEVISION, 384, 27, more)


_QWEN_IDS = {
    "image_token_id": 151655,
    "video_token_id": 151656,
    "vision_start_token_id": 151652,
    "vision_end_token_id": 151653,
}


def _qwen(
    family: str, vision: dict[str, Any], text: dict[str, Any], patch: int, **more: Any
) -> Structure:
    has_system = family in ("qwen2_vl", "qwen2_5_vl")
    template = ("{% set system = true %}" if has_system else "") + QWEN
    thinks = more.pop("thinks", False)
    if thinks:
        template = template.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
    tower = {"patch_size": patch, "spatial_merge_size": 2, "num_heads": 4} | vision
    return Structure(
        family,
        tower,
        text,
        "<|image_pad|>",
        _qwen_words(),
        template,
        24 * patch,
        12,
        _QWEN_IDS | more,
        thinks,
    )


def _qwen3(depth: int, deep: list[int], text: dict[str, Any], **more: Any) -> Structure:
    vision = {"depth": depth, "hidden_size": 32, "intermediate_size": 32, "out_hidden_size": 32}
    vision |= {"num_position_embeddings": 2304, "deepstack_visual_indexes": deep}
    family = "qwen3_vl_moe" if "moe" in text["model_type"] else "qwen3_vl"
    return _qwen(family, vision, text, 16, **more)


def _qwen3_text(layers: int, kind: str = "qwen3_vl_text", **more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "mrope_interleaved": True, "mrope_section": [24, 20, 20]}
    rope |= {"rope_theta": 5e6}
    sizes = {"head_dim": 128, "rope_parameters": rope}
    return _text(kind, layers, 151936, 262144, **sizes, **more)


_QWEN2_ROPE = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
_QWEN2_HEADS = {"hidden_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1}


def _qwen25(layers: int, vocabulary: int, *, tied: bool) -> Structure:
    vision = {"depth": 32, "hidden_size": 32, "intermediate_size": 32, "window_size": 112}
    vision |= {"fullatt_block_indexes": [7, 15, 23, 31], "out_hidden_size": 256}
    text = _text("qwen2_5_vl_text", layers, vocabulary, 128000, rope_parameters=_QWEN2_ROPE)
    return _qwen("qwen2_5_vl", vision, text | _QWEN2_HEADS, 14, tie_word_embeddings=tied)


def _intern(text: dict[str, Any], image: int, depth: int = 24, **vision: Any) -> Structure:
    tower = _NARROW | {"num_hidden_layers": depth, "image_size": [448, 448], "patch_size": [14, 14]}
    tower |= {"norm_type": "layer_norm", "attention_bias": True} | vision
    between = [f"<unused_{i}>" for i in range(151657, image - 2)]
    words = _qwen_words(*between, "<img>", "</img>", "<IMG_CONTEXT>")
    more = {"image_token_id": image, "image_seq_length": 256, "downsample_ratio": 0.5}
    more |= {"vision_feature_layer": -1, "tie_word_embeddings": False}
    return Structure("internvl", tower, text, "<IMG_CONTEXT>", words, INTERN, 448, 16, more)


_DYNAMIC = {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6}}
_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def _idefics(
    family: str,
    text: dict[str, Any],
    side: int,
    patch: int,
    depth: int,
    scale: int,
    words: Words,
    ids: tuple[int, int],
) -> Structure:
    tower = _NARROW | {"image_size": side, "patch_size": patch, "num_hidden_layers": depth}
    template = f"{{% set begin = '{words.begin}' %}}{IDEFICS}"
    more = {"image_token_id": ids[0], "scale_factor": scale, "pad_token_id": ids[1]}
    grid = side // patch // scale
    return Structure(family, tower, text, "<image>", words, template, side, grid, more)


_FAKE, _END = "<fake_token_around_image>", "<end_of_utterance>"
_IDEFICS_WORDS = Words(
    128000,
    {128000: "<|begin_of_text|>", 128002: "<global-img>", 128256: _FAKE}
    | {128257: "<image>", 128258: _END},
    "<|begin_of_text|>",
)
_SMOL_WORDS = Words(
    49152 - 3,
    {49149: "<|endoftext|>", 49150: "<|im_start|>", 49151: "<|im_end|>", 49152: "<global-img>"}
    | {49189: _FAKE, 49190: "<image>", 49279: _END},
    "<|im_start|>",
)


def _smol(family: str, side: int, patch: int, depth: int, scale: int) -> Structure:
    text = _text("llama", 24, 49280, 8192, head_dim=8)
    return _idefics(family, text, side, patch, depth, scale, _SMOL_WORDS, (49190, 2))


def _glm(family: str, template: str, *, thinks: bool) -> Structure:
    vision = {"depth": 24, "hidden_size": 32, "num_heads": 4, "intermediate_size": 32}
    vision |= {"patch_size": 14, "spatial_merge_size": 2, "out_hidden_size": 256}
    vision |= {"image_size": 336, "model_type": "glm4v_vision"}
    rope = {"rope_type": "default", "mrope_section": [8, 12, 12], "partial_rotary_factor": 0.5}
    text = _text("glm4v_text", 40, 151552, 65536, rope_parameters=rope | {"rope_theta": 1e4})
    text |= _QWEN2_HEADS
    special = {151329: "<|endoftext|>", 151331: "[gMASK]", 151333: "<sop>", 151336: "<|user|>"}
    special |= {151337: "<|assistant|>", 151339: "<|begin_of_image|>", 151340: "<|end_of_image|>"}
    special |= {151343: "<|image|>", 151344: "<|video|>", 151350: "<think>", 151351: "</think>"}
    words = Words(151329, special, None, ("<think>", "</think>"))
    more = {"image_token_id": 151343, "image_start_token_id": 151339, "video_token_id": 151344}
    more |= {"image_end_token_id": 151340}
    return Structure(
        family, vision, text, "<|image|>", words, template, 336, 12, more, thinks=thinks
    )


_GEMMA_WORDS = Words(
    255999,
    {255999: "<start_of_image>", 256000: "<end_of_image>", 262000: "<start_of_turn>"}
    | {262001: "<end_of_turn>", 262002: "<bos>", 262144: "<image_soft_token>"},
    "<bos>",
    named={
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    },
)
_PALI_WORDS = Words(256000, {256000: "<bos>", 257152: "<image>"}, "<bos>")
_MISTRAL_WORDS = Words(
    130000,
    {130000: "<s>", 130001: "[INST]", 130002: "[/INST]", 130003: "[IMG]", 130004: "[IMG_BREAK]"}
    | {130005: "[IMG_END]"},
    "<s>",
)


def _mistral(family: str, patch: int, side: int, vocabulary: int, **more: Any) -> Structure:
    tower = _NARROW | {"model_type": "pixtral", "image_size": side, "patch_size": patch}
    tower |= {"num_hidden_layers": 24, "head_dim": 8}
    text = _text("mistral", 40, vocabulary, 131072, head_dim=8, sliding_window=None)
    more |= {"image_token_index": 130003, "vision_feature_layer": -1}
    tile, grid = (384, 24) if family == "pixtral" else (336, 12)
    words = _MISTRAL_WORDS
    return Structure(family, tower, text, "[IMG]", words, MISTRAL_3, tile, grid, more)


def _paligemma(kind: str, side: int) -> Structure:
    vision = _SIGLIP | {"image_size": side, "patch_size": 14, "num_hidden_layers": 27}
    window = {"sliding_window": 4096, "query_pre_attn_scalar": 256} if kind == "gemma2" else {}
    text = _text(kind, 26, 257216, 8192, head_dim=8, **window)
    more = {"image_token_index": 257152, "projection_dim": 32, "hidden_size": 32}
    return Structure(
        "paligemma", vision, text, "<image>", _PALI_WORDS, None, side, side // 14, more
    )


STRUCTURES = {
    "llava-1.5-7b-hf": _llava(32),
    "llava-1.5-13b-hf": _llava(40),
    "llava-v1.6-vicuna-7b-hf": _next(_text("llama", 32, 32064, 4096), 32000, _LLAMA_WORDS, VICUNA),
    "llava-v1.6-vicuna-13b-hf": _next(_text("llama", 40, 32064, 4096), 32000, _LLAMA_WORDS, VICUNA),
    "llava-v1.6-mistral-7b-hf": _next(
        _text("mistral", 32, 32064, 32768, sliding_window=None, rope_theta=1e6),
        32000,
        _LLAMA_WORDS,
        MISTRAL,
    ),
    "llava-v1.6-34b-hf": _next(
        _text("llama", 60, 64064, 4096, rope_theta=5e6),
        64000,
        Words(64000, _YI_WORDS, "<|startoftext|>"),
        YI,
    ),
    "llama3-llava-next-8b-hf": _next(
        _text("llama", 32, 128320, 8192, rope_theta=5e5),
        128256,
        Words(128000, _LLAMA_3 | {128256: "<image>"}, "<|begin_of_text|>"),
        LLAMA_3,
    ),
    "llava-onevision-qwen2-0.5b-ov-hf": _onevision(24, tied=True),
    "llava-onevision-qwen2-7b-ov-hf": _onevision(28, tied=False),
    "Qwen2-VL-7B-Instruct": _qwen(
        "qwen2_vl",
        {"depth": 32, "embed_dim": 32, "hidden_size": 256, "mlp_ratio": 4},
        _text("qwen2_vl_text", 28, 152064, 32768, rope_parameters=_QWEN2_ROPE) | _QWEN2_HEADS,
        14,
    ),
    "Qwen2.5-VL-3B-Instruct": _qwen25(36, 151936, tied=True),
    "Qwen2.5-VL-7B-Instruct": _qwen25(28, 152064, tied=False),
    "Qwen3-VL-2B-Instruct": _qwen3(24, [5, 11, 17], _qwen3_text(28), tie_word_embeddings=True),
    "Qwen3-VL-4B-Instruct": _qwen3(24, [5, 11, 17], _qwen3_text(36), tie_word_embeddings=True),
    "Qwen3-VL-8B-Instruct": _qwen3(27, [8, 16, 24], _qwen3_text(36)),
    "Qwen3-VL-8B-Thinking": _qwen3(27, [8, 16, 24], _qwen3_text(36), thinks=True),
    "Qwen3-VL-32B-Instruct": _qwen3(27, [8, 16, 24], _qwen3_text(64)),
    "Qwen3-VL-30B-A3B-Instruct": _qwen3(
        27, [8, 16, 24], _qwen3_text(48, "qwen3_vl_moe_text", **_MOE)
    ),
    "InternVL3-1B-hf": _intern(_text("qwen2", 24, 151674, 32768, **_DYNAMIC), 151667),
    "InternVL3-8B-hf": _intern(_text("qwen2", 28, 151674, 32768, **_DYNAMIC), 151667),
    "InternVL3-38B-hf": _intern(
        _text("qwen2", 64, 151674, 32768, **_DYNAMIC),
        151667,
        depth=45,
        norm_type="rms_norm",
        use_qk_norm=True,
        attention_bias=False,
    ),
    "InternVL3_5-8B-HF": _intern(_text("qwen3", 36, 151936, 40960, head_dim=128), 151671),
    "InternVL3_5-30B-A3B-HF": _intern(
        _text("qwen3_moe", 48, 151936, 40960, head_dim=128, **_MOE), 151671
    ),
    "Idefics3-8B-Llama3": _idefics(
        "idefics3",
        _text("llama", 32, 128259, 131072, rope_theta=5e5),
        364,
        14,
        27,
        2,
        _IDEFICS_WORDS,
        (128257, 128002),
    ),
    "SmolVLM-Instruct": _smol("idefics3", 384, 14, 27, 3),
    "SmolVLM2-2.2B-Instruct": _smol("smolvlm", 384, 14, 27, 3),
    "SmolVLM-256M-Instruct": _smol("smolvlm", 512, 16, 12, 4),
    "GLM-4.1V-9B-Thinking": _glm(
        "glm4v", GLM.replace("<|assistant|>\n", "<|assistant|>\n<think>"), thinks=True
    ),
    "GLM-4.6V-Flash": _glm("glm46v", GLM, thinks=False),
    "gemma-3-4b-it": Structure(
        "gemma3",
        _SIGLIP | {"image_size": 896, "patch_size": 14, "num_hidden_layers": 27},
        _text("gemma3_text", 34, 262208, 131072, head_dim=8, sliding_window=1024),
        "<image_soft_token>",
        _GEMMA_WORDS,
        GEMMA_3,
        896,
        16,
        {"image_token_index": 262144, "boi_token_index": 255999, "eoi_token_index": 256000},
    ),
    "paligemma-3b-mix-224": _paligemma("gemma", 224),
    "paligemma2-3b-mix-448": _paligemma("gemma2", 448),
    "Mistral-Small-3.1-24B-Instruct-2503": _mistral(
        "mistral3", 14, 1540, 131072, spatial_merge_size=2
    ),
    "pixtral-12b": _mistral("pixtral", 16, 1024, 131072, vision_feature_select_strategy="full"),
}
"""By the name of the repository."""
