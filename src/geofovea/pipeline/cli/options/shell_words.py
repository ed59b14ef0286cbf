"""Rewrites messages in the words of the shell: ``allow_vrt=True`` becomes ``--allow-vrt``.

The rest of the package names arguments as in Python, with an equals sign. The options of the verb
tell what an argument is called in the shell, so there is no second list of names.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["in_shell_words", "told_in_shell_words", "words_of_server"]

Result = TypeVar("Result", bound="DataclassInstance")

_ARGUMENT = re.compile(
    r"\b(?P<name>[a-z][a-z_]*)="
    r"(?P<value>'[^']*'|\"[^\"]*\"|\([^()]*\)|\{[^{}]*\}|\[[^\[\]]*\]|[^\s,;:()'\"{}\[\]]*)"
    r"(?P<comma>, (?=[a-z][a-z_]*=))?"
)
# of results, and what may hold them
_TEXTS = ("warnings", "notes")
_HOLDERS = ("answer", "places", "measurement")
# the function that takes what a verb has as options
_OPENER = re.compile(r" to geofovea\.open_scene\b")
# arguments of functions whose options bear another name inside a verb
_PARAMETERS = {
    "endpoint": "endpoint_url",
    "total_seconds": "endpoint_seconds",
    "max_tiles": "tiles",
    "max_tokens": "tokens",
    "memory": "megabytes",
    "timeout": "seconds",
    "region": "regions",
    "layer": "region_layer",
    "crs": "region_crs",
    "question": "questions",
}


def in_shell_words(message: str, verb: click.Command | None) -> str:
    """A message of the package as somebody in a shell can act on it.

    Args:
        message: Names arguments as ``name=value`` or ``name=``.
        verb: Whose options are meant; arguments that it does not have stay as they are.
    """
    options = {} if verb is None else dict(_options(verb))

    def replaced(match: re.Match[str]) -> str:
        option = options.get(_PARAMETERS.get(match["name"], match["name"]))
        if option is None:
            return match[0]
        # two arguments in a row are two options in a row
        end = " " if match["comma"] else ""
        return _typed(option, match["value"]) + end

    return _ARGUMENT.sub(replaced, _OPENER.sub("", message) if verb else message)


def words_of_server(others: Collection[str]) -> Callable[[str], str]:
    """Rewrites messages for those who ask what the running verb serves: ``geofovea serve --crs``.

    Args:
        others: Arguments that those who ask give by themselves; they stay as they are.
    """
    context = click.get_current_context()
    path, options = context.command_path, dict(_options(context.command))

    def replaced(match: re.Match[str]) -> str:
        option = options.get(_PARAMETERS.get(match["name"], match["name"]))
        if option is None or match["name"] in others:
            return match[0]
        return f"{path} {_typed(option, match['value'])}{match['comma'] or ''}"

    return lambda text: _ARGUMENT.sub(replaced, text)


def told_in_shell_words(result: Result) -> Result:
    """A result of the running verb whose warnings and notes name options as they are typed.

    For what is printed as JSON or written to a file, too.

    Args:
        result: A data class with ``warnings`` or ``notes``, or one that holds such a thing.
    """
    verb = click.get_current_context().command
    changes: dict[str, Any] = {}
    for each in dataclasses.fields(result):
        value = getattr(result, each.name)
        if each.name in _TEXTS:
            changes[each.name] = tuple(in_shell_words(text, verb) for text in value)
        # the places of a measurement are a plain tuple
        elif each.name in _HOLDERS and not isinstance(value, tuple | None):
            changes[each.name] = told_in_shell_words(value)
    return dataclasses.replace(result, **changes)


def _options(verb: click.Command) -> Iterator[tuple[str, click.Option]]:
    """Options by the names of their parameters, those of all verbs within a group too."""
    subverbs: Mapping[str, click.Command] = getattr(verb, "commands", {})
    for each in subverbs.values():
        yield from _options(each)
    for parameter in verb.params:
        if isinstance(parameter, click.Option) and parameter.name:
            yield parameter.name, parameter


def _typed(option: click.Option, value: str) -> str:
    """An option as it is typed."""
    name = next(name for name in option.opts if name.startswith("--"))
    if option.is_flag:
        no = option.secondary_opts[0] if option.secondary_opts else ""
        return no if value == "False" and no else name
    text = value
    if value[:1] in ("(", "["):
        parts = (part.strip(" '\"") for part in value[1:-1].split(","))
        text = _quoted(",".join(part for part in parts if part))
    elif value[:1] == "{":
        pairs = (part.split(":") for part in value[1:-1].split(",") if ":" in part)
        text = ",".join(f"{key.strip(chr(39) + ' ')}={number.strip()}" for key, number in pairs)
    elif value[:1] in ("'", '"'):
        text = _quoted(value[1:-1])
    return f"{name} {text}" if text and text != "None" else name


def _quoted(text: str) -> str:
    return shlex.quote(text) if text else ""
