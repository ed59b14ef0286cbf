"""Command line options about what of a scene is shown; verbs that look at a scene share them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from geofovea.errors import SceneError
from geofovea.tiling.pixels.composites import COMPOSITES, composite_named

__all__ = ["view_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def view_options(command: Command) -> Command:
    """Add ``--bands``, ``--composite``, ``--band-map`` and ``--nodata`` to a verb.

    The verb gets them by keyword, parsed: ``nodata`` for ``open_scene``, the others for
    ``plan_radiometry``, all None where they are not given.
    """
    options = (
        click.option("--bands", callback=_parsed(_bands), help="Bands to show, for example 4,3,2."),
        click.option(
            "--composite",
            callback=_parsed(_composite),
            metavar="NAME",
            help=f"Named composite instead: {', '.join(COMPOSITES)}.",
        ),
        click.option(
            "--band-map",
            callback=_parsed(_band_map),
            metavar="ROLE=BAND,...",
            help="Bands of a composite where the file does not say, for example red=3,nir=8.",
        ),
        click.option(
            "--nodata",
            callback=_parsed(_nodata),
            help="Value of missing pixels, instead of the file's; or auto, for a border's colour.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """A callback of click that parses what was given and leaves None alone."""
    return lambda _context, _parameter, value: None if value is None else parse(value)


def _bands(value: str) -> Any:
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 4,3,2") from error


def _composite(value: str) -> Any:
    try:
        return composite_named(value).name
    except SceneError as error:
        raise click.BadParameter(str(error)) from error


def _band_map(value: str) -> Any:
    try:
        pairs = [part.split("=") for part in value.split(",")]
        return {role.strip().lower(): int(band) for role, band in pairs}
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is not a band map such as red=3,nir=8") from error


def _nodata(value: str) -> Any:
    if value.lower() == "auto":
        return "auto"
    try:
        # 64 bits hold whole numbers that a float does not
        is_long = value.lstrip("+-").isdecimal() and abs(int(value)) > 2**53
        return int(value) if is_long else float(value)
    except ValueError as error:
        raise click.BadParameter(f"{value!r} is neither a number nor auto") from error
