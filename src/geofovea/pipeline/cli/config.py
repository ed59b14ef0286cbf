"""``geofovea config``: what is configured, and from where; and the file behind every verb."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from geofovea.errors import ConfigurationError
from geofovea.pipeline.cli.options.grouped import CommandWithExamples
from geofovea.pipeline.cli.options.shared import json_option
from geofovea.pipeline.system.configuration import (
    FILE_VARIABLE,
    SETTINGS,
    Configured,
    read_configuration,
    usual_files,
    variable_of,
)
from geofovea.pipeline.system.terminal import echo, paragraph
from geofovea.tiling.machine.proj_data import proj_data_variable

__all__ = ["apply_configuration", "config", "config_option", "origin_of_values"]

_PARAMETERS = {
    "model": "model",
    "device": "device",
    "endpoint": "endpoint_url",
    "budget.max_tiles": "tiles",
    "budget.max_tokens": "tokens",
    "budget.timeout": "seconds",
}
_CACHE = "cache."

config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Read this configuration instead of geofovea.toml.",
)


@click.group()
def config() -> None:
    """Show what is configured, and where."""


@config.command(
    cls=CommandWithExamples,
    examples=[
        "geofovea config show",
    ],
)
@json_option
def show(as_json: bool) -> None:
    """Print every setting and where it is from."""
    configuration = read_configuration()
    rows = {setting.key: configuration.values.get(setting.key) for setting in SETTINGS}
    if as_json:
        record = {
            key: None if entry is None else {"value": _shown(entry.value), "source": entry.source}
            for key, entry in rows.items()
        }
        echo(json.dumps({"settings": record, "files": [str(p) for p in configuration.files]}))
        return
    for setting in SETTINGS:
        entry = rows[setting.key]
        value = "not set" if entry is None else f"{_shown(entry.value)}   from {entry.source}"
        echo(f"{setting.key:<24}{value}   ({setting.about}; ${setting.variable})")
    files = ", ".join(str(path) for path in configuration.files) or "none"
    places = " and ".join(str(path) for path in usual_files()[::-1])
    paragraph(
        f"files read: {files}; looked for: {places}, or the one of --config or ${FILE_VARIABLE}"
    )


def _shown(value: Any) -> str:
    from geofovea.tiling.remote.names import without_secrets

    return without_secrets(str(value))


def apply_configuration(context: click.Context, file: Path | None) -> None:
    """Let files set what no option sets, for as long as the context lasts.

    Raises:
        ConfigurationError: If a file holds an impossible value.
    """
    if file is not None:
        context.with_resource(_environment({FILE_VARIABLE: str(file.resolve())}))
    values = read_configuration().of_files
    group: Any = context.command
    defaults = {_PARAMETERS[key]: value for key, value in values.items() if key in _PARAMETERS}
    context.default_map = {
        name: defaults
        for name, verb in group.commands.items()
        # those that ask; what measures the synthetic world is not configured
        if any(parameter.name == "endpoint_url" for parameter in verb.params)
    }
    # the process is ours, and so are the workers that inherit from it
    context.with_resource(_environment(proj_data_variable()))
    context.with_resource(
        _environment({variable_of(k): _text(v) for k, v in values.items() if k.startswith(_CACHE)})
    )


def origin_of_values(message: str, verb: click.Command | None, words: Sequence[str]) -> str:
    """Where configured values come from that a message is about, in words that follow it.

    Args:
        message: What the shell is told; names options as they are typed.
        verb: The running verb, if there is one.
        words: What was typed; what these set is not configured.
    """
    parameters = {each.name: each.opts for each in (verb.params if verb else ())}
    said = [
        f"{options[0]} comes from {entry.source}"
        for key, entry in _configured().items()
        if (options := parameters.get(_PARAMETERS.get(key, "")))
        and not any(word.partition("=")[0] in options for word in words)
        and (any(option in message for option in options) or repr(entry.value) in message)
    ]
    return "".join(f"; {each}" for each in said)


def _configured() -> Mapping[str, Configured]:
    """What is configured; nothing where that cannot be read, of which the message is then."""
    try:
        return read_configuration().values
    except ConfigurationError:
        return {}


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """These variables for this process and its workers."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
