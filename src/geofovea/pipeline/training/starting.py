"""A student that starts from an earlier model: its shape, its words, its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.utils import CONFIG_NAME

from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import quiet_transformers
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.training.embedded_model import ModelShape, vocabulary
from geofovea.pipeline.training.student import Student
from geofovea.regionfocus.attention_mode import AttentionMode

__all__ = ["known_words", "shape_of", "start_from"]

_WORD_TABLE = "model.language_model.embed_tokens.weight"


def shape_of(folder: Path) -> ModelShape:
    """The shape of a model that `geofovea train` made.

    Raises:
        ModelError: If the folder holds no such model.
    """
    try:
        config, settings = (json_of(folder / name) for name in (CONFIG_NAME, SETTINGS_FILE))
        vision, text = config["vision_config"], config["text_config"]
        return ModelShape(
            width=text["hidden_size"],
            vision_layers=vision["num_hidden_layers"],
            decoder_layers=text["num_hidden_layers"],
            tile_size=vision["image_size"],
            patch_size=vision["patch_size"],
            pool=settings["pool"],
            focus_layer=_focus_layer(settings),
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"{folder} holds no model that geofovea train made: {error!r}; give a folder that it "
            "wrote, or 'embedded'"
        ) from error


def _focus_layer(settings: Mapping[str, Any]) -> int:
    """The layer whose attention was trained.

    Earlier releases left it out of the settings of a model that they calibrated.
    """
    if "focus_layer" in settings:
        return int(settings["focus_layer"])
    return AttentionMode.from_json(settings["focus"]).depth


def start_from(student: Student, folder: Path) -> None:
    """Give a student the weights of a model.

    Its heads stay new, for a model has none. Words that the model does not know get vectors of the
    length of those that it knows.

    Raises:
        ModelError: If the model has another shape, words that are not those of a student in their
            order, or weights that cannot be read.
    """
    if shape_of(folder) != student.shape:
        raise ModelError(f"{folder} holds a model of shape {shape_of(folder)}, not {student.shape}")
    try:
        known = known_words(folder)
        with quiet_transformers():
            model: Any = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        position = load_file(folder / SCENE_POSITION_FILE)["weight"]
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{folder} holds no whole model: {reason}; give a folder that geofovea train wrote, or "
            "'embedded'"
        ) from error
    weights = model.state_dict()
    weights[_WORD_TABLE] = _with_new_words(student, weights[_WORD_TABLE], known)
    # the output matrix is the table of words
    weights.pop("lm_head.weight", None)
    missing, unexpected = student.llava.load_state_dict(weights, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise ModelError(f"{folder} does not hold the weights of a student: {missing=}")
    student.scene_position.load_state_dict({"weight": position.float()})


def known_words(folder: Path) -> int:
    """How many words a model knows: the first ones of ours.

    Raises:
        ModelError: If it knows other words, or counts them otherwise.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    theirs = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    ours = vocabulary()
    if len(theirs) > len(ours):
        raise ModelError(
            f"{folder} knows {len(theirs)} words, this release {len(ours)}: train it on with the "
            "release that made it, or a later one"
        )
    for number, (word, our_word) in enumerate(zip(theirs, ours, strict=False)):
        if word != our_word:
            raise ModelError(
                f"word {number} of {folder} is {word!r}, here it is {our_word!r}: it was made by a "
                "release that counts its words otherwise"
            )
    return len(theirs)


def _with_new_words(student: Student, table: Tensor, known: int) -> Tensor:
    """The table of words of a student, with the rows of a model where this knows the word."""
    initial: Tensor = student.llava.get_input_embeddings().weight.detach()
    new = slice(known, len(vocabulary()))
    result = initial.clone()
    result[: len(table)] = table
    lengths = initial[new].norm(dim=1, keepdim=True).clamp_min(1e-9)
    result[new] = initial[new] / lengths * table[:known].norm(dim=1).mean()
    return result
