"""The chat template of a model's processor, which is the one that knows about images.

A repository often holds two: that of the tokenizer is for text alone and may add a system prompt
that the model with images never saw. The order is that of ``AutoProcessor`` in ``transformers``
5.24: ``processor_config.json``, then ``chat_template.json``, then ``chat_template.jinja``, then
``additional_chat_templates/default.jinja``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import companion, read_json
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["processor_template", "template_files"]

_KEY = "chat_template"
_LEGACY_FILE = "chat_template.json"
_FOLDER = "additional_chat_templates"


def processor_template(name: str) -> str | dict[str, str] | None:
    """The chat template that the stock processor of a model takes.

    Args:
        name: A local folder or a hub id.

    Returns:
        Jinja; templates by name where the model has several and none is the default; None where
        only the tokenizer can have one.

    Raises:
        ModelError: If a file that should hold it cannot be read, or the model has templates in a
            file and in a folder that stock processors do not take together.
    """
    _refuse_two_places(name)
    for file in ("processor_config.json", _LEGACY_FILE):
        path = companion(name, file)
        if path is None:
            continue
        record = read_json(path)
        if file == _LEGACY_FILE and _KEY not in record:
            raise ModelError(f"{path} has no {_KEY!r}; remove it, or copy or download it again")
        if template := _template_in(record.get(_KEY)):
            return template
    for file in ("chat_template.jinja", f"{_FOLDER}/default.jinja"):
        path = companion(name, file)
        if path is not None:
            return _text_of(path)
    return None


def template_files(name: str) -> list[Path]:
    """The files of a model that hold a template and nothing else.

    Args:
        name: A local folder or a hub id.
    """
    names = ("chat_template.jinja", *(f"{_FOLDER}/{file}" for file in _names_in_folder(name)))
    return [path for file in names if (path := companion(name, file))]


def _refuse_two_places(name: str) -> None:
    """Refuse what stock processors refuse, because nobody can tell which template was meant."""
    if companion(name, _LEGACY_FILE) is None or not (further := _names_in_folder(name)):
        return
    here = "" if Path(name).is_dir() else "download it and "
    raise ModelError(
        f"{name} holds chat templates in {_LEGACY_FILE} and in {_FOLDER} ({', '.join(further)}), "
        f"which transformers does not take together; {here}remove the folder {_FOLDER}, or move "
        f"the template out of {_LEGACY_FILE} into a chat_template.jinja"
    )


def _names_in_folder(name: str) -> list[str]:
    """Names of the files in the folder for further templates."""
    if Path(name).is_dir():
        return sorted(path.name for path in (Path(name) / _FOLDER).glob("*.jinja"))
    from transformers.utils.hub import list_repo_templates

    try:
        names = list_repo_templates(name, local_files_only=False)
    except Exception:  # its client raises those of several libraries, and most have no such folder
        return []
    # a listing of the hub has the endings, and one of its cache has not
    return sorted(f"{each.removesuffix('.jinja')}.jinja" for each in names)


def _template_in(value: object) -> str | dict[str, str] | None:
    """A template, or the default one of several, which stand in an object or in a list."""
    if isinstance(value, list):
        named = [each for each in value if isinstance(each, Mapping)]
        value = {each.get("name"): each.get("template") for each in named}
    if isinstance(value, Mapping):
        several = {str(key): text for key, text in value.items() if isinstance(text, str) and text}
        # without a default, another file may not step in: stock processors take none either
        return several.get("default") or several or None
    return value if isinstance(value, str) and value else None


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{path} is not text in UTF-8 ({reason_of(error)}); copy or download it again"
        ) from error
