"""Recorded cases of the published method with their images, and a small published model."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pipeline_toys import enliven
from repository import SHARED
from safetensors.torch import save_file
from transformers import (
    CLIPVisionConfig,
    CLIPVisionModel,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from geofovea.pipeline.hosts.published.image import read_whole
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.regionfocus.rfm.module import RegionFocusModule, RegionFocusSettings

REFERENCE = SHARED / "reference"


def recorded_cases() -> list[Any]:
    """One parameter per recorded case of each model; a skip with its reason if there is none."""
    found = [
        pytest.param(path, id=path.stem)
        for path in sorted(REFERENCE.glob("*__*.json"))
        if path.with_suffix(".npz").exists()
        and (REFERENCE / f"{path.stem.split('__')[0]}.safetensors").exists()
    ]
    reason = f"no recorded cases in {REFERENCE}; set GEOFOVEA_SHARED"
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


class Case:
    """What was recorded of one model on one image."""

    def __init__(self, path: Path) -> None:
        self.model, self.image_name = path.stem.split("__")
        self.numbers = json.loads(path.read_text(encoding="utf-8"))
        self.arrays = dict(np.load(path.with_suffix(".npz")))

    def pixels(self) -> np.ndarray:
        stored = REFERENCE / f"image_{self.image_name}.png"
        if stored.exists():
            return read_whole(stored)
        image = self.numbers["image"]
        return drawn(image["height"], image["width"], image["seed"])


@lru_cache(maxsize=2)
def drawn(height: int, width: int, seed: int) -> np.ndarray:
    """The recorded test picture of a size and a seed: ramps, sixteen discs, a little noise.

    Integers only, so that it is the same everywhere; the hash of its pixels is recorded.
    """
    y, x = np.ogrid[:height, :width]
    down = y if seed & 1 else height - 1 - y
    right = x if seed >> 1 & 1 else width - 1 - x
    flat = np.stack(
        [
            down * 120 // height + right * 110 // width,
            225 - (down * 110 // height + right * 100 // width),
            60 + down * 70 // height + (x * 3 + y * 5 + 17 * seed) // 16 % 32,
        ],
        axis=-1,
    ).astype(np.int32)
    for disc in range(16):
        center_y = (disc * 7919 + seed * 104729) % height
        center_x = (disc * 15485863 + seed * 32452843) % width
        radius = max(8, min(height, width) * (2 + disc * 5 % 6) // 100)
        inside = (y - center_y) ** 2 + (x - center_x) ** 2 < radius**2
        flat[inside] = [(disc * a + seed * b) % 224 for a, b in ((67, 29), (131, 53), (197, 97))]
    result = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        # a hash of 32 bits per pixel, wrapping
        offset = (channel * 2246822519 + seed * 3266489917) % 2**32
        noise = x.astype(np.uint32) * np.uint32(374761393) + y.astype(np.uint32) * np.uint32(
            668265263
        )
        noise += np.uint32(offset)
        for shift, factor in ((15, 2246822519), (13, 3266489917)):
            noise ^= noise >> np.uint32(shift)
            noise *= np.uint32(factor)
        noise ^= noise >> np.uint32(16)
        small = (noise >> np.uint32(24) & np.uint32(15)).astype(np.int32)
        result[..., channel] = np.clip(flat[..., channel] + small, 0, 255)
    return result


def write_published(folder: Path, family: str = "llava_qwen", **changes: Any) -> Path:
    """A tiny random checkpoint under the published names: config, safetensors, tokenizer."""
    torch.manual_seed(5)
    tokenizer = build_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    text = sizes | {
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "max_position_embeddings": 8192,
    }
    vision = sizes | {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "image_size": 336,
        "patch_size": 14,
    }
    config = text | {
        "model_type": family,
        "rope_theta": 10000.0,
        "rms_norm_eps": 1e-6,
        "hidden_act": "silu",
        "mm_vision_tower": "somewhere/else",
        "vision_config": vision,
        "mm_patch_merge_type": "spatial_unpad",
        "llm_layer_list": [1, 2],
        "colon_token_id": 7,
        "tokenizer_model_max_length": 4096,
    }
    is_qwen = family == "llava_qwen"
    make_config, make = (
        (Qwen2Config, Qwen2ForCausalLM) if is_qwen else (LlamaConfig, LlamaForCausalLM)
    )
    decoder = make(make_config(**text))
    tower = CLIPVisionModel(CLIPVisionConfig(**vision))
    focus = RegionFocusModule(RegionFocusSettings(3, 32, 48, 4, 2, bias=is_qwen))
    projector = torch.nn.Sequential(
        torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 32)
    )
    for module in (decoder, tower, focus, projector):
        enliven(module)
    plain = {k.removeprefix("vision_model."): v for k, v in tower.state_dict().items()}
    weights = dict(decoder.state_dict()) | {"model.image_newline": torch.randn(32)}
    for prefix, state in (
        ("model.vision_tower.vision_tower.vision_model.", plain),
        ("model.mm_projector.mlp_projector.", projector.state_dict()),
        ("model.mm_projector.token_pruner.", focus.state_dict()),
    ):
        weights |= {prefix + key: value for key, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")
    save_file({k: v.contiguous() for k, v in weights.items()}, folder / "model.safetensors")
    tokenizer.save_pretrained(folder)
    return folder
