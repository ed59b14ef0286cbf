"""The panels of a picture, painted on its page with their captions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from geofovea.pipeline.answers.drawing.ground import gsd_of, level_text, place_text, size_text
from geofovea.pipeline.answers.drawing.marks import draw_connectors, draw_north, draw_scale_bar
from geofovea.pipeline.answers.drawing.panel import Panel, outline_of
from geofovea.pipeline.answers.drawing.pictured import Pictured
from geofovea.pipeline.answers.drawing.plan import PicturePlan
from geofovea.pipeline.answers.drawing.spots import spots_of
from geofovea.pipeline.answers.drawing.theme import (
    BODY,
    EVIDENCE,
    FAINT,
    INK,
    RGB,
    SMALL,
    WHITE,
    fitted,
    font,
    level_color,
)
from geofovea.pipeline.answers.drawing.words import LegendEntry
from geofovea.pipeline.answers.evidence import Look
from geofovea.tiling.reader import TileReader

__all__ = ["legend_of", "paint_captions", "paint_panels"]


@dataclass(frozen=True, slots=True)
class _Caption:
    """What stands below a panel."""

    panel: Panel
    title: str
    facts: str


def paint_panels(
    page: Image.Image, answer: Pictured, reader: TileReader, plan: PicturePlan
) -> None:
    """Paint what the panels show, then the lines that lead from one to the next."""
    evidence = plan.evidence
    for panel, place in zip(plan.close_ups, plan.places, strict=False):
        picture = panel.veil(panel.pixels(reader), evidence)
        edge = outline_of(evidence, panel.box)
        if edge is not None:
            panel.outline(picture, edge, EVIDENCE, 3)
        for spot in spots_of(answer.looks, place):
            panel.point(picture, spot)
        page.paste(picture, (panel.frame.left, panel.frame.top))
    for panel, targets in _wider_panels(plan):
        picture = panel.pixels(reader)
        for look, color in _levels(answer.looks):
            line = outline_of(look.tiles, panel.box, evidence)
            if line is not None:
                panel.outline(picture, line, color, 2, opacity=165)
        if plan.close_ups:
            panel.tint(picture, evidence)
        for target in targets:
            panel.mark(picture, target.box)
        page.paste(picture, (panel.frame.left, panel.frame.top))
    _connect(page, plan)


def _wider_panels(plan: PicturePlan) -> Iterator[tuple[Panel, Sequence[Panel]]]:
    """The panels that show more than a place, each with those whose boxes it marks."""
    if plan.way_in is None:
        yield plan.scene, plan.close_ups
    else:
        yield plan.scene, (plan.way_in,)
        yield plan.way_in, plan.close_ups


def _connect(page: Image.Image, plan: PicturePlan) -> None:
    pen = ImageDraw.Draw(page, "RGBA")
    if plan.way_in is not None:
        draw_connectors(pen, plan.scene, plan.way_in, below=plan.layout.is_stacked)
        draw_connectors(pen, plan.way_in, plan.close_ups[0], below=False)
    elif len(plan.close_ups) == 1:
        draw_connectors(pen, plan.scene, plan.close_ups[0], below=plan.layout.is_stacked)
    else:
        for number, panel in enumerate(plan.close_ups, 1):
            _number(pen, plan.scene.on_page(panel.box), str(number))


def _number(pen: ImageDraw.ImageDraw, box: tuple[float, ...], text: str) -> None:
    """A number beside a marked box, for the panel that shows it."""
    x, y = box[2] + 16, box[1] - 2
    pen.ellipse((x - 15, y - 15, x + 15, y + 15), fill=(*INK, 220))
    pen.text((x, y), text, (255, 255, 255), font(SMALL), anchor="mm")


def paint_captions(page: Image.Image, answer: Pictured, plan: PicturePlan) -> None:
    """Write title, facts and scale below each panel, and the way north below the scene."""
    pen = ImageDraw.Draw(page, "RGBA")
    for caption in _captions(answer, plan):
        frame = caption.panel.frame
        x, y = frame.caption
        pen.text((x, y), fitted(caption.title, BODY, frame.slot), INK, font(BODY))
        pen.text((x, y + 36), fitted(caption.facts, SMALL, frame.slot), FAINT, font(SMALL))
        end = draw_scale_bar(pen, caption.panel, answer.scene, x, y + 70)
        if caption.panel is plan.scene:
            draw_north(pen, answer.scene, end + 50, y + 85)


def _captions(answer: Pictured, plan: PicturePlan) -> Iterator[_Caption]:
    scene = answer.scene
    whole = "The whole scene" if plan.close_ups else "The answer was read from the whole scene"
    yield _Caption(plan.scene, whole, size_text(scene, scene.box))
    if plan.way_in is not None:
        yield _Caption(plan.way_in, "The way in", size_text(scene, plan.way_in.box))
    several, gsd = len(plan.places) > 1, gsd_of(scene, scene.box)
    for number, (panel, place) in enumerate(zip(plan.close_ups, plan.places, strict=False), 1):
        title = f"Read here ({number} of {len(plan.places)})" if several else "Read here"
        where = place_text(scene, place.box)
        if where is None:
            x0, y0, x1, y1 = (round(c) for c in place.box.as_tuple())
            where = f"x {x0:,} to {x1:,}, y {y0:,} to {y1:,} px"
        yield _Caption(panel, f"{title}, at {level_text(place.level, gsd)}", where)


def _levels(looks: Sequence[Look]) -> list[tuple[Look, RGB]]:
    """Looks below the overview with their colors, coarse to fine."""
    closer = looks[1:] or looks
    return [(look, level_color(n, len(closer))) for n, look in enumerate(closer)]


def legend_of(answer: Pictured, plan: PicturePlan) -> list[LegendEntry]:
    """Every level that was looked at, the overview too, and the mark of what reached the model."""
    gsd, box = gsd_of(answer.scene, answer.scene.box), answer.scene.box
    whole, lines = [], []
    colors = {id(look): color for look, color in _levels(answer.looks)}
    for look in answer.looks:
        tiles = "overview" if look is answer.looks[0] else _tiles(len(look.tiles))
        text = f"{tiles} at {level_text(look.level, gsd)}"
        if outline_of(look.tiles, box) is None:
            whole.append(text)
        else:
            lines.append(LegendEntry(colors.get(id(look)), text))
    entries = [LegendEntry(None, f"All of it: {', '.join(whole)}")] if whole else []
    if plan.close_ups:
        # an answer that is computed from where places lie sends the model no tokens
        end = "reached the model" if answer.cost.tokens_llm else "show the places"
        lines.append(LegendEntry(EVIDENCE, f"finest tiles that {end}", is_filled=True))
        if any(spots_of(answer.looks, place) for place in plan.places[: len(plan.close_ups)]):
            lines.append(LegendEntry(WHITE, "most of its attention"))
    return entries + lines


def _tiles(count: int) -> str:
    return f"{count} tile{'' if count == 1 else 's'}"
