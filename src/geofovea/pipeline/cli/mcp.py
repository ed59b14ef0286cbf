"""``geofovea mcp``: scenes as tools for agents, on standard input and output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from geofovea.errors import MissingExtraError
from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.grouped import GroupedCommand
from geofovea.pipeline.cli.options.scene import access_options
from geofovea.pipeline.cli.options.shell_words import words_of_server

if TYPE_CHECKING:
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["mcp"]


@click.command(
    cls=GroupedCommand,
    examples=[
        "geofovea mcp scene.tif --model openai:qwen2.5vl:7b",
        "geofovea mcp before.tif after.tif --model /models/qwen3-vl-2b",
    ],
)
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@ask_options(oracle=False)
@access_options
def mcp(
    scenes: tuple[str, ...],
    settings: AskSettings,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Offer scenes to agents as tools.

    An agent starts this command by itself, with every raster SCENE that it may look at.

    It speaks the Model Context Protocol on standard input and output. Agents inspect
    scenes, ask about them, look at windows of them, and find, count, measure and compare.
    geofovea serve offers the same tools over HTTP.
    """
    try:
        from geofovea.pipeline.agents.mcp_server import run_on_stdio
    except ImportError as error:
        raise MissingExtraError("mcp", "mcp", "geofovea mcp") from error
    from geofovea.pipeline.viewer.job_request import JOB_FIELDS
    from geofovea.pipeline.viewer.opened_desk import open_desk

    desk = open_desk(
        scenes,
        settings,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
        worded=words_of_server(JOB_FIELDS),
    )
    try:
        run_on_stdio(desk)
    finally:
        desk.close()
