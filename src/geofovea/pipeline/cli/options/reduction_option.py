"""The option ``--reduction``: words of a chain, checked before anything heavy is loaded."""

from __future__ import annotations

from typing import Any

import click

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS, parse_chain
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, REDUCTION_NAMES
from geofovea.regionfocus.strategies import DEFAULT_REDUCTION

__all__ = ["checked_chain", "reduction_option"]


def checked_chain(_: click.Context, param: click.Parameter, value: str) -> str:
    """A callback of options: the text itself, if it is a chain."""
    try:
        parse_chain(value)
    except ModelError as error:
        raise click.BadParameter(str(error), param=param) from error
    return value


def reduction_option(command: Any) -> Any:
    """Add the option to a verb; it arrives as text."""
    option = click.option(
        "--reduction",
        callback=checked_chain,
        default=DEFAULT_REDUCTION,
        show_default=True,
        metavar="NAME[:SHARE][+...]",
        help=(
            "Which tokens survive, at most one name for each place, such as divprune+fastv:0.25. "
            f"On projected tokens: {', '.join(REDUCTION_NAMES)}. Inside the encoder: "
            f"{', '.join(ENCODER_LINKS)}. Inside the decoder: {', '.join(DECODER_REDUCTION_NAMES)}."
        ),
    )
    return option(command)
