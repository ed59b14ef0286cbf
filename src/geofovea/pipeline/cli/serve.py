"""``geofovea serve``: a page on this machine that shows scenes and answers questions about them."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from geofovea.pipeline.cli.options.ask import ask_options
from geofovea.pipeline.cli.options.grouped import GroupedCommand
from geofovea.pipeline.cli.options.scene import access_options
from geofovea.pipeline.cli.options.shell_words import words_of_server
from geofovea.pipeline.system.terminal import echo, notice

if TYPE_CHECKING:
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["serve"]

_EXAMPLES = (
    "geofovea serve scene.tif",
    "geofovea serve before.tif after.tif --no-open",
    "geofovea serve scene.tif --model openai:qwen2.5vl:7b \\",
    "    --base-url http://localhost:11434/v1",
)


@click.command(cls=GroupedCommand, examples=_EXAMPLES)
@click.argument("scenes", metavar="SCENE...", nargs=-1, required=True)
@ask_options(oracle=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--allow-network",
    is_flag=True,
    help="Let other machines reach it by --host; nothing is encrypted.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port to listen on; a free one if unset.",
)
@click.option("--no-open", is_flag=True, help="Do not open a browser.")
@access_options
def serve(
    scenes: tuple[str, ...],
    settings: AskSettings,
    host: str,
    allow_network: bool,
    port: int,
    no_open: bool,
    allow_vrt: bool,
    allow_remote: bool,
    allowed_hosts: tuple[str, ...],
) -> None:
    """Ask about scenes on a local page.

    The page shows each SCENE, and where the model looks as it searches. Only this machine can reach
    it, at the printed address, which contains a secret token. Press Ctrl-C to stop.

    Programs can ask too, with the token as their key: clients of OpenAI's chat completions at /v1
    (the model is scene:1, scene:2, ...), and agents over the Model Context Protocol at /mcp.
    """
    from geofovea.pipeline.agents.application import make_open_app
    from geofovea.pipeline.viewer.job_request import JOB_FIELDS
    from geofovea.pipeline.viewer.opened_desk import open_desk
    from geofovea.pipeline.viewer.serving import listen, run_server

    # a port that cannot be had is told before anything is loaded
    listening = listen(host, port, allow_network=allow_network)
    notice("loading the model; the address of the page follows")
    with (
        listening.socket,
        closing(
            open_desk(
                scenes,
                settings,
                allow_vrt=allow_vrt,
                allow_remote=allow_remote,
                allowed_hosts=allowed_hosts,
                worded=words_of_server(JOB_FIELDS),
            )
        ) as desk,
    ):
        app = make_open_app(desk, listening.token, listening.served_at)

        def ready() -> None:
            echo(listening.address)
            if listening.served_at.is_open:
                echo(
                    "other machines can reach it, and nothing is encrypted: who listens on the way "
                    "reads scenes, questions and the token",
                    err=True,
                )

        run_server(app, listening, opens_browser=not no_open, ready=ready)
