"""``geofovea report`` of a batch: its answers on one page, as Markdown and as HTML.

``render_page`` escapes words of models, people and files.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from geofovea import __version__
from geofovea.errors import DataError, GeoFoveaError
from geofovea.pipeline.answers.drawing.ground import lonlat_text
from geofovea.pipeline.answers.drawing.theme import EVIDENCE, INK
from geofovea.pipeline.runs.batch_results import ANSWERS, point_of
from geofovea.pipeline.runs.batch_summary import errors_alike, warnings_alike
from geofovea.pipeline.system.failure import why_unreadable
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.html_page import render_page
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.remote.names import is_remote_name

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["write_batch_report"]

Thumbnail: TypeAlias = "tuple[Image.Image, float]"
"""A small picture, and how many of its pixels are one of the scene."""

_THUMBNAIL = 168
_SMALLEST_MARK = 5
_MOST_ROWS = 5000
_MOST_WARNINGS = 20
_LONGEST = 400


def write_batch_report(folder: Path, pictures: int = 200) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md`` into the folder of a batch; returns their paths.

    Args:
        folder: Of a batch.
        pictures: Of how many scenes the page shows a small picture, where they can be opened.

    Raises:
        DataError: If the folder holds no answers of a batch.
        OutputError: If the files cannot be written.
    """
    results = _read(folder)
    title = f"Batch {folder.resolve().name}"
    facts, failures, warnings = _facts(results), list(_failures(results)), _warnings(results)
    thumbnails = _thumbnails(results, pictures)
    html = render_page(
        __name__,
        "batch.html",
        title=title,
        facts=facts,
        failures=failures,
        warnings=warnings,
        rows=[
            _shown(r) | {"picture": _marked(thumbnails.get(r["scene"]), r)}
            for r in results[:_MOST_ROWS]
        ],
    )
    write_text(folder / "report.html", html)
    write_text(folder / "report.md", _markdown(title, facts, failures, warnings, results))
    return folder / "report.html", folder / "report.md"


def _read(folder: Path) -> list[dict[str, Any]]:
    path = folder / ANSWERS
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        results = [json.loads(line) for line in lines]
        if not all(isinstance(r, dict) and {"id", "status", "scene"} <= r.keys() for r in results):
            raise ValueError("a line is no result")
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{folder} holds no answers of a batch ({why_unreadable(error)}): make some with "
            f"geofovea batch SCENES --output {folder}"
        ) from error
    return results


def _facts(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the batch was, in a few lines."""
    answered = [r for r in results if r["status"] == "answered"]
    failed = len(results) - len(answered)
    facts = [f"{len(answered)} of {len(results)} rows answered, {failed} failed"]
    facts.append(f"{len({r['scene'] for r in results})} scenes")
    origins = [r["provenance"] for r in answered if r.get("provenance")]
    for name in ("model", "device", "configuration"):
        values = sorted({str(each.get(name)) for each in origins})
        if values:
            facts.append(f"{name}: {', '.join(values)}")
    costs = [r["cost"] for r in answered if r.get("cost")]
    if costs:
        tiles = sum(cost["tiles_encoded"] for cost in costs) / len(costs)
        tokens = sum(cost["tokens_llm"] for cost in costs) / len(costs)
        seconds = sum(cost["seconds"]["total"] for cost in costs)
        facts.append(
            f"{tiles:.1f} tiles and {tokens:.0f} vision tokens an answer, {seconds:.0f} s in all"
        )
    versions = origins[-1].get("versions") or {} if origins else {}
    packages = ", ".join(f"{name} {number}" for name, number in versions.items())
    return [
        *facts,
        f"written by GeoFovea {__version__}" + (f"; answered with {packages}" if packages else ""),
    ]


def _failures(results: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    failed = [r for r in results if r["status"] == "failed"]
    for each in errors_alike(failed):
        first = f"{each['id']}: {each['error']}"[:_LONGEST]
        yield {"kind": each["kind"], "rows": each["rows"], "first": first}


def _warnings(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return warnings_alike(results)[:_MOST_WARNINGS]


def _shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """One row as people read it."""
    failed = result["status"] == "failed"
    known = result.get("confidence")
    text = result.get("error") if failed else result.get("answer") or "(no answer)"
    place = point_of(result)
    return {
        "id": result["id"],
        "scene": result["scene"],
        "question": result.get("question") or "",
        "answer": str(text)[:_LONGEST],
        "confidence": "" if failed else "–" if known is None else f"{known:.0%}",
        "place": "" if place is None else lonlat_text(*place),
        "failed": failed,
    }


def _markdown(
    title: str,
    facts: Sequence[str],
    failures: Sequence[Mapping[str, Any]],
    warnings: Sequence[tuple[str, int]],
    results: Sequence[Mapping[str, Any]],
) -> str:
    def cell(value: object) -> str:
        return " ".join(str(value).split()).replace("|", "\\|")

    parts = [f"# {title}", "\n".join(f"- {fact}" for fact in facts)]
    if failures:
        rows = [[str(f["rows"]), cell(f["kind"]), cell(f["first"])] for f in failures]
        parts += ["## Failures", markdown_table(("rows", "kind", "first"), rows)]
    if warnings:
        rows = [[str(count), cell(text)] for text, count in warnings]
        parts += ["## Warnings", markdown_table(("rows", "warning"), rows)]
    names = ("id", "question", "answer", "confidence", "place")
    rows = [[cell(_shown(r)[name]) for name in names] for r in results[:_MOST_ROWS]]
    parts += ["## Answers", markdown_table(("row", *names[1:]), rows)]
    if len(results) > _MOST_ROWS:
        parts.append(f"The first {_MOST_ROWS} of {len(results)} rows; all are in {ANSWERS}.")
    return "\n\n".join([*parts, ""])


def _thumbnails(results: Sequence[Mapping[str, Any]], most: int) -> dict[str, Thumbnail]:
    """Small pictures of scenes by name, as far as they are files that can be opened now."""
    scenes: dict[str, Mapping[str, Any]] = {}
    for result in results:
        known = scenes.setdefault(result["scene"], result)
        if not known.get("provenance"):
            scenes[result["scene"]] = result
    here = [(name, row) for name, row in scenes.items() if not is_remote_name(name)]
    pictures: dict[str, Thumbnail] = {}
    for scene, result in here[:most]:
        # a relative name was one in the folder where the batch ran
        for path in dict.fromkeys((_path_when_asked(result), scene)):
            with suppress(GeoFoveaError, OSError):
                pictures[scene] = _thumbnail(path)
                break
    return pictures


def _path_when_asked(result: Mapping[str, Any]) -> str:
    """The whole path of the scene when it was asked about; its name where none is known."""
    identity = (result.get("provenance") or {}).get("scene_identity") or ""
    path = identity.partition("|")[0]
    return path if Path(path).is_absolute() else str(result["scene"])


def _thumbnail(path: str) -> Thumbnail:
    from PIL import Image

    from geofovea.tiling.opening import open_scene
    from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
    from geofovea.tiling.reader import TileReader

    scene = open_scene(path)
    scale = _THUMBNAIL / max(scene.width, scene.height)
    shape = max(1, round(scene.height * scale)), max(1, round(scene.width * scale))
    reader = TileReader(scene, scene.pyramid(256), plan_radiometry(scene))
    return Image.fromarray(reader.read_box(scene.box, shape)[0]), scale


def _marked(thumbnail: Thumbnail | None, result: Mapping[str, Any]) -> str | None:
    """The picture of a row: its scene, with a frame around the finest evidence."""
    from PIL import ImageDraw

    if thumbnail is None:
        return None
    picture, scale = thumbnail[0].copy(), thumbnail[1]
    evidence = result.get("evidence") or []
    if evidence:
        finest = min(each["level"] for each in evidence)
        boxes = np.array([e["box_scene"] for e in evidence if e["level"] == finest]) * scale
        center = (boxes[:, :2].min(axis=0) + boxes[:, 2:].max(axis=0)) / 2
        half = np.maximum((boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)) / 2, _SMALLEST_MARK)
        (x0, y0), (x1, y1) = (center - half).tolist(), (center + half).tolist()
        draw = ImageDraw.Draw(picture)
        # dark around bright is seen on any ground, whatever colors one sees
        draw.rectangle((x0, y0, x1, y1), outline=INK, width=4)
        draw.rectangle((x0 + 1, y0 + 1, x1 - 1, y1 - 1), outline=EVIDENCE, width=2)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
