"""Command line options about which model answers, and how it is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import wraps
from typing import Any, TypeVar

import click

from geofovea.pipeline.cli.options.grouped import in_group, with_options
from geofovea.pipeline.hosts.load import EMBEDDED, EMBEDDED_EARTH, demo_model_of
from geofovea.pipeline.hosts.load_options import (
    AUTO,
    DEVICE_MAPS,
    DTYPES,
    LONGEST_ANSWER,
    POSITIONS,
    QUANTIZATIONS,
    THINKING,
    LoadOptions,
)
from geofovea.pipeline.system.configuration import variable_of

__all__ = ["model_options", "synthetic_model_options", "threads_option", "unusual"]

threads_option = in_group("Model options")(
    "--threads",
    type=click.IntRange(1),
    help="Threads that compute. Default: by the size of the model and the cores.",
)
"""For verbs that run a model."""

Command = TypeVar("Command", bound=Callable[..., Any])

_NAMES = {
    "model": "name",
    "device": "device",
    "dtype": "dtype",
    "device_map": "device_map",
    "quantization": "quantization",
    "positions": "positions",
    "threads": "threads",
    "thinking": "thinking",
    "thought_tokens": "thought_tokens",
    "compile_decode": "compile_decode",
}


def unusual(loading: Mapping[str, Any]) -> dict[str, Any]:
    """The options of `model_options` that differ from their defaults, without the name."""
    values = {name: value for name, value in loading.items() if name != "name"}
    usual = asdict(LoadOptions())
    return {name: value for name, value in values.items() if value != usual[name]}


def model_options(command: Command) -> Any:
    """Add ``--model`` and how it is loaded; the verb gets ``loading``, all for ``load_host``."""
    return _with_model(command, AUTO)


def synthetic_model_options(command: Command) -> Any:
    """The same for verbs that ask about synthetic scenes alone, which the demo models know."""
    return _with_model(command, None)


def _with_model(command: Command, default: str | None) -> Any:
    # what measures the synthetic world is about a demo model unless its own options say otherwise
    is_configured = default is not None

    @wraps(command)
    def run(**values: Any) -> Any:
        if values["model"] is None:
            values["model"] = demo_model_of((values.get("world", 1),))
        loading = {name: values.pop(option) for option, name in _NAMES.items()}
        return command(loading=loading, **values)

    option = in_group("Model options")
    options = (
        option(
            "--model",
            default=default,
            envvar=variable_of("model") if is_configured else None,
            show_default=default or f"{EMBEDDED}; for world 2 {EMBEDDED_EARTH}",
            is_common=True,
            help="A folder, a hub id or openai:NAME; 'geofovea models' lists some.",
        ),
        option(
            "--device",
            default=AUTO,
            envvar=variable_of("device") if is_configured else None,
            show_default=True,
            help="A torch device; auto is a GPU if there is one.",
        ),
        option(
            "--dtype",
            type=click.Choice(DTYPES),
            help="Type of the weights. Default: float32 on a CPU, as stored on a GPU.",
        ),
        option(
            "--device-map",
            type=click.Choice(DEVICE_MAPS),
            help="Spread the model over all devices; needs geofovea[spread].",
        ),
        option(
            "--quantization",
            type=click.Choice(QUANTIZATIONS),
            help="Load the model in fewer bits; needs geofovea[quantize].",
        ),
        option(
            "--positions",
            type=click.Choice(POSITIONS),
            help="Positions of vision tokens, as far as the family has them.",
        ),
        threads_option,
        option(
            "--thinking",
            type=click.Choice(THINKING),
            help="Whether a model that thinks before it answers gets room for its thoughts. "
            "Default: off.",
        ),
        option(
            "--thought-tokens",
            type=click.IntRange(1, LONGEST_ANSWER),
            help="Most tokens of a thought with --thinking room. Default: 1024.",
        ),
        option(
            "--compile-decode",
            is_flag=True,
            help="Record the steps of answers as a CUDA graph and replay them; needs a GPU.",
        ),
    )
    return with_options(run, options)
