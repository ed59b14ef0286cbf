"""The files of the page: a fixed table, so that no path of a request ever reaches the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGE_FILES", "PageFile", "read_page_file"]

# the server owns them; the files of answers hold copies
_FOLDER = Path(__file__).parents[2] / "viewer" / "static"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file of the page.

    Attributes:
        name: In the folder of the package.
        media_type: What it is.
    """

    name: str
    media_type: str


PAGE_FILES: Mapping[str, PageFile] = {
    "/": PageFile("index.html", "text/html"),
    "/viewer.js": PageFile("viewer.js", "text/javascript"),
    "/viewer.css": PageFile("viewer.css", "text/css"),
    "/icon.svg": PageFile("icon.svg", "image/svg+xml"),
}
"""By path; they hold no data of any scene."""


def read_page_file(file: PageFile) -> bytes | None:
    """Its bytes; None in a source tree whose page was not built."""
    path = _FOLDER / file.name
    return path.read_bytes() if path.is_file() else None
