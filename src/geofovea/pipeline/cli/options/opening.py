"""``--open``: what a verb has written, in the browser."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from geofovea.pipeline.cli.options.grouped import option
from geofovea.pipeline.system.terminal import notice

__all__ = ["BROWSED", "open_option", "open_written", "page_to_open"]

BROWSED = (".html", ".svg", ".png")
"""What a browser shows, the best first."""

open_option = option("--open", "opens", is_flag=True, help="Open the page in the browser.")


def page_to_open() -> Path:
    """The path of a page that the user did not name, in a folder that only its owner can read."""
    return Path(tempfile.mkdtemp(prefix="geofovea-")) / "answer.html"


def open_written(files: Sequence[Path]) -> None:
    """Open the file that shows most, or say where it is if there is no browser.

    Args:
        files: Paths of what was written; not all of them need exist.
    """
    from geofovea.pipeline.answers.showing import open_in_browser

    shows = [f for suffix in BROWSED for f in files if f.suffix == suffix and f.is_file()]
    if not shows:
        notice("  --open     nothing was written that a browser shows")
    elif not open_in_browser(shows[0]):
        notice(f"  --open     no browser here has a window: open {shows[0].resolve()} yourself")
