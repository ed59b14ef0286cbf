"""How much of what is there does `find` find, and how much of what it finds is there?

Worlds that no training has seen, every kind of thing in each, a sweep over all native tiles beside
searches of several budgets. Prints a table, and writes the counts as JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import THINGS
from geofovea.datasets.synthetic.world import World, make_world
from geofovea.pipeline.places.confusion import match_places
from geofovea.pipeline.system.files import write_text
from geofovea.pipeline.system.tables import markdown_table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=4)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=880_000)
    parser.add_argument("--tiles", type=int, nargs="*", default=[64, 128, 256])
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--output", type=Path, default=Path("runs/find_places.json"))
    options = parser.parse_args()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    host = gf.load_host(options.model)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seed, options.seed + options.worlds):
            world = make_world(seed, options.side, options.side)
            path = Path(folder) / "scene.tif"
            path.unlink(missing_ok=True)
            write_scene(world, path)
            session = gf.SceneSession(gf.open_scene(path), host)
            for phrase in phrases_of(world):
                rows += measured(session, world, phrase, options.tiles)
            write_text(options.output, json.dumps(rows, indent=1))
    print(table(rows))


def phrases_of(world: World) -> list[str]:
    """Every kind, and one colored thing of each kind that is there."""
    things = [thing for site in world.sites for thing in site.things]
    colored = {thing.kind: f"{thing.color} {thing.kind}" for thing in reversed(things)}
    return [*THINGS, *sorted(colored.values())]


def measured(
    session: gf.SceneSession, world: World, phrase: str, budgets: list[int]
) -> list[dict[str, Any]]:
    """A sweep and the searches for one phrase, against the truth."""
    *color, kind = phrase.split()
    truth = [
        thing.box
        for site in world.sites
        for thing in site.things
        if thing.kind == kind and (not color or thing.color == color[0])
    ]
    rows = []
    for tiles in (None, *budgets):
        how: dict[str, Any] = {"coverage": "sweep"} if tiles is None else {"tiles": tiles}
        began = time.process_time()
        places = session.find(phrase, **how)
        hits, misses, false_alarms = match_places(places, truth)
        rows.append(
            {
                "seed": world.seed,
                "phrase": phrase,
                "colored": bool(color),
                "tiles": tiles,
                "hits": hits,
                "misses": misses,
                "false_alarms": false_alarms,
                "looked": places.coverage.tiles_looked,
                "total": places.coverage.tiles_total,
                "recall_expected": places.coverage.recall,
                "cpu_seconds": time.process_time() - began,
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Precision and recall by budget, in Markdown."""
    lines = []
    keys = dict.fromkeys((row["colored"], row["tiles"]) for row in rows)
    for colored, tiles in keys:
        some = [r for r in rows if (r["colored"], r["tiles"]) == (colored, tiles)]
        hits, misses, false = (sum(r[n] for r in some) for n in ("hits", "misses", "false_alarms"))
        looked = sum(r["looked"] for r in some) / sum(r["total"] for r in some)
        lines.append(
            [
                "red truck" if colored else "truck",
                "sweep" if tiles is None else f"{tiles} tiles",
                f"{looked:.0%}",
                f"{hits / max(1, hits + misses):.2f} ({hits}/{hits + misses})",
                f"{hits / max(1, hits + false):.2f} ({hits}/{hits + false})",
            ]
        )
    return markdown_table(["phrase", "coverage", "native tiles", "recall", "precision"], lines)


if __name__ == "__main__":
    main()
