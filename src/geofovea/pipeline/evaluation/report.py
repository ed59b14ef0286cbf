"""``geofovea report``: a finished run as one self-contained page and one Markdown table.

The page asks nobody for anything: pictures and the plot are inside. Words of models, people and
files are escaped.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from geofovea.datasets.benchmarks.registry import load_benchmark
from geofovea.datasets.records.sample import Benchmark
from geofovea.errors import DataError, GeoFoveaError
from geofovea.pipeline.answers.confidence import confidence_text
from geofovea.pipeline.evaluation.tables import (
    Table,
    figure_rows,
    group_rows,
    head_lines,
    rule_rows,
)
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.tables import markdown_table

__all__ = ["write_report"]

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70em; margin: 2em auto; color: #202228 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: .25em .8em; text-align: left }
tr:nth-child(even) { background: #f4f4f1 } th { border-bottom: 2px solid #999 }
.ours { font-weight: bold } img { max-width: 100% } .note { color: #a33 }
"""
_WORST = 6
_PANEL = 420


def write_report(folder: Path, root: Path | None = None, worst: int = _WORST) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.md`` into the folder of a run; returns their paths.

    Args:
        folder: Of a run that ``geofovea eval`` finished.
        root: Where the images are now, if they moved since.
        worst: How many failures are shown with a picture.

    Raises:
        DataError: If the folder holds no finished run.
        OutputError: If the files cannot be written.
    """
    scores, manifest, items = _read(folder)
    benchmark = load_benchmark(str(manifest["benchmark"]))
    images = root or Path(str(manifest["root"]))
    sections: list[tuple[str, Table]] = [
        ("Scores", figure_rows(scores)),
        ("Beside published scores", _published_table(benchmark, scores, manifest)),
        ("By group", group_rows(scores)),
        ("Which rule decided", rule_rows(scores)),
        ("Accuracy against tokens", _token_table(items)),
        ("Cost", _cost_table(items)),
    ]
    sections = [(title, table) for title, table in sections if table[1]]
    head = _head(benchmark, scores, manifest)
    failures = list(_worst(items, worst))
    markdown = [f"# {benchmark.title}", "", *head, ""]
    for title, table in sections:
        markdown += [f"## {title}", "", markdown_table(*_piped(table)), ""]
    page = _page(benchmark, head, sections, failures, images, manifest)
    write_text(folder / "report.html", page)
    write_text(folder / "report.md", "\n".join(markdown))
    return folder / "report.html", folder / "report.md"


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    try:
        scores, manifest = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("scores.json", "manifest.json")
        )
        lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
        return scores, manifest, [json.loads(line) for line in lines]
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds no finished run ({error}): make one with geofovea eval BENCHMARK "
            f"--root DIR --output {folder}"
        ) from error


def _head(
    benchmark: Benchmark, scores: Mapping[str, Any], manifest: Mapping[str, Any]
) -> list[str]:
    lines = [f"Model {manifest['configuration']['model']}.", *head_lines(benchmark, scores)]
    if scores.get("hit rate") is not None:
        lines.append(
            f"Tile hit rate {scores['hit rate']:.3f}: so many of the annotated objects were "
            "looked at in native pixels, by half of their box or more."
        )
    return lines


def _published_table(
    benchmark: Benchmark, scores: Mapping[str, Any], manifest: Mapping[str, Any]
) -> Table:
    """Ours in its place among the others, figure by figure, best first."""
    official = scores["figures"]["official"]
    partial = "" if scores["answered"] == scores["asked"] else "a part of the questions only"
    rows = []
    for name in dict.fromkeys(p.figure for p in benchmark.published):
        found = [
            (p.value, p.system, p.source, p.caveat) for p in benchmark.published if p.figure == name
        ]
        if name in official:
            ours = 100 * official[name]["value"]
            model = f"→ {manifest['configuration']['model']} (this run)"
            found.append((ours, model, "this run, official rule", partial))
            found.append(
                (100 * scores["blind"][name]["value"], "best constant, blind", "this run",
                 "fitted on the questions")
            )  # fmt: skip
        rows += [
            [name, system, f"{value:.2f}", source, caveat]
            for value, system, source, caveat in sorted(found, reverse=True)
        ]
    return ("figure", "system", "%", "source", "caveat"), rows


def _token_table(items: Sequence[Mapping[str, Any]]) -> Table:
    """Accuracy of answers in quarters of the tokens that reached the decoder."""
    spent = sorted(
        (item["cost"]["tokens_llm"], item["verdicts"]["official"]["correct"])
        for item in items
        if item.get("cost")
    )
    rows = []
    quarter = max(1, -(-len(spent) // 4))
    for start in range(0, len(spent), quarter):
        part = spent[start : start + quarter]
        right = sum(ok for _, ok in part) / len(part)
        rows.append([f"{part[0][0]} to {part[-1][0]}", str(len(part)), f"{100 * right:.1f}"])
    return ("tokens to the decoder", "questions", "official %"), rows


def _cost_table(items: Sequence[Mapping[str, Any]]) -> Table:
    costs = [item["cost"] for item in items if item.get("cost")]
    rows = []
    for name, values in (
        ("tiles encoded", [c["tiles_encoded"] for c in costs]),
        ("tokens to the decoder", [c["tokens_llm"] for c in costs]),
        ("seconds a question", [c["seconds"]["total"] for c in costs]),
        ("peak memory, MB", [c["peak_rss_mb"] for c in costs]),
    ):
        if values:
            ordered = sorted(values)
            middle = ordered[len(ordered) // 2]
            rows.append([name, *(f"{v:.4g}" for v in (ordered[0], middle, ordered[-1]))])
    return ("", "least", "median", "most"), rows


def _worst(items: Sequence[dict[str, Any]], most: int) -> Iterable[dict[str, Any]]:
    """Wrong answers that the model was surest of, one of each category before the next."""
    wrong = [item for item in items if not item["verdicts"]["official"]["correct"]]
    wrong.sort(key=lambda item: (-(item.get("confidence") or 0.0), item["question_id"]))
    turn: dict[str, int] = {}
    ranked = []
    for item in wrong:
        turn[item["category"]] = turn.get(item["category"], 0) + 1
        ranked.append((turn[item["category"]], item))
    ranked.sort(key=lambda pair: pair[0])
    return [item for _, item in ranked[:most]]


def _page(
    benchmark: Benchmark,
    head: Sequence[str],
    sections: Sequence[tuple[str, Table]],
    failures: Sequence[Mapping[str, Any]],
    root: Path,
    manifest: Mapping[str, Any],
) -> str:
    parts = [f"<h1>{escape(benchmark.title)}</h1>"]
    parts += [f"<p>{escape(line)}</p>" for line in head]
    for title, table in sections:
        parts.append(f"<h2>{escape(title)}</h2>{_html_table(table)}")
    parts.append("<h2>Surest wrong answers</h2>")
    parts += [_failure(item, root) for item in failures]
    text = json.dumps(manifest, indent=1)
    parts.append(f"<h2>Manifest</h2><pre>{escape(text)}</pre>")
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        f"<title>{escape(benchmark.title)}</title><style>{_STYLE}</style></head>"
        f"<body>{''.join(parts)}</body></html>"
    )


def _html_table(table: Table) -> str:
    header, rows = table
    top = "".join(f"<th>{escape(name)}</th>" for name in header)
    lines = []
    for row in rows:
        ours = " class='ours'" if any(cell.startswith("→") for cell in row) else ""
        lines.append(f"<tr{ours}>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>")
    return f"<table><tr>{top}</tr>{''.join(lines)}</table>"


def _failure(item: Mapping[str, Any], root: Path) -> str:
    said = item["answer"] or item.get("error") or "(no answer)"
    words = (
        f"{item['question_id']} ({item['category']}): {item['question']}",
        f"answered {said!r}, {confidence_text(item.get('confidence'))}; right: "
        + ", ".join(item["truth"]),
    )
    text = "<br>".join(escape(line[:600]) for line in words)
    return f"<p>{text}</p>{_picture(item, root)}"


def _picture(item: Mapping[str, Any], root: Path) -> str:
    from geofovea.datasets.benchmarks.local_files import find_images
    from geofovea.datasets.records.sample import Sample

    if not item.get("looks"):
        return ""
    try:
        sample = Sample(item["question_id"], (item["image"],), "?", ("",), "")
        paths = find_images(root, [sample]).of(sample)
        if paths is None:
            return f"<p class='note'>no picture: {escape(item['image'])} is not below the root</p>"
        data = base64.b64encode(_drawn(paths[0], item)).decode("ascii")
    except GeoFoveaError as error:
        return f"<p class='note'>no picture: {escape(str(error))}</p>"
    return f"<img alt='where the model looked' src='data:image/jpeg;base64,{data}'>"


def _drawn(path: Path, item: Mapping[str, Any]) -> bytes:
    """The scene with what was looked at, and the annotated place beside it; two small reads."""
    from PIL import Image, ImageDraw

    from geofovea.tiling.pixels.radiometry import plan_radiometry
    from geofovea.tiling.pyramid import Box
    from geofovea.tiling.reader import TileReader
    from geofovea.tiling.scene import open_scene

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


def _piped(table: Table) -> Table:
    """Cells that cannot break a Markdown table."""
    header, rows = table
    return header, [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
