"""Models and pixels for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlamaModel,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MistralConfig,
    MistralModel,
    Qwen2Config,
    Qwen2Model,
    Qwen3Config,
    Qwen3Model,
)

from geofovea.pipeline.hosts import load as models
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.families.llava import LlavaFamily
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.training.embedded_model import ModelShape, build_tokenizer, vocabulary
from geofovea.pipeline.training.student import Student

TINY = ModelShape(
    width=64, vision_layers=1, decoder_layers=3, tile_size=64, patch_size=8, pool=2, focus_layer=1
)
QUESTION = "What is the color of the plane at the airport?"


def enliven(module: torch.nn.Module, scale: float = 3.0) -> None:
    """Enlarge matrices: freshly initialized attention is so flat that any mistake would pass."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.ndim > 1 and "embed" not in name and "lm_head" not in name:
                is_attention = "q_proj" in name or "k_proj" in name
                parameter.mul_(3 * scale if is_attention else scale)


DECODERS = {
    "llama": (LlamaModel, LlamaConfig),
    "mistral": (MistralModel, MistralConfig),
    "qwen2": (Qwen2Model, Qwen2Config),
    "qwen3": (Qwen3Model, Qwen3Config),
}


def grouped_decoder(family: str, layers: int) -> torch.nn.Module:
    """A random decoder of 48 numbers a token, six query heads on two of keys; eager attention."""
    make, configure = DECODERS[family]
    torch.manual_seed(0)
    config = configure(
        vocab_size=50,
        hidden_size=48,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=16,
        attn_implementation="eager",
    )
    decoder = make(config).eval()
    enliven(decoder)
    return decoder


def lively_student(seed: int = 3) -> Student:
    """A student whose answer depends on every token that it sees, and on where that stands.

    Its weights are numbers of 16 bits, so that storing them as such changes nothing.
    """
    torch.manual_seed(seed)
    student = Student(TINY)
    enliven(student)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.copy_(parameter.half())
    return student.eval()


def random_llava(vision_feature_layer: int = -2, **text: int) -> LlavaForConditionalGeneration:
    """A LLaVA of the usual kind (CLIP, Llama with grouped heads), random and small."""
    words = vocabulary()
    torch.manual_seed(11)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            **sizes, num_hidden_layers=3, image_size=32, patch_size=8, projection_dim=32
        ),
        text_config=LlamaConfig(
            **sizes,
            num_hidden_layers=3,
            num_key_value_heads=2,
            vocab_size=len(words),
            max_position_embeddings=text.get("context", 512),
            bos_token_id=words.index("<s>"),
            eos_token_id=words.index("</s>"),
            pad_token_id=words.index("<pad>"),
        ),
        image_token_id=words.index("<image>"),
        vision_feature_layer=vision_feature_layer,
        vision_feature_select_strategy="default",
    )
    model = LlavaForConditionalGeneration(config)
    model.set_attn_implementation("eager")
    enliven(model)
    return model.eval()


def llava_host(model: LlavaForConditionalGeneration, **settings: object) -> LvlmHost:
    """A host of a LLaVA, one token a patch and no instruction unless told otherwise."""
    chosen = {"template": "what {image} {question} is", "instruction": "", "pool": 1}
    chosen |= {"focus_layer": 1}
    return LvlmHost(
        "random", LlavaFamily(model), build_tokenizer(), HostSettings(**(chosen | settings))
    )


def texture(height: int, width: int, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    """Smooth waves with noise, (bands, height, width), from 1 to 255."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    rng = np.random.default_rng(7)
    waves = [np.sin(x / (17 + 3 * b)) + np.cos(y / (23 + 2 * b)) for b in range(bands)]
    image = 128 + 40 * np.stack(waves) + rng.normal(0, 4, (bands, height, width))
    return np.clip(image, 1, 255).astype(dtype)


def wide_texture(side: int) -> np.ndarray:
    """The same in repeated squares, (3, side, side), which take next to no time."""
    square = texture(500, 500)
    count = -(-side // 500)
    return np.tile(square, (1, count, count))[:, :side, :side]


def load_anew(folder: Path) -> Host:
    """The model in a folder as it is now, not as it was when it was last loaded."""
    models._load.cache_clear()
    return models.load_host(str(folder))
