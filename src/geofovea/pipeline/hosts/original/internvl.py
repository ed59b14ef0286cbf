"""From an InternVL of the original layout (``internvl_chat``) to one of stock ``transformers``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.original.internvl_configuration import (
    CHATS,
    IMAGE_MARKS,
    IMAGE_WORD,
    stock_internvl,
)
from geofovea.pipeline.hosts.original.internvl_weights import internvl_weights
from geofovea.pipeline.hosts.original.stock_weights import check_weights
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
    weights = internvl_weights(files, config)
    if made["tie_word_embeddings"]:
        # one that is left in the files would keep the stock class from tying it
        weights = ((name, tensor) for name, tensor in weights if name != "lm_head.weight")
    check_weights(made, write_weights(part, weights), source)


def _processor(size: list[int]) -> dict[str, Any]:
    return {
        "image_processor_type": "GotOcr2ImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "size": {"height": size[0], "width": size[1]},
    }
