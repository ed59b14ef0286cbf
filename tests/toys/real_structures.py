"""The sizes of published checkpoints, as configurations of their stock classes.

Values are those of the checkpoints' own ``config.json``. Models of them are made on the device
``meta``: they have shapes and no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import transformers

from geofovea.pipeline.hosts.families.registry import FAMILIES

__all__ = ["STRUCTURES", "Structure"]


@dataclass(frozen=True)
class Structure:
    """One checkpoint.

    Attributes:
        family: Its ``model_type``.
        text: Width, width of the MLP, layers, query heads, key heads, vocabulary.
        kind: The kind of the decoder, for families that take several.
        vision: The name of its tower.
        tied: Whether the output matrix is the embedding.
        more: Of the decoder.
    """

    family: str
    text: tuple[int, int, int, int, int, int]
    kind: str = ""
    vision: str = ""
    tied: bool = False
    more: tuple[tuple[str, Any], ...] = ()

    @property
    def period(self) -> int:
        """After how many layers of the decoder their weights begin again."""
        return 4 if self.family in _QWEN_3_5 else 1

    @property
    def fewest_layers(self) -> int:
        """So many that every kind of layer is there, and no layer is alone."""
        return max(2, self.period, _FIRST_WITHOUT_WINDOW.get(self.family, 0))

    def config(self, layers: int | None = None) -> Any:
        """The configuration, with another number of decoder layers where one is given."""
        width, inner, depth, heads, key_heads, vocabulary = self.text
        text = {
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers or depth,
            "num_attention_heads": heads,
            "num_key_value_heads": key_heads,
            "vocab_size": vocabulary,
            "max_position_embeddings": 32_768,
            "pad_token_id": None,
        } | dict(self.more)
        if self.kind:
            text["model_type"] = self.kind
        vision = _TOWERS[self.vision or self.family] | (
            {"out_hidden_size": width} if self.family in _OF_TEXT_WIDTH else {}
        )
        if self.family == "qwen2_vl":
            vision |= {"hidden_size": width}
        if self.family == "paligemma":
            vision |= {"projection_dim": width}
        kind = getattr(transformers, FAMILIES[self.family].model_class).config_class
        more = {"scale_factor": vision["scale_factor"]} if "scale_factor" in vision else {}
        if self.family == "pixtral":
            more = {"vision_feature_select_strategy": "full", "vision_feature_layer": -1}
        vision = {name: value for name, value in vision.items() if name != "scale_factor"}
        return kind(
            vision_config=vision,
            text_config=text,
            tie_word_embeddings=self.tied,
            image_token_id=10,
            **more,
        )


_QWEN_3_5 = {"qwen3_5", "qwen3_5_moe"}
_FIRST_WITHOUT_WINDOW = {"gemma3": 6, "paligemma": 2}
_OF_TEXT_WIDTH = {"qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "glm4v", "glm4v_moe"} | _QWEN_3_5
_CLIP = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
_CLIP |= {"num_attention_heads": 16, "patch_size": 14, "image_size": 336}
_CLIP |= {"model_type": "clip_vision_model", "projection_dim": 768}
_SO400M = {"hidden_size": 1152, "intermediate_size": 4304, "num_attention_heads": 16}
_SO400M |= {"num_hidden_layers": 27, "patch_size": 14}
_QWEN3_VISION = {"patch_size": 16, "num_heads": 16, "spatial_merge_size": 2}
_QWEN3_VISION |= {"num_position_embeddings": 2304}
_INTERNVIT = {"image_size": [448, 448], "patch_size": [14, 14]}
_GLM_VISION = {"depth": 24, "hidden_size": 1536, "num_heads": 12, "patch_size": 14}
_GLM_VISION |= {"spatial_merge_size": 2, "image_size": 336}
_TOWERS: dict[str, dict[str, Any]] = {
    "llava": _CLIP,
    "llava_next": _CLIP,
    "llava_onevision": _SO400M
    | {"model_type": "siglip_vision_model", "num_hidden_layers": 26, "image_size": 384}
    | {"vision_use_head": False},
    "qwen2_vl": {"depth": 32, "embed_dim": 1280, "mlp_ratio": 4, "num_heads": 16},
    "qwen2_5_vl": {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16},
    "qwen3_vl": _QWEN3_VISION
    | {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304}
    | {"deepstack_visual_indexes": [8, 16, 24]},
    "qwen3_vl_small": _QWEN3_VISION
    | {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096}
    | {"deepstack_visual_indexes": [5, 11, 17]},
    "internvl": _INTERNVIT
    | {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24}
    | {"num_attention_heads": 16},
    "internvl_6b": _INTERNVIT
    | {"hidden_size": 3200, "intermediate_size": 12800, "num_hidden_layers": 45}
    | {"num_attention_heads": 25, "use_qk_norm": True, "norm_type": "rms_norm"}
    | {"attention_bias": False},
    "idefics3": _SO400M | {"image_size": 364, "scale_factor": 2},
    "smolvlm": _SO400M | {"image_size": 384, "scale_factor": 3},
    "smolvlm_small": {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12}
    | {"num_attention_heads": 12, "image_size": 512, "patch_size": 16, "scale_factor": 4},
    "glm4v": _GLM_VISION | {"intermediate_size": 13696},
    "glm4v_moe": _GLM_VISION | {"intermediate_size": 10944},
}
_TOWERS["gemma3"] = _SO400M | {"model_type": "siglip_vision_model", "vision_use_head": False}
_TOWERS["gemma3"] |= {"image_size": 896}
_TOWERS["mistral3"] = {"model_type": "pixtral", "hidden_size": 1024, "intermediate_size": 4096}
_TOWERS["mistral3"] |= {"num_hidden_layers": 24, "num_attention_heads": 16, "head_dim": 64}
_TOWERS["mistral3"] |= {"image_size": 1540, "patch_size": 14}
_TOWERS["pixtral"] = _TOWERS["mistral3"] | {"image_size": 1024, "patch_size": 16}
_TOWERS["paligemma"] = _TOWERS["gemma3"] | {"image_size": 448}
_TOWERS["qwen3_vl_moe"] = _TOWERS["qwen3_vl"]
_TOWERS["qwen3_5"] = _QWEN3_VISION | {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304}
_TOWERS["qwen3_5_moe"] = _TOWERS["qwen3_5"]
_TOWERS["qwen3_5_small"] = _QWEN3_VISION | {"depth": 24, "hidden_size": 1024}
_TOWERS["qwen3_5_small"] |= {"intermediate_size": 4096}
_TOWERS["qwen3_5_tiny"] = _QWEN3_VISION | {"depth": 12, "hidden_size": 768, "num_heads": 12}
_TOWERS["qwen3_5_tiny"] |= {"intermediate_size": 3072}

_HEAD = (("head_dim", 128),)
_QWEN35_MOE = (("head_dim", 256), ("num_experts", 256), ("num_experts_per_tok", 8))
_QWEN35_MOE += (("moe_intermediate_size", 512), ("shared_expert_intermediate_size", 512))
_QWEN35_MOE += (("linear_num_key_heads", 16), ("linear_num_value_heads", 32))
_GLM_ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [8, 12, 12]}
_GLM_ROPE |= {"partial_rotary_factor": 0.5}
_GLM = (("rope_parameters", _GLM_ROPE),)
_GLM_MOE = (*_GLM, ("n_routed_experts", 128), ("n_shared_experts", 1), ("num_experts_per_tok", 8))
_GLM_MOE += (("moe_intermediate_size", 1408), ("first_k_dense_replace", 1), ("head_dim", 128))
_GLM_MOE += (("n_group", 1), ("topk_group", 1))


def _experts(inner: int) -> tuple[tuple[str, Any], ...]:
    return (
        *_HEAD,
        ("num_experts", 128),
        ("num_experts_per_tok", 8),
        ("moe_intermediate_size", inner),
    )


def _gemma3(text: tuple[int, int, int, int, int, int], head_dim: int) -> Structure:
    more = (("head_dim", head_dim), ("sliding_window", 1024))
    return Structure("gemma3", text, tied=True, more=more)


def _paligemma2(text: tuple[int, int, int, int, int, int], head_dim: int) -> Structure:
    more = (("head_dim", head_dim), ("sliding_window", 4096))
    return Structure("paligemma", text, "gemma2", tied=True, more=more)


def _qwen35(
    text: tuple[int, int, int, int, int, int],
    value_heads: int,
    vision: str = "",
    *,
    tied: bool = False,
) -> Structure:
    more = (
        ("head_dim", 256),
        ("linear_num_key_heads", 16),
        ("linear_num_value_heads", value_heads),
    )
    return Structure("qwen3_5", text, "", vision, tied, more)


def _internvl(text: tuple[int, ...], kind: str, vision: str = "") -> Structure:
    more = _HEAD if kind == "qwen3" else _experts(768) if kind == "qwen3_moe" else ()
    return Structure("internvl", text, kind, vision, more=more)  # type: ignore[arg-type]


STRUCTURES: dict[str, Structure] = {
    "HuggingFaceTB/SmolVLM2-500M-Video-Instruct": Structure(
        "smolvlm", (960, 2560, 32, 15, 5, 49280), "llama", "smolvlm_small"
    ),
    "HuggingFaceTB/SmolVLM2-2.2B-Instruct": Structure(
        "smolvlm", (2048, 8192, 24, 32, 32, 49280), "llama"
    ),
    "HuggingFaceM4/Idefics3-8B-Llama3": Structure(
        "idefics3", (4096, 14336, 32, 32, 8, 128259), "llama"
    ),
    "llava-hf/llava-onevision-qwen2-0.5b-ov-hf": Structure(
        "llava_onevision", (896, 4864, 24, 14, 2, 152000), "qwen2", tied=True
    ),
    "llava-hf/llava-onevision-qwen2-7b-ov-hf": Structure(
        "llava_onevision", (3584, 18944, 28, 28, 4, 152128), "qwen2"
    ),
    "llava-hf/llava-1.5-7b-hf": Structure("llava", (4096, 11008, 32, 32, 32, 32064), "llama"),
    "llava-hf/llava-1.5-13b-hf": Structure("llava", (5120, 13824, 40, 40, 40, 32064), "llama"),
    "llava-hf/llava-v1.6-mistral-7b-hf": Structure(
        "llava_next", (4096, 14336, 32, 32, 8, 32064), "mistral"
    ),
    "llava-hf/llama3-llava-next-8b-hf": Structure(
        "llava_next", (4096, 14336, 32, 32, 8, 128320), "llama"
    ),
    "llava-hf/llava-v1.6-34b-hf": Structure("llava_next", (7168, 20480, 60, 56, 8, 64064), "llama"),
    "Qwen/Qwen2-VL-2B-Instruct": Structure("qwen2_vl", (1536, 8960, 28, 12, 2, 151936), tied=True),
    "Qwen/Qwen2-VL-7B-Instruct": Structure("qwen2_vl", (3584, 18944, 28, 28, 4, 152064)),
    "Qwen/Qwen2.5-VL-3B-Instruct": Structure(
        "qwen2_5_vl", (2048, 11008, 36, 16, 2, 151936), tied=True
    ),
    "Qwen/Qwen2.5-VL-7B-Instruct": Structure("qwen2_5_vl", (3584, 18944, 28, 28, 4, 152064)),
    "Qwen/Qwen2.5-VL-32B-Instruct": Structure("qwen2_5_vl", (5120, 27648, 64, 40, 8, 152064)),
    "Qwen/Qwen2.5-VL-72B-Instruct": Structure("qwen2_5_vl", (8192, 29568, 80, 64, 8, 152064)),
    "Qwen/Qwen3-VL-2B-Instruct": Structure(
        "qwen3_vl", (2048, 6144, 28, 16, 8, 151936), "", "qwen3_vl_small", True, _HEAD
    ),
    "Qwen/Qwen3-VL-4B-Instruct": Structure(
        "qwen3_vl", (2560, 9728, 36, 32, 8, 151936), "", "qwen3_vl_small", True, _HEAD
    ),
    "Qwen/Qwen3-VL-8B-Instruct": Structure(
        "qwen3_vl", (4096, 12288, 36, 32, 8, 151936), more=_HEAD
    ),
    "Qwen/Qwen3-VL-32B-Instruct": Structure(
        "qwen3_vl", (5120, 25600, 64, 64, 8, 151936), more=_HEAD
    ),
    "Qwen/Qwen3-VL-30B-A3B-Instruct": Structure(
        "qwen3_vl_moe", (2048, 6144, 48, 32, 4, 151936), more=_experts(768)
    ),
    "Qwen/Qwen3-VL-235B-A22B-Instruct": Structure(
        "qwen3_vl_moe", (4096, 12288, 94, 64, 4, 151936), more=_experts(1536)
    ),
    "zai-org/GLM-4.1V-9B-Thinking": Structure("glm4v", (4096, 13696, 40, 32, 2, 151552), more=_GLM),
    "zai-org/GLM-4.6V-Flash": Structure("glm4v", (4096, 13696, 40, 32, 2, 151552), more=_GLM),
    "zai-org/GLM-4.5V": Structure("glm4v_moe", (4096, 10944, 46, 96, 8, 151552), more=_GLM_MOE),
    "OpenGVLab/InternVL3-1B-hf": _internvl((896, 4864, 24, 14, 2, 151674), "qwen2"),
    "google/gemma-3-4b-it": _gemma3((2560, 10240, 34, 8, 4, 262208), 256),
    "google/gemma-3-12b-it": _gemma3((3840, 15360, 48, 16, 8, 262208), 256),
    "google/gemma-3-27b-it": _gemma3((5376, 21504, 62, 32, 16, 262208), 128),
    "mistralai/Mistral-Small-3.1-24B-Instruct-2503": Structure(
        "mistral3", (5120, 32768, 40, 32, 8, 131072), "mistral", more=(("head_dim", 128),)
    ),
    "mistral-community/pixtral-12b": Structure(
        "pixtral", (5120, 14336, 40, 32, 8, 131072), "mistral", more=_HEAD
    ),
    "google/paligemma2-3b-mix-448": _paligemma2((2304, 9216, 26, 8, 4, 257216), 256),
    "google/paligemma2-10b-mix-448": _paligemma2((3584, 14336, 42, 16, 8, 257216), 256),
    "google/paligemma2-28b-mix-448": _paligemma2((4608, 36864, 46, 32, 16, 257216), 128),
    "Qwen/Qwen3.5-0.8B": _qwen35((1024, 3584, 24, 8, 2, 248320), 16, "qwen3_5_tiny", tied=True),
    "Qwen/Qwen3.5-2B": _qwen35((2048, 6144, 24, 8, 2, 248320), 16, "qwen3_5_small", tied=True),
    "Qwen/Qwen3.5-4B": _qwen35((2560, 9216, 32, 16, 4, 248320), 32, "qwen3_5_small", tied=True),
    "Qwen/Qwen3.5-9B": _qwen35((4096, 12288, 32, 16, 4, 248320), 32),
    "Qwen/Qwen3.5-27B": _qwen35((5120, 17408, 64, 24, 4, 248320), 48),
    "Qwen/Qwen3.5-35B-A3B": Structure(
        "qwen3_5_moe", (2048, 512, 40, 16, 2, 248320), more=_QWEN35_MOE
    ),
    "OpenGVLab/InternVL3-2B-hf": _internvl((1536, 8960, 28, 12, 2, 151674), "qwen2"),
    "OpenGVLab/InternVL3-8B-hf": _internvl((3584, 18944, 28, 28, 4, 151674), "qwen2"),
    "OpenGVLab/InternVL3-14B-hf": _internvl((5120, 13824, 48, 40, 8, 151674), "qwen2"),
    "OpenGVLab/InternVL3-38B-hf": _internvl(
        (5120, 27648, 64, 40, 8, 151674), "qwen2", "internvl_6b"
    ),
    "OpenGVLab/InternVL3-78B-hf": _internvl(
        (8192, 29568, 80, 64, 8, 151674), "qwen2", "internvl_6b"
    ),
    "OpenGVLab/InternVL3_5-1B-HF": _internvl((1024, 3072, 28, 16, 8, 151936), "qwen3"),
    "OpenGVLab/InternVL3_5-2B-HF": _internvl((2048, 6144, 28, 16, 8, 151936), "qwen3"),
    "OpenGVLab/InternVL3_5-4B-HF": _internvl((2560, 9728, 36, 32, 8, 151936), "qwen3"),
    "OpenGVLab/InternVL3_5-8B-HF": _internvl((4096, 12288, 36, 32, 8, 151936), "qwen3"),
    "OpenGVLab/InternVL3_5-14B-HF": _internvl((5120, 17408, 40, 40, 8, 151936), "qwen3"),
    "OpenGVLab/InternVL3_5-38B-HF": _internvl(
        (5120, 25600, 64, 64, 8, 151936), "qwen3", "internvl_6b"
    ),
    "OpenGVLab/InternVL3_5-30B-A3B-HF": _internvl((2048, 6144, 48, 32, 4, 151936), "qwen3_moe"),
}
"""By hub id."""
