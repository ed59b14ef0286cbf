"""Known models by size: what their weights take in memory, and a question to them.

Parameters are those of the real classes built from the published configurations. A question takes
the keys and values of its tokens, from layers, key heads and head width, and room to work in:
whichever is more of the busiest layer of the decoder and of the tiles that are encoded at once.
Both were measured on the same classes, tensor by tensor, with fused attention.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CATALOG",
    "FOUR_BIT",
    "QUESTION_TOKENS",
    "RUNTIME_BYTES",
    "KnownModel",
    "bytes_needed",
    "layer_bytes",
    "smallest_download",
    "working_bytes",
]

RUNTIME_BYTES = 0.8e9
"""What a device's runtime takes besides, and what its allocator holds back; by experience."""

FOUR_BIT = 0.5625
"""Bytes of a quantized parameter: half of one, and a factor of four bytes for every 64 of them."""

QUESTION_TOKENS = 4096
"""Tokens that a question is taken to have by default: the budget, the words, and some air."""

_TILES_AT_ONCE = 16
_LINEAR = ("qwen3_5", "qwen3_5_moe")


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One size of one family.

    Attributes:
        name: As people call it.
        hub_id: For ``--model``, or for an endpoint that serves it.
        family: The ``model_type`` of its ``config.json``, or of the tower where that of a whole
            model says ``llava`` and the tower is another.
        license: As its model card names it; ``NC`` forbids commercial use.
        billions: Parameters in 10⁹, vision and all experts included.
        whole_billions: Those of them that quantization leaves in 16 bits: embeddings, the output
            matrix, norms, and experts, which transformers packs into no layer of its own.
        layers: Of the decoder, without those that keep a state and no keys.
        kv_heads: Key and value heads of one layer.
        head_width: Of one head.
        token_kb: What a token of a prompt takes in the busiest moment of a layer, in 10³ bytes.
        tile_mb: What a tile takes in the busiest moment of the encoder, in 10⁶ bytes.
        published_bytes: Bytes of a parameter in the files on the hub.
        pair_bytes: What a pair of tokens takes besides, where the stock attention is not fused, or
            its masks are kept as matrices, and memory grows with the square of a prompt.
        window_layers: Those of the layers that keep what stands in their window and no more.
        window: Tokens of that window.
    """

    name: str
    hub_id: str
    family: str
    license: str
    billions: float
    whole_billions: float
    layers: int
    kv_heads: int
    head_width: int
    token_kb: int
    tile_mb: int
    published_bytes: int = 2
    pair_bytes: int = 0
    window_layers: int = 0
    window: int = 0

    @property
    def download_gb(self) -> float:
        """Its weights on the hub, in 10⁹ bytes; the files beside them are small."""
        return self.billions * self.published_bytes

    def kv_bytes(self, tokens: int) -> int:
        """Keys and values of a prompt over all layers, in bfloat16."""
        # the token that comes next is in the window, too; for one token alone nothing is given back
        seen = tokens if tokens <= self.window else self.window - 1
        near = self.window_layers * seen
        kept = (self.layers - self.window_layers) * tokens + near
        return 2 * 2 * kept * self.kv_heads * self.head_width


def bytes_needed(model: KnownModel, bytes_a_parameter: float, tokens: int) -> float:
    """Memory for one question of ``tokens`` tokens, weights included.

    Args:
        model: Which one.
        bytes_a_parameter: 4, 2, or `FOUR_BIT`; what a quantized load leaves whole has 2.
        tokens: Of the prompt.
    """
    whole = max(2.0, bytes_a_parameter)
    quantized = model.billions - model.whole_billions
    weights = 1e9 * (model.whole_billions * whole + quantized * bytes_a_parameter)
    # keys and values are kept in the type that is computed in
    keys = model.kv_bytes(tokens) * whole / 2
    return weights + keys + working_bytes(model, bytes_a_parameter, tokens)


def working_bytes(model: KnownModel, bytes_a_parameter: float, tokens: int) -> float:
    """What one device needs besides weights, keys and values, its runtime included."""
    busiest = max(layer_bytes(model, tokens), 1e6 * model.tile_mb * _TILES_AT_ONCE)
    return busiest * max(2.0, bytes_a_parameter) / 2 + RUNTIME_BYTES


def layer_bytes(model: KnownModel, tokens: int) -> float:
    """What the busiest moment of a layer takes for a prompt, in 16 bits."""
    return 1e3 * model.token_kb * tokens + float(model.pair_bytes) * tokens**2


def smallest_download() -> KnownModel:
    """The model with the fewest bytes to download that runs in full and without further packages.

    Decoders with linear layers are slow without kernels of their own.
    """
    models = [model for model in CATALOG if model.family not in _LINEAR]
    return min(models, key=lambda model: model.download_gb)


_APACHE = "Apache-2.0"
_LLAMA = "Llama 2"
_QWEN = "Qwen"
_GEMMA = "Gemma"
_MIT = "MIT"

# fmt: off
CATALOG = (
    KnownModel("SmolVLM2 500M", "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
               "smolvlm", _APACHE, 0.51, 0.1, 32, 5, 64, 23, 19, 4),
    KnownModel("Qwen3.5 0.8B", "Qwen/Qwen3.5-0.8B",
               "qwen3_5", _APACHE, 0.85, 0.26, 6, 2, 256, 117, 20),
    KnownModel("LLaVA-OneVision 0.5B", "llava-hf/llava-onevision-qwen2-0.5b-ov-hf",
               "llava_onevision", _APACHE, 0.89, 0.14, 24, 2, 64, 37, 60),
    KnownModel("InternVL3 2B", "OpenGVLab/InternVL3-2B-hf",
               "internvl", _QWEN, 2.09, 0.47, 28, 2, 128, 67, 28),
    KnownModel("Qwen3-VL 2B", "Qwen/Qwen3-VL-2B-Instruct",
               "qwen3_vl", _APACHE, 2.13, 0.32, 28, 8, 128, 54, 26),
    KnownModel("Qwen2-VL 2B", "Qwen/Qwen2-VL-2B-Instruct",
               "qwen2_vl", _APACHE, 2.21, 0.24, 28, 2, 128, 67, 27),
    KnownModel("Qwen3.5 2B", "Qwen/Qwen3.5-2B",
               "qwen3_5", _APACHE, 2.21, 0.51, 6, 2, 256, 123, 25),
    KnownModel("SmolVLM2 2.2B", "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
               "smolvlm", _APACHE, 2.25, 0.2, 24, 32, 64, 66, 19, 4),
    KnownModel("InternVL3.5 2B", "OpenGVLab/InternVL3_5-2B-HF",
               "internvl", _APACHE, 2.35, 0.62, 28, 8, 128, 54, 28),
    KnownModel("PaliGemma 2 3B", "google/paligemma2-3b-mix-448",
               "paligemma", _GEMMA, 3.03, 0.6, 26, 4, 256, 27, 28, pair_bytes=68,
               window_layers=13, window=4096),
    KnownModel("Qwen2.5-VL 3B", "Qwen/Qwen2.5-VL-3B-Instruct",
               "qwen2_5_vl", "Qwen NC", 3.75, 0.31, 36, 2, 128, 83, 27),
    KnownModel("Gemma 3 4B", "google/gemma-3-4b-it",
               "gemma3", _GEMMA, 4.3, 0.68, 34, 4, 256, 84, 113, pair_bytes=4,
               window_layers=29, window=1024),
    KnownModel("Qwen3-VL 4B", "Qwen/Qwen3-VL-4B-Instruct",
               "qwen3_vl", _APACHE, 4.44, 0.39, 36, 8, 128, 79, 26),
    KnownModel("Qwen3.5 4B", "Qwen/Qwen3.5-4B",
               "qwen3_5", _APACHE, 4.54, 0.64, 8, 4, 256, 229, 25),
    KnownModel("InternVL3.5 4B", "OpenGVLab/InternVL3_5-4B-HF",
               "internvl", _APACHE, 4.73, 0.78, 36, 8, 128, 79, 28),
    KnownModel("LLaVA-1.5 7B", "llava-hf/llava-1.5-7b-hf",
               "llava", _LLAMA, 7.06, 0.26, 32, 32, 128, 99, 46),
    KnownModel("LLaVA-NeXT Mistral 7B", "llava-hf/llava-v1.6-mistral-7b-hf",
               "llava_next", _APACHE, 7.57, 0.26, 32, 8, 128, 119, 46),
    KnownModel("InternVL3 8B", "OpenGVLab/InternVL3-8B-hf",
               "internvl", _QWEN, 7.94, 1.09, 28, 4, 128, 143, 28),
    KnownModel("LLaVA-OneVision 7B", "llava-hf/llava-onevision-qwen2-7b-ov-hf",
               "llava_onevision", _APACHE, 8.03, 1.09, 28, 4, 128, 143, 60),
    KnownModel("Qwen2-VL 7B", "Qwen/Qwen2-VL-7B-Instruct",
               "qwen2_vl", _APACHE, 8.29, 1.09, 28, 4, 128, 143, 27),
    KnownModel("Qwen2.5-VL 7B", "Qwen/Qwen2.5-VL-7B-Instruct",
               "qwen2_5_vl", _APACHE, 8.29, 1.09, 28, 4, 128, 143, 27),
    KnownModel("LLaVA-NeXT Llama 3 8B", "llava-hf/llama3-llava-next-8b-hf",
               "llava_next", "Llama 3", 8.36, 1.05, 32, 8, 128, 119, 46),
    KnownModel("Idefics3 8B", "HuggingFaceM4/Idefics3-8B-Llama3",
               "idefics3", _APACHE, 8.46, 1.05, 32, 8, 128, 119, 18),
    KnownModel("InternVL3.5 8B", "OpenGVLab/InternVL3_5-8B-HF",
               "internvl", _APACHE, 8.53, 1.25, 36, 8, 128, 107, 28),
    KnownModel("Qwen3-VL 8B", "Qwen/Qwen3-VL-8B-Instruct",
               "qwen3_vl", _APACHE, 8.77, 1.25, 36, 8, 128, 107, 30),
    KnownModel("Qwen3.5 9B", "Qwen/Qwen3.5-9B",
               "qwen3_5", _APACHE, 9.41, 2.04, 8, 4, 256, 238, 28),
    KnownModel("PaliGemma 2 10B", "google/paligemma2-10b-mix-448",
               "paligemma", _GEMMA, 9.66, 0.92, 42, 8, 256, 47, 28, pair_bytes=132,
               window_layers=21, window=4096),
    KnownModel("GLM-4.1V 9B Thinking", "zai-org/GLM-4.1V-9B-Thinking",
               "glm4v", _MIT, 10.29, 1.27, 40, 2, 128, 143, 32),
    KnownModel("GLM-4.6V Flash", "zai-org/GLM-4.6V-Flash",
               "glm4v", _MIT, 10.29, 1.27, 40, 2, 128, 143, 32),
    KnownModel("Gemma 3 12B", "google/gemma-3-12b-it",
               "gemma3", _GEMMA, 12.19, 1.02, 48, 8, 256, 125, 113, pair_bytes=4,
               window_layers=40, window=1024),
    KnownModel("Pixtral 12B", "mistral-community/pixtral-12b",
               "pixtral", _APACHE, 12.68, 1.34, 40, 8, 128, 127, 23),
    KnownModel("LLaVA-1.5 13B", "llava-hf/llava-1.5-13b-hf",
               "llava", _LLAMA, 13.35, 0.33, 40, 40, 128, 124, 46),
    KnownModel("InternVL3 14B", "OpenGVLab/InternVL3-14B-hf",
               "internvl", _QWEN, 15.12, 1.56, 48, 8, 128, 124, 28),
    KnownModel("InternVL3.5 14B", "OpenGVLab/InternVL3_5-14B-HF",
               "internvl", _APACHE, 15.12, 1.56, 40, 8, 128, 146, 28),
    KnownModel("Mistral Small 3.1 24B", "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
               "mistral3", _APACHE, 24.01, 1.34, 40, 8, 128, 238, 22),
    KnownModel("Qwen3.5 27B", "Qwen/Qwen3.5-27B",
               "qwen3_5", _APACHE, 27.36, 2.55, 16, 4, 256, 349, 28),
    KnownModel("Gemma 3 27B", "google/gemma-3-27b-it",
               "gemma3", _GEMMA, 27.43, 1.42, 62, 16, 128, 173, 113, pair_bytes=4,
               window_layers=52, window=1024),
    KnownModel("PaliGemma 2 28B", "google/paligemma2-28b-mix-448",
               "paligemma", _GEMMA, 27.65, 1.19, 46, 16, 128, 53, 28, pair_bytes=260,
               window_layers=23, window=4096),
    KnownModel("InternVL3.5 30B-A3B", "OpenGVLab/InternVL3_5-30B-A3B-HF",
               "internvl", _APACHE, 30.85, 29.63, 48, 4, 128, 149, 28),
    KnownModel("Qwen3-VL 30B-A3B", "Qwen/Qwen3-VL-30B-A3B-Instruct",
               "qwen3_vl_moe", _APACHE, 31.07, 29.63, 48, 4, 128, 149, 29),
    KnownModel("Qwen3-VL 32B", "Qwen/Qwen3-VL-32B-Instruct",
               "qwen3_vl", _APACHE, 33.36, 1.56, 64, 8, 128, 195, 30),
    KnownModel("Qwen2.5-VL 32B", "Qwen/Qwen2.5-VL-32B-Instruct",
               "qwen2_5_vl", _APACHE, 33.45, 1.56, 64, 8, 128, 207, 27),
    KnownModel("LLaVA-NeXT 34B", "llava-hf/llava-v1.6-34b-hf",
               "llava_next", _APACHE, 34.75, 0.92, 60, 8, 128, 181, 46),
    KnownModel("Qwen3.5 35B-A3B", "Qwen/Qwen3.5-35B-A3B",
               "qwen3_5_moe", _APACHE, 35.11, 33.26, 10, 2, 256, 228, 28),
    KnownModel("InternVL3 38B", "OpenGVLab/InternVL3-38B-hf",
               "internvl", _QWEN, 38.39, 1.56, 64, 8, 128, 207, 86),
    KnownModel("InternVL3.5 38B", "OpenGVLab/InternVL3_5-38B-HF",
               "internvl", _APACHE, 38.39, 1.56, 64, 8, 128, 195, 86),
    KnownModel("Qwen2.5-VL 72B", "Qwen/Qwen2.5-VL-72B-Instruct",
               "qwen2_5_vl", _QWEN, 73.41, 2.5, 80, 8, 128, 243, 27),
    KnownModel("GLM-4.5V 108B-A12B", "zai-org/GLM-4.5V",
               "glm4v_moe", _MIT, 107.71, 100.95, 46, 8, 128, 427, 32),
)
# fmt: on
"""From small to large. Licenses and types of weights as the model cards had them in 2025."""
