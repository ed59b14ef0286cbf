"""From an InternVL of the original layout (``internvl_chat``) to one of stock ``transformers``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.original.internvl_configuration import (
    CHATS,
    IMAGE_MARKS,
    IMAGE_WORD,
    stock_internvl,
)
from geofovea.pipeline.hosts.original.internvl_weights import internvl_weights
from geofovea.pipeline.hosts.original.written_folder import (
    tokenizer_of,
    write_json,
    write_weights,
)

__all__ = ["write_internvl"]


def write_internvl(files: list[Path], config: dict[str, Any], source: Path, part: Path) -> None:
    """Write the same model in the layout of stock ``transformers``.

    Args:
        files: Its weights.
        config: Its ``config.json``, which was checked.
        source: Its folder.
        part: The folder to write.

    Raises:
        ModelError: If it lacks a part, or has one that the stock class does not.
    """
    tokenizer = tokenizer_of(source)
    chat = CHATS[config["template"]]
    words = (IMAGE_WORD, *IMAGE_MARKS, chat.end_word)
    ids = dict(zip(words, tokenizer.convert_tokens_to_ids(list(words)), strict=True))
    if missing := [w for w, i in ids.items() if i is None or i == tokenizer.unk_token_id]:
        raise ModelError(
            f"the tokenizer in {source} has no words {' '.join(missing)}, which an InternVL puts "
            "into its prompts; copy or download it again"
        )
    tokenizer.chat_template = chat.template()
    tokenizer.save_pretrained(part)
    made = stock_internvl(config, ids[IMAGE_WORD])
    write_json(part / "config.json", made)
    write_json(part / "preprocessor_config.json", _processor(made["vision_config"]["image_size"]))
    stop = sorted({ids[chat.end_word], tokenizer.eos_token_id} - {None})
    write_json(part / "generation_config.json", {"eos_token_id": stop})
    shapes = write_weights(part, internvl_weights(files, config))
    _check_all(made, shapes, source)


def _check_all(config: dict[str, Any], shapes: Mapping[str, torch.Size], source: Path) -> None:
    """Refuse what the stock class would fill with random numbers, before it is kept."""
    needed = [
        "model.language_model.embed_tokens.weight",
        "model.multi_modal_projector.linear_1.weight",
        "model.multi_modal_projector.linear_2.weight",
        "model.vision_tower.embeddings.position_embeddings",
    ]
    if not config["tie_word_embeddings"]:
        needed.append("lm_head.weight")
    for part in ("language_model.layers", "vision_tower.encoder.layer"):
        depth = config[f"{part.split('_')[0].replace('language', 'text')}_config"]
        needed += [f"model.{part}.{i}." for i in range(depth["num_hidden_layers"])]
    for name in needed:
        if not any(each.startswith(name) for each in shapes):
            raise ModelError(
                f"{source} lacks the weights that become {name}; copy or download it again"
            )


def _processor(size: list[int]) -> dict[str, Any]:
    return {
        "image_processor_type": "GotOcr2ImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "size": {"height": size[0], "width": size[1]},
    }
