"""One answer as one HTML file: the page of the server, with what it shows inside.

The file asks nobody for anything: its policy forbids every request, and allows the one script and
the one style that it holds, by their hashes. Data stands in an element that is never run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
from functools import cache
from pathlib import Path
from typing import Any

from geofovea.pipeline.answers.page.assets import PAGE_FILES, read_page_file
from geofovea.pipeline.answers.page.data import (
    Truth,
    answer_data,
    json_text,
    model_name,
    scene_name,
)
from geofovea.pipeline.answers.page.facts import shown_facts
from geofovea.pipeline.answers.page.tiles import MEDIA_TYPE, page_tiles
from geofovea.pipeline.answers.record import AnswerRecord
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.terminal import visible
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader

__all__ = ["MOST_PAGE_BYTES", "answer_page", "page_content", "save_answer_page"]

MOST_PAGE_BYTES = 3 * 10**6
"""Of a page by default: small enough for mail, large enough for about a hundred tiles."""

_TILE_SIDE = 512
_LEAST_TILE_BYTES = 200_000

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body class="geofovea-body">
<div id="geofovea" class="geofovea"><noscript>{words}</noscript></div>
<script type="application/json" id="geofovea-data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


def save_answer_page(
    answer: AnswerRecord,
    path: str | os.PathLike[str],
    most_bytes: int = MOST_PAGE_BYTES,
    truth: Truth | None = None,
) -> None:
    """Write an answer as a page that needs nothing else: it works offline and from a disk.

    Args:
        answer: What to show.
        path: Of the file.
        most_bytes: How large it may be; tiles that fit no more are shown coarser.
        truth: What would have been right, where that is known.

    Raises:
        OutputError: If the file cannot be written.
        SceneError: If the scene is not the file it was, or cannot be read.
    """
    write_text(path, answer_page(answer, most_bytes, truth))


def answer_page(
    answer: AnswerRecord, most_bytes: int = MOST_PAGE_BYTES, truth: Truth | None = None
) -> str:
    """An answer as an HTML document; see `save_answer_page`.

    Args:
        answer: What to show.
        most_bytes: How large the document may be.
        truth: What would have been right, where that is known.

    Raises:
        SceneError: If the scene is not the file it was, or cannot be read.
    """
    script, style = _asset("/viewer.js"), _asset("/viewer.css")
    around = len(script) + len(style) + len(_DOCUMENT)
    content = page_content(answer, most_bytes - around, truth)
    return _DOCUMENT.format(
        policy=_policy(script, style),
        title=html.escape(visible(f"{answer.question} – GeoFovea")),
        words=html.escape(visible(f"{answer.question} {answer.text}")),
        style=style,
        data=_as_data(content),
        script=script,
    )


def page_content(
    answer: AnswerRecord, most_bytes: int, truth: Truth | None = None
) -> dict[str, Any]:
    """What the page of an answer shows, as plain values; see ``web/src/transport/file.js``.

    Args:
        answer: What to show.
        most_bytes: The most that it may have as JSON.
        truth: What would have been right, where that is known.

    Raises:
        SceneError: If the scene is not the file it was, or cannot be read.
    """
    reader = _reader(answer)
    content = _content(answer, reader)
    if truth is not None:
        content["answer"]["truth"] = truth.to_json()
    room = max(_LEAST_TILE_BYTES, most_bytes - len(_as_data(content).encode()))
    return content | {"tiles": page_tiles(answer, reader, room, truth.boxes if truth else ())}


def _reader(answer: AnswerRecord) -> TileReader:
    scene = answer.scene
    return TileReader(scene, scene.pyramid(_TILE_SIDE), answer.radiometry or plan_radiometry(scene))


def _content(answer: AnswerRecord, reader: TileReader) -> dict[str, Any]:
    """What the page shows, without tiles; scene and model have names and no paths."""
    name = scene_name(answer.scene.path)
    pyramid = reader.pyramid
    levels = pyramid.top_level + 1
    grid = {"side": _TILE_SIDE, "levels": levels, "width": pyramid.width, "height": pyramid.height}
    facts = shown_facts(answer.scene, reader.radiometry)
    facts["warnings"] = []  # the answer has them
    scene = {"id": "1", "name": name, "grid": grid, "model": {"levels": answer.levels}} | facts
    return {
        "overview": {"model": model_name(answer.model), "scenes": [scene]},
        "answer": answer_data(answer, name),
        "region": None,
        "media_type": MEDIA_TYPE,
        "tiles": {},
    }


def _as_data(content: Any) -> str:
    """JSON that no HTML parser takes for the end of its element, and no script for a line end."""
    text = json_text(content)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src blob: data:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


@cache
def _asset(path: str) -> str:
    content = read_page_file(PAGE_FILES[path])
    if content is None:
        name = Path(PAGE_FILES[path].name)
        raise FileNotFoundError(f"{name} was not built: run make web in the source tree")
    return content.decode()
