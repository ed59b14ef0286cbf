"""An answer in a notebook: its picture, its words and its cost as one piece of HTML.

Everything is in the text itself, so a saved notebook shows it offline and asks nobody for anything.
Words of people, files and models are escaped.
"""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Protocol

from PIL import Image

from geofovea.pipeline.answers.picture import Pictured, draw_answer
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader

__all__ = ["MAX_PNG_BYTES", "NotebookAnswer", "answer_html"]

MAX_PNG_BYTES = 2**20
"""A notebook keeps every picture, so one may not be larger than this."""

_WIDTHS = (1160, 800, 560, 400, 280)
_MAX_WARNINGS = 12
_MAX_TEXT = 2000


class NotebookAnswer(Pictured, Protocol):
    """What a notebook shows of an answer."""

    @property
    def radiometry(self) -> Radiometry | None:
        """How pixels became colours; chosen anew where it is not known."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know."""
        ...


def answer_html(answer: NotebookAnswer) -> str:
    """HTML of an answer, at most about 1.5 MB; the picture costs three reads of the scene."""
    cost, scene = answer.cost, answer.scene
    tiles = ", ".join(f"{n} on level {k}" for k, n in sorted(cost.tiles_by_level.items())[::-1])
    rows = {
        "scene": f"{scene.path} ({scene.width} × {scene.height} px, {scene.crs_name or 'no CRS'})",
        "model": answer.model,
        "tiles": f"{cost.tiles_encoded} looked at ({tiles}), {cost.tiles_read} read",
        "tokens": f"{cost.tokens_llm} of {cost.tokens_total} reached the decoder",
        "time": f"{cost.seconds['total']:.2f} s",
        "memory": f"{cost.peak_rss_mb:.0f} MB at most",
    }
    cells = "".join(
        f"<tr><th style='text-align:left'>{_safe(k)}</th>"
        f"<td style='text-align:left'>{_safe(v)}</td></tr>"
        for k, v in rows.items()
    )
    warnings = "".join(f"<li>{_safe(w)}</li>" for w in answer.warnings[:_MAX_WARNINGS])
    parts = [
        f"<p>{_safe(answer.question)}</p>",
        f"<p><strong>{_safe(answer.text) or '(no answer)'}</strong> ({answer.confidence_text})</p>",
        _picture(answer),
        f"<table>{cells}</table>",
        f"<p>Warnings</p><ul>{warnings}</ul>" if warnings else "",
    ]
    return f"<div class='geofovea-answer'>{''.join(parts)}</div>"


def _safe(text: str) -> str:
    short = text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
    return escape(short, quote=True)


def _picture(answer: NotebookAnswer) -> str:
    scene = answer.scene
    try:
        radiometry = answer.radiometry or plan_radiometry(scene)
        page = draw_answer(answer, TileReader(scene, scene.pyramid(256), radiometry))
        data = base64.b64encode(_png(page)).decode("ascii")
    except Exception as error:
        # an answer outlives its file and its picture; the words are still worth showing
        return f"<p><em>no picture: {_safe(str(error))}</em></p>"
    return (
        f"<img alt='{_safe(answer.text)}' style='max-width:100%' "
        f"src='data:image/png;base64,{data}'>"
    )


def _png(page: Image.Image) -> bytes:
    """The page as PNG, smaller until it keeps the limit."""
    for width in _WIDTHS:
        height = max(1, round(page.height * min(1.0, width / page.width)))
        smaller = page.resize((min(page.width, width), height), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        smaller.save(buffer, "PNG", optimize=True)
        if buffer.tell() <= MAX_PNG_BYTES:
            break
    return buffer.getvalue()
