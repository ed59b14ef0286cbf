"""``geofovea bench calibration``: whether the confidence of a bench's answers can be relied on."""

from __future__ import annotations

import json
from pathlib import Path

import click

from geofovea.pipeline.system.terminal import echo

__all__ = ["calibration"]


@click.command()
@click.argument("items", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Folder to fill.")
@click.option("--method", default="attention", show_default=True, help="Whose answers.")
@click.option("--bins", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def calibration(items: Path, output: Path, method: str, bins: int, as_json: bool) -> None:
    """Reliability curve and calibration error of ITEMS, the items.jsonl of bench synthetic."""
    from geofovea.pipeline.evaluation.calibration import calibrate, draw_reliability, read_judged
    from geofovea.pipeline.system.files import make_folder, write_text
    from geofovea.pipeline.system.tables import print_table

    found = calibrate(read_judged(items, method), bins)
    folder = make_folder(output)
    write_text(folder / "calibration.json", json.dumps(found.to_json(), indent=1))
    draw_reliability(found, f"{method}: {found.answers} answers", folder / "calibration.png")
    if as_json:
        echo(json.dumps(found.to_json()))
        return
    rows = [
        [f"{b.low:.2f}-{b.high:.2f}", str(b.count), f"{b.confidence:.3f}", f"{b.accuracy:.3f}"]
        for b in found.bins
    ]
    print_table(("confidence", "answers", "mean confidence", "accuracy"), rows)
    low, high = found.ece_interval
    echo(
        f"{found.answers} answers about {found.scenes} scenes: accuracy {found.accuracy:.3f}, mean "
        f"confidence {found.confidence:.3f}, ECE {found.ece:.3f} [{low:.3f}, {high:.3f}], "
        f"Brier {found.brier:.3f}"
    )
    echo(f"wrote {folder / 'calibration.json'} and {folder / 'calibration.png'}")
