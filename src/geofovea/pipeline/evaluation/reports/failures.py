"""A wrong answer of a run: its words, its picture, and a page about it."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from geofovea.datasets.benchmarks.local_files import find_images
from geofovea.datasets.records.sample import Sample
from geofovea.errors import GeoFoveaError
from geofovea.pipeline.answers.confidence import confidence_text
from geofovea.pipeline.answers.drawing.layout import Frame
from geofovea.pipeline.answers.drawing.panel import Panel, outline_of
from geofovea.pipeline.answers.drawing.theme import EVIDENCE, PAPER, level_color
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Box
from geofovea.tiling.reader import TileReader

__all__ = ["Failure", "FailurePages", "failure_of", "image_of_item", "item_facts"]

_MOST_CHARACTERS = 600
_GAP = 8
# what the annotated place is shown with around it
_TRUTH_SHARE = 4
_SMALLEST_TRUTH = 64


@dataclass(frozen=True, slots=True)
class FailurePages:
    """Addresses of the pages about a wrong answer, seen from where they are linked.

    Attributes:
        item: Of the page with its picture and its cost, or empty.
        zoom: Of the page with deep zoom, or empty.
        no_zoom: Why there is none with deep zoom, or empty.
    """

    item: str = ""
    zoom: str = ""
    no_zoom: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a page shows of a wrong answer.

    Attributes:
        question: Its id, category and words.
        answer: What was said, and what is right.
        picture: A data address, or empty.
        note: Why there is no picture, or empty.
        has_truth: Whether the place of the right answer is marked.
        has_seen_all: Whether the finest look saw the whole image, so that no line is drawn.
        pages: The pages about it.
    """

    question: str
    answer: str
    picture: str = ""
    note: str = ""
    has_truth: bool = False
    has_seen_all: bool = False
    pages: FailurePages = FailurePages()


def failure_of(
    item: Mapping[str, Any], root: Path, side: int, pages: FailurePages | None = None
) -> Failure:
    """The words of a wrong answer, and a picture, or why there is none.

    Args:
        item: A row of ``items.jsonl``.
        root: Folder of the images.
        side: Longest side of a panel of the picture in pixels.
        pages: The pages about it.
    """
    links = pages or FailurePages()
    answer = item["answer"] or item.get("error") or "(no answer)"
    question = f"{item['question_id']} ({item['category']}): {item['question']}"
    verdict = f"answered {answer!r}, {confidence_text(item.get('confidence'))}; right: "
    verdict += ", ".join(item["truth"])
    words = question[:_MOST_CHARACTERS], verdict[:_MOST_CHARACTERS]
    if not item.get("looks"):
        return Failure(*words, pages=links)
    has_truth = bool(item["boxes"])
    try:
        path = image_of_item(item, root)
        if path is None:
            return Failure(*words, note=f"{item['image']} is not below the root", pages=links)
        drawn, has_seen_all = _drawn(path, item, side)
    except GeoFoveaError as error:
        return Failure(*words, note=str(error), pages=links)
    picture = f"data:image/jpeg;base64,{base64.b64encode(drawn).decode('ascii')}"
    return Failure(
        *words, picture=picture, has_truth=has_truth, has_seen_all=has_seen_all, pages=links
    )


def item_facts(item: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What else is known of an item, as names and values for its page."""
    facts = [("image", str(item.get("image", "")))]
    if item.get("prompt"):
        facts.append(("prompt", str(item["prompt"])))
    for mode, verdict in item.get("verdicts", {}).items():
        word = "right" if verdict["correct"] else "wrong"
        facts.append((f"{mode} rule", f"{word}, by {verdict['rule']} ({verdict['taken']!r})"))
    if item.get("hit") is not None:
        facts.append(("object looked at", f"{100 * float(item['hit']):.0f} % of its box"))
    facts += _cost_facts(item.get("cost") or {})
    return [(name, value[:_MOST_CHARACTERS]) for name, value in facts]


def _cost_facts(cost: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is there of a cost: a run of another version may have written less."""
    if levels := cost.get("tiles_by_level"):
        tiles = ", ".join(f"{count} on level {level}" for level, count in levels.items())
        yield "tiles looked at", f"{sum(levels.values())} ({tiles})"
    if {"tokens_llm", "tokens_total"} <= cost.keys():
        yield "vision tokens", f"{cost['tokens_llm']} of {cost['tokens_total']} to the decoder"
    if "total" in cost.get("seconds", {}):
        yield "time", f"{cost['seconds']['total']:.2f} s"


def image_of_item(item: Mapping[str, Any], root: Path) -> Path | None:
    """The scene of an item below a folder, or None where it is not at hand."""
    sample = Sample(item["question_id"], (item["image"],), "?", ("",), "")
    paths = find_images(root, [sample]).of(sample)
    return None if paths is None else paths[0]


def _drawn(path: Path, item: Mapping[str, Any], side: int) -> tuple[bytes, bool]:
    """The scene with what was looked at, and the annotated place beside it; two small reads.

    Returns:
        A JPEG, and whether all of the scene was looked at.
    """
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(256), plan_radiometry(scene))
    tiles = [Box(*corners) for corners in item["looks"][-1]["tiles"]]
    truth = [Box(*corners) for corners in item["boxes"]]
    panels = [_panel(scene.box, 0, side)]
    if truth and (near := _around(truth[0]).intersection(scene.box)):
        panels.append(_panel(near, panels[0].frame.right + _GAP, side))
    height = max(panel.frame.height for panel in panels)
    page = Image.new("RGB", (panels[-1].frame.right, height), PAPER)
    for panel in panels:
        picture = panel.pixels(reader)
        line = outline_of(tiles, panel.box)
        if line is not None:
            panel.outline(picture, line, level_color(1, 2), 2)
        for box in truth:
            if box.intersection(panel.box):
                panel.mark(picture, box, EVIDENCE)
        page.paste(picture, (panel.frame.left, 0))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=85)
    return buffer.getvalue(), outline_of(tiles, scene.box) is None


def _around(box: Box) -> Box:
    """The surroundings of an annotated place."""
    (x, y), half = box.center, _TRUTH_SHARE * max(box.width, box.height, _SMALLEST_TRUTH) / 2
    return Box(x - half, y - half, x + half, y + half)


def _panel(view: Box, left: int, side: int) -> Panel:
    scale = side / max(view.width, view.height)
    width, height = (max(1, round(length * scale)) for length in (view.width, view.height))
    return Panel(view, Frame(left, 0, width, height, width))
