"""Command line options about scenes: what of one is shown, and what may be opened."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click

from geofovea.errors import SceneError
from geofovea.pipeline.cli.options.grouped import in_group, with_options
from geofovea.pipeline.cli.options.shared import comma_separated
from geofovea.tiling.pixels.composites import COMPOSITES, composite_named

__all__ = ["access_options", "asset_option", "verify_option", "view_options"]

_option = in_group("Scene options")

verify_option = _option(
    "--verify", is_flag=True, help="Read every block of a scene once before asking about it."
)
"""Finds damage that no answer would meet."""

asset_option = in_group("Input options")(
    "--asset", metavar="KEY", help="Asset of STAC items that is the scene."
)
"""Refused by ``list_scenes`` where no source is a STAC item."""

Command = TypeVar("Command", bound=Callable[..., Any])


def view_options(command: Command) -> Command:
    """Add ``--bands``, ``--composite``, ``--band-map`` and ``--nodata`` to a verb.

    The verb gets them by keyword, parsed: ``nodata`` for ``open_scene``, the others for
    ``plan_radiometry``, all None where they are not given.
    """
    options = (
        _option(
            "--bands",
            callback=_parsed(partial(comma_separated, kind=int)),
            help="Bands to show, for example 4,3,2.",
        ),
        _option(
            "--composite",
            callback=_parsed(_composite),
            metavar="NAME",
            help=f"Show a named composite instead: {', '.join(COMPOSITES)}.",
        ),
        _option(
            "--band-map",
            callback=_parsed(_band_map),
            metavar="ROLE=BAND,...",
            help="Bands of a composite where the file does not say, for example red=3,nir=8.",
        ),
        _option(
            "--nodata",
            callback=_parsed(_nodata),
            help="Value of missing pixels, in place of the file's; auto takes a border's color.",
        ),
    )
    wrapped: Command = with_options(command, options)
    return wrapped


def access_options(command: Command) -> Command:
    """Add ``--allow-vrt``, ``--allow-remote`` and ``--allow-host`` to a verb.

    The verb gets ``allow_vrt``, ``allow_remote`` and ``allowed_hosts`` for ``open_scene``.
    """
    options = (
        _option(
            "--allow-vrt", is_flag=True, help="Open virtual rasters (VRT), which read other files."
        ),
        _option("--allow-remote", is_flag=True, help="Open http, https and s3 URLs."),
        _option(
            "--allow-host",
            "allowed_hosts",
            goes_with=["--allow-remote"],
            multiple=True,
            metavar="HOST",
            help="A host that URLs and redirects may lead to, or s3://BUCKET; repeatable.",
        ),
    )
    wrapped: Command = with_options(command, options)
    return wrapped


def _parsed(parse: Callable[[str], Any]) -> Callable[..., Any]:
    """A callback of click that parses what was given and leaves None alone."""
    return lambda _context, _parameter, value: None if value is None else parse(value)


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
