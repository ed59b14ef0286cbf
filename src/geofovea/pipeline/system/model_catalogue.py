"""Known models by size: what their weights and their keys and values take in memory.

Parameters are those of the real classes built from the published configurations; the memory of a
question is that of the keys and values of its tokens, from layers, key heads and head width.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "WORKSPACE_BYTES", "KnownModel", "bytes_needed", "smallest_download"]

WORKSPACE_BYTES = 1.5e9
"""Buffers of a forward pass, an encoder's batch of tiles, and what the device's runtime takes."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One size of one family.

    Attributes:
        name: As people call it.
        hub_id: For ``--model``, or for an endpoint that serves it.
        family: The ``model_type`` of its ``config.json``.
        billions: Parameters in 10⁹, vision included.
        layers: Of the decoder.
        kv_heads: Key and value heads of one layer.
        head_width: Of one head.
        license: As its model card names it; ``NC`` forbids commercial use.
        published_bytes: Bytes of a parameter in the files on the hub.
    """

    name: str
    hub_id: str
    family: str
    billions: float
    layers: int
    kv_heads: int
    head_width: int
    license: str
    published_bytes: int = 2

    @property
    def download_gb(self) -> float:
        """Its weights on the hub, in 10⁹ bytes; the files beside them are small."""
        return self.billions * self.published_bytes

    @property
    def kv_bytes_a_token(self) -> int:
        """Keys and values of one token over all layers, in bfloat16."""
        return 2 * 2 * self.layers * self.kv_heads * self.head_width


def bytes_needed(model: KnownModel, bytes_a_parameter: float, tokens: int) -> float:
    """Memory for one question of ``tokens`` tokens, weights included."""
    # keys and values are kept in the type of the weights, or in 16 bits where those are smaller
    kv_bytes = model.kv_bytes_a_token * max(1.0, bytes_a_parameter / 2)
    return model.billions * 1e9 * bytes_a_parameter + kv_bytes * tokens + WORKSPACE_BYTES


def smallest_download() -> KnownModel:
    """The model with the fewest bytes to download."""
    return min(CATALOGUE, key=lambda model: model.download_gb)


_APACHE = "Apache-2.0"
_LLAMA = "Llama 2"
_QWEN = "Qwen"
_MIT = "MIT"

CATALOGUE = (
    KnownModel(
        "SmolVLM2 500M",
        "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
        "smolvlm",
        0.51,
        32,
        5,
        64,
        _APACHE,
        4,
    ),
    KnownModel(
        "LLaVA-OneVision 0.5B",
        "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
        "llava_onevision",
        0.89,
        24,
        2,
        64,
        _APACHE,
    ),
    KnownModel("InternVL3 2B", "OpenGVLab/InternVL3-2B-hf", "internvl", 2.09, 28, 2, 128, _QWEN),
    KnownModel("Qwen3-VL 2B", "Qwen/Qwen3-VL-2B-Instruct", "qwen3_vl", 2.13, 28, 8, 128, _APACHE),
    KnownModel("Qwen2-VL 2B", "Qwen/Qwen2-VL-2B-Instruct", "qwen2_vl", 2.21, 28, 2, 128, _APACHE),
    KnownModel(
        "SmolVLM2 2.2B",
        "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
        "smolvlm",
        2.25,
        24,
        32,
        64,
        _APACHE,
        4,
    ),
    KnownModel(
        "Qwen2.5-VL 3B",
        "Qwen/Qwen2.5-VL-3B-Instruct",
        "qwen2_5_vl",
        3.75,
        36,
        2,
        128,
        "Qwen NC",
    ),
    KnownModel("Qwen3-VL 4B", "Qwen/Qwen3-VL-4B-Instruct", "qwen3_vl", 4.44, 36, 8, 128, _APACHE),
    KnownModel("LLaVA-1.5 7B", "llava-hf/llava-1.5-7b-hf", "llava", 7.06, 32, 32, 128, _LLAMA),
    KnownModel(
        "LLaVA-NeXT Mistral 7B",
        "llava-hf/llava-v1.6-mistral-7b-hf",
        "llava_next",
        7.57,
        32,
        8,
        128,
        _APACHE,
    ),
    KnownModel("InternVL3 8B", "OpenGVLab/InternVL3-8B-hf", "internvl", 7.94, 28, 4, 128, _QWEN),
    KnownModel(
        "LLaVA-OneVision 7B",
        "llava-hf/llava-onevision-qwen2-7b-ov-hf",
        "llava_onevision",
        8.03,
        28,
        4,
        128,
        _APACHE,
    ),
    KnownModel(
        "Qwen2.5-VL 7B", "Qwen/Qwen2.5-VL-7B-Instruct", "qwen2_5_vl", 8.29, 28, 4, 128, _APACHE
    ),
    KnownModel("Qwen2-VL 7B", "Qwen/Qwen2-VL-7B-Instruct", "qwen2_vl", 8.29, 28, 4, 128, _APACHE),
    KnownModel("Qwen3-VL 8B", "Qwen/Qwen3-VL-8B-Instruct", "qwen3_vl", 8.77, 36, 8, 128, _APACHE),
    KnownModel(
        "GLM-4.1V 9B Thinking", "zai-org/GLM-4.1V-9B-Thinking", "glm4v", 10.29, 40, 2, 128, _MIT
    ),
    KnownModel("GLM-4.6V Flash", "zai-org/GLM-4.6V-Flash", "glm4v", 10.29, 40, 2, 128, _MIT),
    KnownModel("LLaVA-1.5 13B", "llava-hf/llava-1.5-13b-hf", "llava", 13.35, 40, 40, 128, _LLAMA),
    KnownModel(
        "Qwen3-VL 30B-A3B",
        "Qwen/Qwen3-VL-30B-A3B-Instruct",
        "qwen3_vl_moe",
        31.07,
        48,
        4,
        128,
        _APACHE,
    ),
    KnownModel(
        "Qwen3-VL 32B", "Qwen/Qwen3-VL-32B-Instruct", "qwen3_vl", 33.36, 64, 8, 128, _APACHE
    ),
    KnownModel(
        "Qwen2.5-VL 72B", "Qwen/Qwen2.5-VL-72B-Instruct", "qwen2_5_vl", 73.41, 80, 8, 128, _QWEN
    ),
)
"""From small to large. Licenses and types of weights as the model cards had them in 2025."""
