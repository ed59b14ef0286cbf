"""Command line options about what a scene may be besides a local raster file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["access_options"]

Command = TypeVar("Command", bound=Callable[..., Any])


def access_options(command: Command) -> Command:
    """Add ``--allow-vrt``, ``--allow-remote`` and ``--allow-host`` to a verb.

    The verb gets ``allow_vrt``, ``allow_remote`` and ``allowed_hosts`` for ``open_scene``.
    """
    options = (
        click.option("--allow-vrt", is_flag=True, help="Open virtual rasters, which read files."),
        click.option("--allow-remote", is_flag=True, help="Open http, https and s3 URLs."),
        click.option(
            "--allow-host",
            "allowed_hosts",
            multiple=True,
            metavar="HOST",
            help="A host that URLs and redirects may lead to, or s3://BUCKET; repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
