"""``geofovea report`` of a batch: its answers on one page, as Markdown and as HTML.

``render_page`` escapes words of models, people and files.
"""

from __future__ import annotations

import base64
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from geofovea import __version__
from geofovea.errors import DataError, GeoFoveaError
from geofovea.pipeline.runs.batch_results import ANSWERS
from geofovea.pipeline.runs.batch_summary import warnings_alike
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.html_page import render_page
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.remote.names import is_remote_name

__all__ = ["write_batch_report"]

_THUMBNAIL = 168
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
        rows=[_shown(r) | {"picture": thumbnails.get(r["scene"])} for r in results[:_MOST_ROWS]],
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
            f"{folder} holds no answers of a batch ({error}): make some with geofovea batch "
            f"SCENES --output {folder}"
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
    kinds = Counter(_kind(r) for r in failed)
    for kind, count in kinds.most_common():
        first = next(r for r in failed if _kind(r) == kind)
        yield {"kind": kind, "rows": count, "first": f"{first['id']}: {first['error']}"[:_LONGEST]}


def _kind(result: Mapping[str, Any]) -> str:
    return str(result.get("error")).split(":")[0]


def _warnings(results: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    return warnings_alike(results)[:_MOST_WARNINGS]


def _shown(result: Mapping[str, Any]) -> dict[str, Any]:
    """One row as people read it."""
    failed = result["status"] == "failed"
    known = result.get("confidence")
    text = result.get("error") if failed else result.get("answer") or "(no answer)"
    return {
        "id": result["id"],
        "scene": result["scene"],
        "question": result.get("question") or "",
        "answer": str(text)[:_LONGEST],
        "confidence": "" if failed else "–" if known is None else f"{known:.0%}",
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
    names = ("id", "question", "answer", "confidence")
    rows = [[cell(_shown(r)[name]) for name in names] for r in results[:_MOST_ROWS]]
    parts += ["## Answers", markdown_table(("row", "question", "answer", "confidence"), rows)]
    if len(results) > _MOST_ROWS:
        parts.append(f"The first {_MOST_ROWS} of {len(results)} rows; all are in {ANSWERS}.")
    return "\n\n".join([*parts, ""])


def _thumbnails(results: Sequence[Mapping[str, Any]], most: int) -> dict[str, str]:
    """Small pictures of scenes by name, as far as they are files that can be opened now."""
    scenes = [s for s in dict.fromkeys(r["scene"] for r in results) if not is_remote_name(s)]
    pictures: dict[str, str] = {}
    for scene in scenes[:most]:
        try:
            pictures[scene] = _thumbnail(scene)
        except (GeoFoveaError, OSError):
            continue
    return pictures


def _thumbnail(path: str) -> str:
    from PIL import Image

    from geofovea.tiling.opening import open_scene
    from geofovea.tiling.pixels.radiometry_plan import plan_radiometry
    from geofovea.tiling.reader import TileReader

    scene = open_scene(path)
    scale = _THUMBNAIL / max(scene.width, scene.height)
    shape = max(1, round(scene.height * scale)), max(1, round(scene.width * scale))
    reader = TileReader(scene, scene.pyramid(256), plan_radiometry(scene))
    buffer = io.BytesIO()
    Image.fromarray(reader.read_box(scene.box, shape)[0]).save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
