"""One picture of one answer: the whole scene, the search, and the evidence it was read from."""

from __future__ import annotations

import os

from PIL import Image, ImageDraw

from geofovea.pipeline.answers.drawing.page import legend_of, paint_captions, paint_panels
from geofovea.pipeline.answers.drawing.pictured import Pictured
from geofovea.pipeline.answers.drawing.plan import plan_picture
from geofovea.pipeline.answers.drawing.theme import PAGE_WIDTH, PAPER
from geofovea.pipeline.answers.drawing.words import (
    draw_footer,
    draw_head,
    draw_legend,
    draw_warnings,
)
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.reader import TileReader

__all__ = ["Pictured", "draw_answer", "save_picture"]

_TALLEST_PAGE = 3000
_TILE_SIZE = 256


def draw_answer(answer: Pictured, reader: TileReader | None = None) -> Image.Image:
    """Draw an answer: 1660 pixels wide, at most four small reads whatever the size of the scene.

    The close-ups show the finest tiles whose tokens reached the decoder, whole, and the rest of
    their surroundings pale. Lines of levels go around what was looked at and not across it.

    Args:
        answer: What to show.
        reader: Of the answer's scene, where one is open.

    Raises:
        SceneError: If the scene is not the file it was, or cannot be read.
    """
    if reader is None:
        scene = answer.scene
        radiometry = answer.radiometry or plan_radiometry(scene)
        reader = TileReader(scene, scene.pyramid(_TILE_SIZE), radiometry)
    # as tall as any page, cut when its end is known
    page = Image.new("RGB", (PAGE_WIDTH, _TALLEST_PAGE), PAPER)
    pen = ImageDraw.Draw(page, "RGBA")
    confidence = answer.confidence if answer.confidence_known else None
    sure = answer.confidence_text
    top = draw_head(pen, answer.question, answer.text, confidence, sure)
    top = draw_warnings(pen, answer.warnings, top)
    plan = plan_picture(answer, top + 4)
    paint_panels(page, answer, reader, plan)
    paint_captions(page, answer, plan)
    end = draw_legend(pen, legend_of(answer, plan), *plan.layout.legend)
    bottom = max(end, plan.layout.bottom)
    bottom = draw_footer(pen, answer.scene, answer.cost, answer.model, bottom + 6)
    return page.crop((0, 0, PAGE_WIDTH, bottom + 20))


def save_picture(answer: Pictured, reader: TileReader | None, path: str | os.PathLike[str]) -> None:
    """Draw an answer into a PNG file.

    Raises:
        OutputError: If the file cannot be written.
        SceneError: If the scene is not the file it was, or cannot be read.
    """
    page = draw_answer(answer, reader)
    write_file(path, lambda aside: page.save(aside, "PNG"))
