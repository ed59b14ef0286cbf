"""The chat template of a model's processor, which is the one that knows about images.

A repository often holds two: that of the tokenizer is for text alone and may add a system prompt
that the model with images never saw. The order is that of ``AutoProcessor`` in ``transformers``
5.24: ``processor_config.json``, then ``chat_template.json``, then ``chat_template.jinja``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import companion, read_json

__all__ = ["processor_template"]

_KEY = "chat_template"


def processor_template(name: str) -> str | None:
    """The chat template that the stock processor of a model takes.

    Args:
        name: A local folder or a hub id.

    Returns:
        Jinja; None where only the tokenizer can have one.

    Raises:
        ModelError: If a file that should hold it cannot be read.
    """
    for file in ("processor_config.json", "chat_template.json"):
        path = companion(name, file)
        if path is not None and (template := _default(read_json(path).get(_KEY))):
            return template
    path = companion(name, "chat_template.jinja")
    return None if path is None else _text_of(path)


def _default(value: object) -> str | None:
    """A template, or the default one of several, which stand in an object or in a list."""
    if isinstance(value, list):
        named = [each for each in value if isinstance(each, Mapping)]
        value = {each.get("name"): each.get("template") for each in named}
    if isinstance(value, Mapping):
        value = value.get("default")
    return value if isinstance(value, str) and value else None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} is not text in UTF-8 ({error}); copy or download it again"
        ) from error
