"""Loads published LRS-VQA checkpoints into stock ``transformers`` classes and our own RFM.

Two families: LLaVA-NeXT-Qwen2 (``llava_qwen``) and LLaVA-1.5-Vicuna (``llava_llama``). Weights are
read from safetensors only; their names are split like this:

    model.embed_tokens, model.layers, model.norm, lm_head   the decoder, as they are
    model.image_newline                                     the token at the end of each row
    model.vision_tower.vision_tower.*                       the CLIP tower, if it is there at all
    model.mm_projector.mlp_projector.{0,2}                  linear, GELU, linear
    model.mm_projector.token_pruner.*                       the region focus module
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import (
    WeightCount,
    check_complete,
    check_depth,
    check_files,
    check_size,
    companion,
    quiet_transformers,
    read_json,
)
from geofovea.regionfocus.rfm.module import RegionFocusModule, RegionFocusSettings
from geofovea.regionfocus.rfm.published_geometry import TILE_SIDE, TOKENS_PER_SIDE
from geofovea.tiling.machine.system_errors import first_line, reason_of

__all__ = ["PublishedParts", "is_published", "load_parts"]

_TOWER = "model.vision_tower.vision_tower."
_PROJECTOR = "model.mm_projector.mlp_projector."
_PRUNER = "model.mm_projector.token_pruner."
_NEWLINE = "model.image_newline"
_FAMILIES = {"llava_qwen": "qwen2", "llava_llama": "llama", "llava": "llama"}
_DECODER_FIELDS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
)
# what the released code takes for granted, and what it would silently get wrong otherwise
_REQUIRED = {
    "hidden_act": ("silu",),
    "mm_patch_merge_type": ("spatial_unpad",),
    "mm_vision_select_feature": ("patch",),
    "mm_spatial_pool_mode": ("bilinear", "average"),
    "concat_global_img_feature": (True,),
    "rope_scaling": (None,),
    "slice_block_size": (TILE_SIDE,),
}
_DOWNLOADED = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.model", "*.txt"]


@dataclass(frozen=True, slots=True, eq=False)
class PublishedParts:
    """The parts of a published model, in evaluation mode.

    Attributes:
        name: How the user named it.
        family: ``"qwen2"`` or ``"llama"``.
        decoder: A causal language model of ``transformers``.
        tower: A ``CLIPVisionModel``.
        projector: From the tower's width to the decoder's.
        focus: The region focus module.
        newline: ``(d,)``, ends each row of local tokens.
        feature_layer: Which of the tower's hidden states are its features.
        colon: Id of the token between global and local tokens.
        longest: Longest prompt in tokens.
        tokenizer: None if the folder has none; then questions have to be given as ids.
    """

    name: str
    family: str
    decoder: Any
    tower: Any
    projector: nn.Module
    focus: RegionFocusModule
    newline: Tensor
    feature_layer: int
    colon: int
    longest: int
    tokenizer: Any = None


def load_parts(
    name: str, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> PublishedParts:
    """Load a published model from a local folder or a hub id, from safetensors only.

    Raises:
        ModelError: If there is none, a weight is missing, or its settings are not supported.
    """
    folder = _folder_of(name)
    config = _read_config(folder)
    weights = _read_weights(folder)
    check_depth(name, config, _count(weights))
    family = _FAMILIES[config["model_type"]]
    tokenizer = _tokenizer_of(folder)
    try:
        return PublishedParts(
            name=name,
            family=family,
            decoder=_decoder(name, family, config, weights, dtype).to(device).eval(),
            tower=_tower(name, config, weights, dtype).to(device).eval(),
            projector=_projector(name, weights).to(device, dtype).eval().requires_grad_(False),
            focus=_focus(name, config, weights).to(device, dtype).eval().requires_grad_(False),
            newline=_of(weights, _NEWLINE, name).to(device, dtype),
            feature_layer=int(config.get("mm_vision_select_layer", -2)),
            colon=_colon(name, config, tokenizer),
            longest=int(
                config.get("tokenizer_model_max_length")
                or config.get("max_position_embeddings", 2048)
            ),
            tokenizer=tokenizer,
        )
    except ModelError:
        raise
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        reason = first_line(error)
        raise ModelError(
            f"the published model {name!r} could not be built ({reason}); check that its "
            "config.json belongs to its weights"
        ) from error


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is that of a published checkpoint, and not of a stock LLaVA."""
    return config.get("model_type") in _FAMILIES and "mm_vision_tower" in config


def _folder_of(name: str) -> Path:
    folder = Path(name)
    if folder.is_dir():
        return folder
    if folder.exists() or name.count("/") != 1:
        raise ModelError(
            f"there is no published model {name!r}: name a folder with config.json and "
            "safetensors, or a hub id owner/name"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=_DOWNLOADED))
    except (OSError, ValueError, HfHubHTTPError) as error:
        raise ModelError(f"{name!r} could not be had from the hub ({first_line(error)})") from error


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json_of(folder / "config.json")
        family = config["model_type"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{folder} holds no config.json of a published model") from error
    if family not in _FAMILIES:
        raise ModelError(f"{folder} is a {family!r}; published models are {', '.join(_FAMILIES)}")
    for key, allowed in _REQUIRED.items():
        if key in config and config[key] not in allowed:
            raise ModelError(
                f"{folder / 'config.json'} has {key} = {config[key]!r}; supported is "
                f"{' or '.join(map(repr, allowed))}"
            )
    return dict(config)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ModelError(
            f"{folder} holds no safetensors; pickled weights are never opened: convert them first"
        )
    weights: dict[str, Tensor] = {}
    for file in files:
        try:
            weights |= load_file(file)
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"{file} is damaged ({reason_of(error)}); copy or download it again"
            ) from error
    return weights


def _count(weights: Mapping[str, Tensor]) -> WeightCount:
    return WeightCount(len(weights), sum(weight.numel() for weight in weights.values()))


def _under(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: w for key, w in weights.items() if key.startswith(prefix)}


def _of(weights: Mapping[str, Tensor], key: str, name: str) -> Tensor:
    if key not in weights:
        raise ModelError(f"the published model {name!r} lacks the weight {key}")
    return weights[key]


def _decoder(
    name: str, family: str, config: dict[str, Any], weights: dict[str, Tensor], dtype: torch.dtype
) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    classes = {
        "qwen2": (Qwen2Config, Qwen2ForCausalLM),
        "llama": (LlamaConfig, LlamaForCausalLM),
    }
    make_config, make = classes[family]
    fields = {key: config[key] for key in _DECODER_FIELDS if key in config}
    theta = float(config.get("rope_theta", 10_000.0))
    own = re.compile(r"model\.(embed_tokens|layers|norm)\.|lm_head\.")
    return _loaded(
        name,
        make,
        make_config(**fields, rope_parameters={"rope_type": "default", "rope_theta": theta}),
        {key: w for key, w in weights.items() if own.match(key)},
        dtype,
    )


def _tower(
    name: str, config: dict[str, Any], weights: dict[str, Tensor], dtype: torch.dtype
) -> Any:
    """The tower beside the weights, or the one that the configuration names."""
    from transformers import CLIPVisionConfig, CLIPVisionModel

    own = _under(weights, _TOWER)
    source = config.get("mm_vision_tower")
    if not own:
        if not source:
            raise ModelError(f"{name!r} neither holds a vision tower nor names one")
        config_file = companion(source, "config.json")
        check_files(source, read_json(config_file) if config_file else {})
        tower = CLIPVisionModel.from_pretrained(
            source, dtype=dtype, use_safetensors=True, trust_remote_code=False
        )
    else:
        shape = config.get("vision_config")
        vision = CLIPVisionConfig(**shape) if shape else CLIPVisionConfig.from_pretrained(source)
        # older classes nest everything in vision_model, newer ones do not
        with torch.device("meta"):
            nested = any(
                key.startswith("vision_model.") for key in CLIPVisionModel(vision).state_dict()
            )
        plain = {key.removeprefix("vision_model."): w for key, w in own.items()}
        state = {f"vision_model.{key}": w for key, w in plain.items()} if nested else plain
        tower = _loaded(name, CLIPVisionModel, vision, state, dtype)
    patches = 2 * TOKENS_PER_SIDE
    if (tower.config.image_size, tower.config.image_size // tower.config.patch_size) != (
        TILE_SIDE,
        patches,
    ):
        raise ModelError(
            f"the published method needs a tower with {patches} patches along {TILE_SIDE} pixels; "
            f"{name!r} has one for {tower.config.image_size} pixels in patches of "
            f"{tower.config.patch_size}"
        )
    return tower


def _loaded(
    name: str, make: Any, config: Any, weights: dict[str, Tensor], dtype: torch.dtype
) -> Any:
    """A stock model with these weights, none of them missing."""
    check_size(name, make, config, _count(weights))
    with quiet_transformers(shows_bars=False):
        model, report = make.from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
        )
    check_complete(f"the published model {name!r}", report)
    return model


def _projector(name: str, weights: dict[str, Tensor]) -> nn.Module:
    own = _under(weights, _PROJECTOR)
    first, second = (_of(weights, f"{_PROJECTOR}{i}.weight", name) for i in (0, 2))
    projector = nn.Sequential(
        nn.Linear(first.shape[1], first.shape[0]),
        nn.GELU(),
        nn.Linear(second.shape[1], second.shape[0]),
    )
    projector.load_state_dict(own)
    return projector


def _focus(name: str, config: dict[str, Any], weights: dict[str, Tensor]) -> RegionFocusModule:
    own = _under(weights, _PRUNER)
    numbers = [int(match[1]) for key in own if (match := re.match(r"layers\.(\d+)\.", key))]
    if not numbers:
        raise ModelError(
            f"{name!r} holds no region focus module (no weight under {_PRUNER}); name a checkpoint "
            "of LRS-VQA, or use focus='attention'"
        )
    layers, listed = max(numbers) + 1, config.get("llm_layer_list")
    if isinstance(listed, list) and len(listed) + 1 != layers:
        raise ModelError(
            f"{name!r} holds {layers} layers of a region focus module; its llm_layer_list "
            f"{listed} needs {len(listed) + 1}"
        )
    heads = config["num_attention_heads"]
    module = RegionFocusModule(
        RegionFocusSettings(
            layers=layers,
            hidden=config["hidden_size"],
            intermediate=config["intermediate_size"],
            heads=heads,
            key_heads=config.get("num_key_value_heads", heads),
            bias="layers.0.self_attn.q_proj.bias" in own,
            rope_theta=float(config.get("rope_theta", 10_000.0)),
            eps=config.get("rms_norm_eps", 1e-6),
            score_dim=config.get("rfm_score_scale_head_dim"),
        )
    )
    # old checkpoints may carry the frequencies of their rotary positions
    module.load_state_dict({key: w for key, w in own.items() if "rotary" not in key})
    return module


def _tokenizer_of(folder: Path) -> Any:
    names = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
    if not any((folder / name).exists() for name in names):
        return None
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"the tokenizer in {folder} could not be loaded: {error}") from error


def _colon(name: str, config: dict[str, Any], tokenizer: Any) -> int:
    if "colon_token_id" in config:
        return int(config["colon_token_id"])
    if tokenizer is None:
        raise ModelError(f"{name!r} has no tokenizer and no colon_token_id: one of them is needed")
    return int(tokenizer.encode(":", add_special_tokens=False)[-1])
