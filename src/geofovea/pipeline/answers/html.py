"""An answer in a notebook as one piece of HTML: its picture, and its cost folded below.

Everything is in the text itself, so a saved notebook shows it offline and asks nobody for anything.
Words of people, files and models are escaped. Colors are those of the notebook, light or dark.
"""

from __future__ import annotations

import base64
import io
from html import escape

from PIL import Image

from geofovea.pipeline.answers.drawing.pictured import Pictured
from geofovea.pipeline.answers.picture import draw_answer
from geofovea.pipeline.system.terminal import visible

__all__ = ["MAX_NOTEBOOK_BYTES", "answer_html"]

MAX_NOTEBOOK_BYTES = 150_000
"""A notebook keeps every cell, so the HTML of one answer may not be longer than this."""

_WIDTHS = (830, 560, 400, 280)
_QUALITIES = (85, 70, 50)
_MAX_WARNINGS = 12
_MAX_TEXT = 2000
_TAGS = 1000
_CELL = "text-align:left;padding:2px 12px 2px 0;color:inherit;background:none"


def answer_html(answer: Pictured) -> str:
    """HTML of an answer for a notebook, at most 150 kB; costs a few small reads of the scene.

    Question, answer and confidence stand in the picture alone; without one they stand as text.
    """
    words = _details(answer)
    picture = _picture(answer, MAX_NOTEBOOK_BYTES - len(words) - _TAGS)
    style = f"max-width:{_WIDTHS[0]}px"
    return f"<div class='geofovea-answer' style='{style}'>{picture}{words}</div>"


def _details(answer: Pictured) -> str:
    """What the picture has no room for, folded: cost, model, and every warning in full."""
    cost, scene = answer.cost, answer.scene
    tiles = ", ".join(f"{n} on level {k}" for k, n in sorted(cost.tiles_by_level.items())[::-1])
    rows = {
        "scene": f"{scene.path} ({scene.width} x {scene.height} px, {scene.crs_name or 'no CRS'})",
        "model": answer.model,
        "tiles": f"{cost.tiles_encoded} looked at ({tiles}), {cost.tiles_read} read",
        "tokens": f"{cost.tokens_llm} of {cost.tokens_total} reached the decoder",
        "time": f"{cost.seconds['total']:.2f} s",
        "memory": f"{cost.peak_rss_mb:.0f} MB at most",
    }
    cells = "".join(
        f"<tr style='background:none'><th style='{_CELL}'>{_safe(k)}</th>"
        f"<td style='{_CELL}'>{_safe(v)}</td></tr>"
        for k, v in rows.items()
    )
    warnings = "".join(f"<li>{_safe(w)}</li>" for w in answer.warnings[:_MAX_WARNINGS])
    return (
        "<details><summary>Cost, model and warnings</summary>"
        f"<table style='border:0;color:inherit'>{cells}</table>"
        + (f"<p>Warnings</p><ul>{warnings}</ul>" if warnings else "")
        + "</details>"
    )


def _safe(text: str) -> str:
    short = text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"
    return escape(visible(short, lines=True), quote=True)


def _picture(answer: Pictured, most: int) -> str:
    confidence = answer.confidence_text
    words = f"{answer.question} – {answer.text or '(no answer)'} – {confidence}"
    try:
        data = _encoded(draw_answer(answer), most - len(_safe(words)))
    except Exception as error:
        # an answer outlives its file and its picture; the words are still worth showing
        return (
            f"<p>{_safe(answer.question)}</p><p><strong>{_safe(answer.text) or '(no answer)'}"
            f"</strong> ({confidence})</p><p><em>no picture: {_safe(str(error))}</em></p>"
        )
    # the picture is paper on any ground
    style = "max-width:100%;height:auto;border-radius:6px"
    return f"<img alt='{_safe(words)}' style='{style}' src='{data}'>"


def _encoded(page: Image.Image, most: int) -> str:
    """The page as a data address, smaller and coarser until it keeps the limit."""
    address = ""
    for width in _WIDTHS:
        height = max(1, round(page.height * min(1.0, width / page.width)))
        smaller = page.resize((min(page.width, width), height), Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            smaller.save(buffer, "WEBP", quality=quality, method=4)
            data = base64.b64encode(buffer.getvalue()).decode("ascii")
            address = f"data:image/webp;base64,{data}"
            if len(address) <= most:
                return address
    return address
