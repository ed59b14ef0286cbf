"""Arguments and options that verbs have in common, and words of options that are read alike."""

from __future__ import annotations

import math
from typing import Any

import click

__all__ = [
    "SEED",
    "FiniteRange",
    "comma_separated",
    "json_option",
    "minutes_option",
    "scene_argument",
    "world_option",
]

SEED = click.IntRange(0, 2**31 - 1)
"""Seeds that every generator takes."""


class FiniteRange(click.FloatRange):
    """Numbers of a range without nan, which is in none, and without infinity."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See ``click.ParamType``."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


scene_argument = click.argument("scene", type=str)

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")

minutes_option = click.option(
    "--minutes", type=FiniteRange(0), help="Stop after this time; the same command resumes."
)

world_option = click.option(
    "--world",
    default=1,
    show_default=True,
    type=click.IntRange(1, 2),
    help="Version of the synthetic world. 1: cells of one terrain each. 2: land, towns and water "
    "as on the Earth.",
)


def comma_separated(
    text: str,
    kind: type,
    count: int | None = None,
    *,
    what: str = "numbers",
    example: str = "4,3,2",
    param: click.Parameter | None = None,
) -> tuple[Any, ...]:
    """Numbers in one word of the command line, separated by commas.

    Args:
        text: The word.
        kind: Of each number: ``int`` or ``float``.
        count: How many there have to be, where that matters.
        what: What they are, for the message.
        example: Such a word, likewise.
        param: The option, if the message is to name it.

    Raises:
        BadParameter: If they are not numbers, or not so many.
    """
    try:
        numbers = tuple(kind(part) for part in text.split(","))
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not a list of {what} such as {example}", param=param
        ) from error
    if count is not None and len(numbers) != count:
        raise click.BadParameter(f"{text!r} should be {count} numbers separated by commas")
    return numbers
