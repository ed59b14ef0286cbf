"""Is it near infrared that answers questions about lawns, or the training of the part?

    python benchmarks/band_baselines.py --output runs/band_baselines

The same part is trained three times on the same lessons, for as many steps: with near infrared as
the fourth band, with NDVI in its place, and with red, green and blue alone. All are measured on
lessons that no training saw, where the tiles that answer are shown, and each lawn counts twice,
healthy and dry. A stopped run resumes.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from geofovea.pipeline.hosts.load import EMBEDDED, folder_of, load_host
from geofovea.pipeline.hosts.region_focus import with_decoder_access
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.recipe import default_recipe
from geofovea.pipeline.training.parts.train_part import part_log, train_part

FOURTH = {"nir": "near infrared", "ndvi": "NDVI", "nothing": "nothing"}
MEASURED = {
    "lawns_with_band": "lawns",
    "colors_with_band": "colors",
    "focus_with_band": "attention on the place",
}


def held_out(run: Path) -> tuple[int, dict[str, float]]:
    """The steps of a run so far, and what was measured last."""
    records = [record for record in part_log(run).read() if "held_out" in record]
    return records[-1]["step"], records[-1]["held_out"]


def report(folder: Path) -> str:
    """The table of what has been trained so far."""
    rows = []
    for fourth, name in FOURTH.items():
        if part_log(folder / fourth).read():
            step, measured = held_out(folder / fourth)
            rows.append([name, str(step), *(f"{measured[key]:.2f}" for key in MEASURED)])
    return markdown_table(("fourth band", "steps", *MEASURED.values()), rows)


def main() -> None:
    """Train and measure all, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default=EMBEDDED)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--lessons", type=Path)
    options = parser.parse_args()
    make_folder(options.output)
    model = FrozenModel(with_decoder_access(load_host(options.model)), folder_of(options.model))
    recipe = default_recipe("bands")
    steps, shards = (max(1, round(n * options.scale)) for n in (recipe.steps, recipe.shards))
    lessons = options.lessons or options.output / "lessons"
    for fourth in FOURTH:
        settings = {**recipe.settings, "fourth": fourth}
        own = replace(recipe, steps=steps, shards=shards, settings=settings)
        for record in train_part(model, own, options.output / fourth, lessons=lessons):
            print(fourth, record, flush=True)
        table = report(options.output)
        print(table, flush=True)
        write_text(options.output / "band_baselines.md", table)


if __name__ == "__main__":
    main()
