"""``geofovea report``: a finished run as one self-contained page and one Markdown table."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.benchmarks.registry import load_benchmark
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.reports.failures import FailurePages, image_of_item
from geofovea.pipeline.evaluation.reports.report_page import (
    ITEMS,
    item_page,
    item_page_name,
    report_page,
)
from geofovea.pipeline.evaluation.reports.tables import (
    Table,
    collapsed,
    figure_rows,
    group_rows,
    head_lines,
    rule_rows,
)
from geofovea.pipeline.evaluation.reports.zoom_pages import ZoomPages
from geofovea.pipeline.system.failure import why_unreadable
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table

__all__ = ["RunOnDisk", "read_run", "write_report"]

_WORST = 6


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
    run = read_run(folder)
    scores, manifest, items = run.scores, run.manifest, run.items
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
    head = _head(benchmark, scores)
    failures = list(_worst(items, worst))
    model = f"Model {manifest['configuration']['model']}."
    markdown = [f"# {benchmark.title}", "", model, *head, ""]
    for title, table in sections:
        markdown += [f"## {title}", "", markdown_table(*_piped(collapsed(table))), ""]
    links, note = _failure_pages(folder, failures, images, manifest)
    page = report_page(
        benchmark.title,
        head,
        sections,
        failures,
        images,
        manifest,
        scores=scores,
        about=_about(folder, manifest),
        links=links,
        note=note,
    )
    write_text(folder / "report.html", page)
    write_text(folder / "report.md", "\n".join(markdown))
    return folder / "report.html", folder / "report.md"


def _failure_pages(
    folder: Path,
    failures: Sequence[Mapping[str, Any]],
    images: Path,
    manifest: Mapping[str, Any],
) -> tuple[list[FailurePages], str]:
    """Write the pages about failures; returns their addresses from the report, and a note."""
    if not failures:
        return [], ""
    make_folder(folder / ITEMS)
    zoom_pages, links = ZoomPages(folder / ITEMS, manifest["configuration"]), []
    for item in failures:
        name, zoom = item_page_name(item), item_page_name(item, "-zoom")
        problem = zoom_pages.write(item, image_of_item(item, images), zoom)
        here = FailurePages(zoom="" if problem else zoom, no_zoom=problem)
        write_text(folder / ITEMS / name, item_page(item, images, here))
        zoom_link = "" if problem else f"{ITEMS}/{zoom}"
        links.append(FailurePages(f"{ITEMS}/{name}", zoom_link, problem))
    return links, zoom_pages.summary(len(failures))


@dataclass(frozen=True, slots=True)
class RunOnDisk:
    """What ``geofovea eval`` left in a folder.

    Attributes:
        scores: As ``Scores.to_json`` gives them.
        manifest: What the run was made from.
        items: An object for each question.
    """

    scores: dict[str, Any]
    manifest: dict[str, Any]
    items: list[dict[str, Any]]


def read_run(folder: Path) -> RunOnDisk:
    """Read a finished run.

    Raises:
        DataError: If the folder holds none.
    """
    try:
        scores, manifest = (
            json.loads((folder / name).read_text(encoding="utf-8"))
            for name in ("scores.json", "manifest.json")
        )
        lines = (folder / "items.jsonl").read_text(encoding="utf-8").splitlines()
        return RunOnDisk(scores, manifest, [json.loads(line) for line in lines])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder} holds no finished run ({why_unreadable(error)}): give the folder of a "
            f"run, or make one with geofovea eval BENCHMARK --root DIR --output {folder}"
        ) from error


def _about(folder: Path, manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the run was: model, date, command, versions, machine."""
    configuration, versions = manifest["configuration"], manifest.get("versions", {})
    # runs of earlier versions have no date of their own
    changed = datetime.fromtimestamp((folder / "scores.json").stat().st_mtime, UTC).isoformat()
    date = f"{str(manifest.get('date') or changed)[:16].replace('T', ' ')} UTC"
    machine = manifest.get("machine", {})
    facts = {
        "model": " ".join(
            str(configuration.get(name) or "") for name in ("model", "model_digest")
        ).strip(),
        "date": date,
        "command": " ".join(shlex.quote(str(word)) for word in manifest.get("command", ())),
        "versions": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "machine": ", ".join(str(part) for part in machine.values()),
    }
    return [(name, value) for name, value in facts.items() if value]


def _head(benchmark: Benchmark, scores: Mapping[str, Any]) -> list[str]:
    lines = [*head_lines(benchmark, scores)]
    if scores.get("hit rate") is not None:
        lines.append(
            f"Tile hit rate {scores['hit rate']:.3f}: the share of annotated objects of which the "
            "model looked at half the box or more in native pixels."
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
        places = [
            (p.value, p.system, p.source, p.caveat) for p in benchmark.published if p.figure == name
        ]
        if name in official:
            ours = 100 * official[name]["value"]
            model = f"→ {manifest['configuration']['model']} (this run)"
            places.append((ours, model, "this run, official rule", partial))
            places.append(
                (100 * scores["blind"][name]["value"], "best constant, blind", "this run",
                 "fitted on the questions")
            )  # fmt: skip
        rows += [
            [name, system, f"{value:.2f}", source, caveat]
            for value, system, source, caveat in sorted(places, reverse=True)
        ]
    return ("figure", "system", "%", "source", "caveat"), rows


def _token_table(items: Sequence[Mapping[str, Any]]) -> Table:
    """Accuracy of answers by the tokens that reached the decoder, in up to four groups.

    Answers with as many tokens are in one group, so a run whose answers all have the same number
    has no such table: it would divide them by chance.
    """
    spent = sorted(
        (item["cost"]["tokens_llm"], item["verdicts"]["official"]["correct"])
        for item in items
        if item.get("cost")
    )
    ends = sorted({spent[len(spent) * k // 4 - 1][0] for k in range(1, 5)}) if spent else []
    rows = []
    for low, high in zip([-1, *ends], ends, strict=False):
        part = [(tokens, ok) for tokens, ok in spent if low < tokens <= high]
        if part:
            right = sum(ok for _, ok in part) / len(part)
            span = f"{part[0][0]} to {part[-1][0]}" if part[0][0] < high else str(high)
            rows.append([span, str(len(part)), f"{100 * right:.1f}"])
    header = ("tokens to the decoder", "questions", "official %")
    return header, rows if len(rows) > 1 else []


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
            values_sorted = sorted(values)
            middle = values_sorted[len(values_sorted) // 2]
            rows.append(
                [name, *(f"{v:.4g}" for v in (values_sorted[0], middle, values_sorted[-1]))]
            )
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


def _piped(table: Table) -> Table:
    """Cells that cannot break a Markdown table."""
    header, rows = table
    return header, [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
