"""Refuses options that do nothing, because another option that they need is missing."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.core import ParameterSource

__all__ = ["check_absent", "check_companions", "is_typed", "shell_name", "typed_among"]


def is_typed(context: click.Context, name: str) -> bool:
    """Whether a parameter stands in the command, and not in a variable or a file."""
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def check_companions(context: click.Context, parameters: Iterable[click.Parameter]) -> None:
    """Refuse an option that was typed and would do nothing, because its companion is missing.

    Args:
        context: Of the verb, with all values.
        parameters: Of the verb. One with ``goes_with`` names its companions, any of which will do,
            as they are typed: ``--memory``, or ``--executor ray`` where its value matters.

    Raises:
        UsageError: Naming the option and its companions.
    """
    listed = list(parameters)
    values = {
        name: context.params.get(parameter.name or "")
        for parameter in listed
        for name in parameter.opts
    }
    for parameter in listed:
        companions: tuple[str, ...] = getattr(parameter, "goes_with", ())
        if not companions or not is_typed(context, parameter.name or ""):
            continue
        if not any(_is_there(values, companion) for companion in companions):
            name = shell_name(parameter)
            raise click.UsageError(
                f"{name} goes with {' or '.join(companions)}; give both, or leave out {name}"
            )


def check_absent(names: Iterable[str], why: str) -> None:
    """Refuse options that were typed in a command that does nothing with them.

    Args:
        names: Of their parameters.
        why: Said behind the option.

    Raises:
        UsageError: Naming the first of them.
    """
    for option in typed_among(names):
        raise click.UsageError(f"{option} {why}; leave out {option}")


def typed_among(names: Iterable[str]) -> list[str]:
    """The options among some parameters of the verb that were typed, as the help names them."""
    context = click.get_current_context()
    parameters = {parameter.name or "": parameter for parameter in context.command.params}
    return [shell_name(parameters[name]) for name in names if is_typed(context, name)]


def shell_name(parameter: click.Parameter) -> str:
    """An option as the help names it."""
    return next(name for name in parameter.opts if name.startswith("--"))


def _is_there(values: dict[str, object], companion: str) -> bool:
    name, _, needed_value = companion.partition(" ")
    value = values[name]
    return str(value) == needed_value if needed_value else value not in (None, False, ())
