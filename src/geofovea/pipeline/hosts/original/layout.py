"""Recognizes LLaVA checkpoints in their repository's own layout, and which of them convert."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.original.configuration import DECODERS, POOLED, PROJECTORS
from geofovea.tiling.machine.paths import is_folder

__all__ = ["check_convertible", "is_original", "not_converted", "refuse_unknown_decoder"]

_EXAMPLE = "llava-hf/llava-1.5-7b-hf"
# a checkpoint of LRS-VQA has the same layout and a region focus module besides
_PUBLISHED = ("llm_layer_list", "slice_block_size", "concat_global_img_feature")
# layers with a function between each two of them
_DEEP_PROJECTOR = re.compile(r"mlp([3-9]|[1-9]\d+)x_gelu")
_SUPPORTED: dict[str, tuple[object, ...]] = {
    "mm_projector_type": tuple(PROJECTORS),
    "mm_vision_select_feature": ("patch",),
    "mm_use_im_start_end": (False, True, None),
    "mm_patch_merge_type": ("flat", "spatial_unpad", "spatial", POOLED, None),
    "hidden_act": ("silu",),
}


def is_original(config: Mapping[str, Any]) -> bool:
    """Whether a ``config.json`` is that of a LLaVA in the layout of its own repository.

    GeoChat, VHM, SkySenseGPT, GeoLLaVA-8K and other LLaVAs of remote sensing are saved so.
    """
    return config.get("model_type") in DECODERS and _has_original_keys(config)


def refuse_unknown_decoder(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a LLaVA in that layout around a decoder that no conversion knows.

    Args:
        name: Of the model.
        config: Its ``config.json``.

    Raises:
        ModelError: If it is one.
    """
    if _has_original_keys(config) and config.get("model_type") not in DECODERS:
        raise ModelError(
            f"{name} is a LLaVA in the layout of its original repository, and its model_type "
            f"{config.get('model_type')!r} is none that can be converted ("
            f"{', '.join(sorted(DECODERS))}): serve it with the code of its authors and name it by "
            "openai:NAME, or take another model"
        )


def _has_original_keys(config: Mapping[str, Any]) -> bool:
    return (
        "mm_vision_tower" in config
        and "vision_config" not in config
        and not any(key in config for key in _PUBLISHED)
    )


def not_converted(name: str, kind: str = "a LLaVA", example: str = _EXAMPLE) -> ModelError:
    """The refusal to load such a model as it is.

    Args:
        name: Of the model: a folder, or a hub id, which has to be downloaded first.
        kind: What it is, with an article.
        example: A conversion on the hub.
    """
    here = is_folder(name)
    download = "" if here else f"download it with `hf download {name} --local-dir ORIGINAL`, and "
    return ModelError(
        f"{name} is {kind} in the layout of its original repository; {download}convert it once "
        f"with `geofovea convert {name if here else 'ORIGINAL'} --output FOLDER` and load that "
        f"folder, or take a conversion such as {example}"
    )


def check_convertible(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a build that the stock class cannot express, before any weight is read.

    Args:
        name: Of the model.
        config: Its ``config.json``.

    Raises:
        ModelError: If it is of another layout, or is built in a way that is not supported.
    """
    refuse_unknown_decoder(name, config)
    if not is_original(config):
        raise ModelError(
            f"{name} is not a LLaVA in the layout of its original repository (model_type "
            f"{', '.join(sorted(DECODERS))}, with mm_vision_tower and no vision_config); a "
            "model of a supported family needs no conversion: name it with --model"
        )
    if deep := _DEEP_PROJECTOR.fullmatch(str(config.get("mm_projector_type"))):
        raise ModelError(
            f"{name} has a projector of {deep[1]} layers (mm_projector_type {deep[0]!r}), and "
            "every LLaVA class of stock transformers has one of two, so no conversion can hold "
            "this model: serve it with the code of its authors and name it by openai:NAME, or take "
            "a model whose projector has one layer or two"
        )
    for key, allowed in _SUPPORTED.items():
        if key in config and config[key] not in allowed:
            raise ModelError(
                f"{name} has {key} = {config[key]!r}, and the stock LLaVA only knows "
                f"{', '.join(map(repr, allowed))}; look for a conversion of its authors"
            )
    if not isinstance(config.get("mm_vision_select_layer", -2), int):
        raise ModelError(
            f"{name} has mm_vision_select_layer = {config['mm_vision_select_layer']!r}, which is "
            "no number of a layer; correct its config.json, or download it again"
        )
