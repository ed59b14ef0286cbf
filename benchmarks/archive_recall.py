"""Does an index lead to what a phrase names? Ranks of scenes, best tiles, and `find` by an index.

    python benchmarks/archive_recall.py --scenes 40 --side 2048
    python benchmarks/archive_recall.py --scenes 200 --side 1024 --seed 990000 --tiles ""
    python benchmarks/archive_recall.py --scenes 8 --side 4096 --tiles 32,64
    python benchmarks/archive_recall.py --archive data/image --indexed index --tiles ""

Fresh synthetic scenes are indexed, and the archive is searched for each site, each kind of thing
and each colored thing that some scenes show and others do not. *Average precision* is of the
ranking of scenes, beside what a random order would have. *Recall* is the share of right ones among
as many first scenes as show what is named. *Best tile* is the share of phrases whose first tile
shows what is named. Then `find` looks for each kind of thing in the first scenes, led by
the index and by the model's attention, with the same tiles. Intervals are over phrases, and over
scenes for `find`. `--archive` takes scenes that `geofovea synthesize` wrote, in place of new ones,
and `--indexed` the index that `geofovea index` made of them.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.datasets.synthetic.world import World, make_world
from geofovea.pipeline.evaluation.finds.bench import truth_of as things_of
from geofovea.pipeline.evaluation.metrics import mean_interval
from geofovea.pipeline.places.confusion import match_boxes
from geofovea.tiling.pyramid import Box
from side_by_side import aligned, machine, report

_ENOUGH = 0.3


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=40, help="Of the archive.")
    parser.add_argument("--side", type=int, default=2048, help="Of a scene in pixels.")
    parser.add_argument("--seed", type=int, default=970_000, help="Of the first scene.")
    parser.add_argument("--encoder", default="embedded", help="A dual encoder.")
    parser.add_argument("--archive", type=Path, help="A folder of scenes, in place of new ones.")
    parser.add_argument("--indexed", type=Path, help="An index of it, in place of a new one.")
    parser.add_argument("--tiles", default="32", help="Budgets of find; empty for none.")
    parser.add_argument("--find-scenes", type=int, default=8, help="Scenes that find looks in.")
    parser.add_argument("--output", type=Path, help="Write all numbers to this JSON file.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        index = options.indexed or Path(name, "index")
        if options.archive:
            paths = sorted(options.archive.absolute().glob("*.tif"))
            worlds = [shown_world(path) for path in paths]
        else:
            archive = Path(name, "archive")
            archive.mkdir()
            seeds = range(options.seed, options.seed + options.scenes)
            worlds = [make_world(seed, options.side, options.side) for seed in seeds]
            paths = [archive / f"{world.seed}.tif" for world in worlds]
            for world, path in zip(worlds, paths, strict=True):
                write_scene(world, path)
        # an index that is whole reads nothing again
        made = gf.build_index(index, paths, encoder=options.encoder)
        ranked = [ranking_of(index, paths, worlds, phrase) for phrase in phrases_of(worlds)]
        rows = ranked_rows([row for row in ranked if row])
        found = []
        for tiles in map(int, filter(None, options.tiles.split(","))):
            some = list(zip(worlds, paths, strict=True))[: options.find_scenes]
            for way, led_by in (("attention", None), ("index", index)):
                found.append(finds(some, led_by, tiles) | {"led by": way, "tiles": tiles})
    facts = machine(
        scenes=len(paths),
        side=worlds[0].width,
        index_mb_per_gpx=round(made.megabytes_per_gigapixel or 0, 1),
    )
    tables = aligned(lines_of(rows)) + ("\n\n" + aligned(found_lines(found)) if found else "")
    report(facts, tables, [*rows, *found], options.output)


def shown_world(path: Path) -> World:
    """What a scene of `geofovea synthesize` shows: its name ends with its side and its seed."""
    _, side, seed = path.stem.rsplit("_", 2)
    return make_world(int(seed), int(side), int(side))


def phrases_of(worlds: Sequence[World]) -> list[tuple[str, str]]:
    """Kind and text of every phrase."""
    colored = {f"{thing.color} {thing.kind}" for w in worlds for s in w.sites for thing in s.things}
    return [
        *(("site", site) for site in SITES),
        *(("thing", thing) for thing in THINGS),
        *(("colored thing", text) for text in sorted(colored)),
    ]


def truth_of(world: World, phrase: str) -> list[Box]:
    """Boxes of what a phrase names, in scene pixels."""
    sites = [site.box for site in world.sites if site.kind == phrase]
    return sites or things_of(world, phrase)


def ranking_of(
    index: Path, paths: Sequence[Path], worlds: Sequence[World], phrase: tuple[str, str]
) -> dict[str, Any] | None:
    """How well scenes are ranked for one phrase; None where all show it, or none does."""
    kind, text = phrase
    truth = {str(path): truth_of(w, text) for path, w in zip(paths, worlds, strict=True)}
    there = sum(bool(boxes) for boxes in truth.values())
    if not 0 < there < len(worlds):
        return None
    result = gf.search_index(index, text, scenes=len(worlds), tiles=1)
    ranked = [(truth[each.scene.name], each.hits[0].box_scene) for each in result.scenes]
    right, precisions = 0, []
    for rank, (boxes, _) in enumerate(ranked, 1):
        if boxes:
            right += 1
            precisions.append(right / rank)
    first = sum(bool(boxes) for boxes, _ in ranked[:there])
    boxes, best = ranked[0]
    return {
        "kind": kind,
        "phrase": text,
        "average_precision": sum(precisions) / there,
        "recall": first / there,
        "chance": chance_of(there, len(worlds)),
        "best_scene": float(bool(boxes)),
        "best_tile": float(any(shows(best, box) for box in boxes)),
    }


def shows(tile: Box, box: Box) -> bool:
    """Whether a tile shows enough of a thing, or lies in a site."""
    return max(box.share_inside(tile), tile.share_inside(box)) > _ENOUGH


def chance_of(there: int, scenes: int) -> float:
    """Mean average precision of random orders."""
    rng, total, rounds = random.Random(0), 0.0, 500
    for _ in range(rounds):
        ranks = sorted(rng.sample(range(1, scenes + 1), there))
        total += sum(number / rank for number, rank in enumerate(ranks, 1)) / there
    return total / rounds


def ranked_rows(ranked: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a kind of phrase."""
    by_kind = defaultdict(list)
    for row in ranked:
        by_kind[row["kind"]].append(row)
    rows = []
    for kind, some in by_kind.items():
        values = {
            name: [row[name] for row in some]
            for name in ("average_precision", "chance", "recall", "best_scene", "best_tile")
        }
        low, high = mean_interval(values["average_precision"], [1] * len(some))
        means = {name: sum(each) / len(each) for name, each in values.items()}
        rows.append({"kind": kind, "phrases": len(some), "low": low, "high": high} | means)
    return rows


def lines_of(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table of rankings."""
    names = ("average precision", "chance", "recall", "best scene", "best tile")
    lines = [["phrases for a", "phrases", *names]]
    for row in rows:
        interval = f"{row['average_precision']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        shares = (row["chance"], row["recall"], row["best_scene"], row["best_tile"])
        lines.append([row["kind"], str(row["phrases"]), interval, *(f"{s:.2f}" for s in shares)])
    return lines


def finds(some: Sequence[tuple[World, Path]], index: Path | None, tiles: int) -> dict[str, Any]:
    """What `find` finds of all kinds of things in some scenes."""
    hits, there, places = [], [], 0
    for world, path in some:
        scene = gf.open(path, index=index)
        found = truth = 0
        for kind in THINGS:
            things = truth_of(world, kind)
            result = scene.find(kind, tiles=tiles)
            found += match_boxes([place.box_scene for place in result], things)[0]
            truth += len(things)
            places += len(result)
        hits.append(found)
        there.append(truth)
    low, high = mean_interval(hits, there)
    return {
        "recall": sum(hits) / sum(there),
        "low": low,
        "high": high,
        "precision": sum(hits) / max(places, 1),
        "things": sum(there),
    }


def found_lines(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The table of `find`."""
    lines = [["find led by", "tiles", "things", "recall", "precision"]]
    for row in rows:
        recall = f"{row['recall']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
        lines.append(
            [
                row["led by"],
                str(row["tiles"]),
                str(row["things"]),
                recall,
                f"{row['precision']:.2f}",
            ]
        )
    return lines


if __name__ == "__main__":
    main()
