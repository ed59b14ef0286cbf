"""The page of an evaluation run: HTML that holds all it shows, and asks nobody for anything.

Words of models, people and files are escaped by the template.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageDraw

from geofovea.datasets.benchmarks.local_files import find_images
from geofovea.datasets.records.sample import Sample
from geofovea.errors import GeoFoveaError
from geofovea.pipeline.answers.confidence import confidence_text
from geofovea.pipeline.evaluation.reports.tables import Table
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
from geofovea.tiling.pyramid import Box
from geofovea.tiling.reader import TileReader

__all__ = ["report_page"]

_MOST_CHARACTERS = 600
_PANEL = 420
_TEMPLATE = """\
<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; color: #202228 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .25em .8em; text-align: left }
tr:nth-child(even) { background: #f4f4f1 } th { border-bottom: 2px solid #999 }
.ours { font-weight: bold } img { max-width: 100% } .note { color: #a33 }
</style></head><body><h1>{{ title }}</h1>
{% for line in head %}<p>{{ line }}</p>
{% endfor %}
{% for name, header, rows in sections %}
<h2>{{ name }}</h2><table><tr>{% for cell in header %}<th>{{ cell }}</th>{% endfor %}</tr>
{% for is_ours, row in rows %}
<tr{% if is_ours %} class='ours'{% endif %}>
{%- for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table>
{% endfor %}
<h2>Surest wrong answers</h2>
{% for failure in failures %}
<p>{{ failure.question }}<br>{{ failure.answer }}</p>
{% if failure.picture %}
<img alt='where the model looked' src='{{ failure.picture }}'>
{% elif failure.note %}
<p class='note'>no picture: {{ failure.note }}</p>
{% endif %}
{% endfor %}
<h2>Manifest</h2><pre>{{ manifest }}</pre></body></html>"""


def report_page(
    title: str,
    head: Sequence[str],
    sections: Sequence[tuple[str, Table]],
    failures: Sequence[Mapping[str, Any]],
    root: Path,
    manifest: Mapping[str, Any],
) -> str:
    """The page.

    Args:
        title: Of the benchmark.
        head: What must be known before the numbers are read.
        sections: Tables with their titles.
        failures: Items whose answer is wrong, shown with a picture where their image is there.
        root: Folder of the images.
        manifest: What the run was made from.
    """
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string(_TEMPLATE)
    return template.render(
        title=title,
        head=head,
        sections=[(name, header, list(map(_row, rows))) for name, (header, rows) in sections],
        failures=[_failure(item, root) for item in failures],
        manifest=json.dumps(manifest, indent=1),
    )


def _row(cells: Sequence[str]) -> tuple[bool, Sequence[str]]:
    """Whether a row is about this run, and its cells."""
    return any(cell.startswith("→") for cell in cells), cells


def _failure(item: Mapping[str, Any], root: Path) -> dict[str, str]:
    """The words of a wrong answer, and a picture, or why there is none."""
    answer = item["answer"] or item.get("error") or "(no answer)"
    question = f"{item['question_id']} ({item['category']}): {item['question']}"
    verdict = f"answered {answer!r}, {confidence_text(item.get('confidence'))}; right: "
    verdict += ", ".join(item["truth"])
    words = {"question": question[:_MOST_CHARACTERS], "answer": verdict[:_MOST_CHARACTERS]}
    return {"picture": "", "note": ""} | words | _picture(item, root)


def _picture(item: Mapping[str, Any], root: Path) -> dict[str, str]:
    if not item.get("looks"):
        return {}
    try:
        sample = Sample(item["question_id"], (item["image"],), "?", ("",), "")
        paths = find_images(root, [sample]).of(sample)
        if paths is None:
            return {"note": f"{item['image']} is not below the root"}
        data = base64.b64encode(_png_with_boxes(paths[0], item)).decode("ascii")
    except GeoFoveaError as error:
        return {"note": str(error)}
    return {"picture": f"data:image/jpeg;base64,{data}"}


def _png_with_boxes(path: Path, item: Mapping[str, Any]) -> bytes:
    """The scene with what was looked at, and the annotated place beside it; two small reads."""
    scene = open_scene(path)
    reader = TileReader(scene, scene.pyramid(256), plan_radiometry(scene))
    tiles = [Box(*t) for t in item["looks"][-1]["tiles"]]
    truth = [Box(*b) for b in item["boxes"]]
    views = [scene.box]
    if truth:
        (x, y), side = truth[0].center, 4 * max(truth[0].width, truth[0].height, 64)
        near = Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2).intersection(scene.box)
        views += [near] if near else []
    page = Image.new("RGB", (len(views) * (_PANEL + 8), _PANEL), "white")
    for index, view in enumerate(views):
        scale = _PANEL / max(view.width, view.height)
        shape = max(1, round(view.height * scale)), max(1, round(view.width * scale))
        panel = Image.fromarray(reader.read_box(view, shape)[0])
        pen = ImageDraw.Draw(panel)
        for boxes, color in ((tiles, (255, 150, 30)), (truth, (40, 220, 90))):
            for box in filter(None, (b.intersection(view) for b in boxes)):
                corners = [
                    ((x - view.x0) * scale, (y - view.y0) * scale)
                    for x, y in ((box.x0, box.y0), (box.x1, box.y1))
                ]
                pen.rectangle((*corners[0], *(c - 1 for c in corners[1])), outline=color, width=2)
        page.paste(panel, (index * (_PANEL + 8), 0))
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
