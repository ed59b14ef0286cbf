"""Do differences of tokens lead to what changed? Measured on the synthetic world at two dates.

    python benchmarks/date_changes.py --seeds 6
    python benchmarks/date_changes.py --lists --sweep --seeds 12 --first-seed 500 --side 2048
    python benchmarks/date_changes.py --lists --seeds 10 --side 2048 --list-tiles 60 --laid turned
    python benchmarks/date_changes.py --answers --seeds 12 --first-seed 600

For every question about a change, the native tiles that the answer was read from are compared with
the truth, beside three others: differences alone, the question alone at the later date (with what
one date gets of the budget), and as many native tiles at random. Then all changes are looked for
without a question. ``--laid`` puts the later date on a grid of its own first: shifted by parts of a
pixel, turned, or of larger pixels. With ``--answers``, questions of every kind are asked about both
dates, and the words of the model are compared with the truth instead.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.warp import Resampling, reproject

import geofovea as gf
from geofovea.datasets.synthetic.change_questions import ask_changes
from geofovea.datasets.synthetic.dates import changes_between, make_dated_world
from geofovea.datasets.synthetic.scene_files import write_scene

_CHANGED = ("appeared", "gone", "new count")


def main() -> None:
    """Measure, and print the table after every world."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=6, help="Worlds.")
    parser.add_argument("--first-seed", type=int, default=0, help="Seed of the first.")
    parser.add_argument("--side", type=int, default=4096, help="Of a scene in pixels.")
    parser.add_argument("--tiles", type=int, default=48, help="Of all dates together.")
    parser.add_argument("--sweep", action="store_true", help="Also compare every native tile.")
    parser.add_argument("--lists", action="store_true", help="Look for all changes, ask nothing.")
    parser.add_argument("--list-tiles", type=int, default=96, help="Of a list, all dates together.")
    parser.add_argument("--laid", choices=["alike", *_GRIDS], default="alike", help="Later date.")
    parser.add_argument("--answers", action="store_true", help="Compare answers, not places.")
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    host = gf.load_host(options.model)
    hits, listed = defaultdict(list), defaultdict(list)
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            measure(seed, options, host, Path(folder), hits, listed)
        print(f"up to seed {seed}", flush=True)
        show(hits, listed)


def show(hits, listed) -> None:
    """The table so far."""
    for name, values in hits.items():
        print(f"{name:<28} {sum(values)}/{len(values)}", flush=True)
    for name, values in listed.items():
        found, changes, right, places = (sum(column) for column in zip(*values, strict=True))
        line = f"{found}/{changes} changes found, {right}/{places} places right"
        print(f"{name:<28} {line}", flush=True)


def measure(seed, options, host, folder, hits, listed) -> None:
    """One world."""
    worlds = [make_dated_world(seed, options.side, options.side, number) for number in (0, 1)]
    paths = [folder / f"{number}.tif" for number in (0, 1)]
    for world, path in zip(worlds, paths, strict=True):
        write_scene(world, path)
    if options.laid != "alike":
        paths[1] = laid(paths[1], options.laid, seed)
    pair = gf.open_pair(*paths, model=host)
    if options.answers:
        answer(worlds, pair, gf.Budget(options.tiles, 768), hits)
        return
    if not options.lists:
        ask(seed, options, worlds, pair, gf.open(paths[1], model=host), hits)
    changes = [change.box for change in changes_between(*worlds)]
    tiles = options.list_tiles
    for name, limit in {f"search of {tiles} tiles": gf.Budget(tiles, 768), "sweep": None}.items():
        if limit is None and not options.sweep:
            continue
        found = [place.box_scene for place in pair.changes(budget=limit)]
        listed[name].append(
            (
                sum(any(box.intersection(place) for place in found) for box in changes),
                len(changes),
                sum(any(box.intersection(place) for box in changes) for place in found),
                len(found),
            )
        )


def laid(path, grid, seed):
    """A scene on another grid over the same ground, as a file beside it."""
    rng = random.Random(seed)
    with rasterio.open(path) as scene:
        # 0 is for what the scene does not show
        pixels = np.maximum(scene.read(), 1)
        date = scene.tags()["TIFFTAG_DATETIME"]
    side, placed = scene.width, scene.transform
    move, length, resampling = _GRIDS[grid](rng, side)
    on_grid = np.zeros((3, length, length), np.uint8)
    options = {"src_crs": scene.crs, "dst_crs": scene.crs, "dst_nodata": 0}
    reproject(
        *(pixels, on_grid),
        src_transform=placed,
        dst_transform=placed * move,
        resampling=resampling,
        **options,
    )
    target = path.with_name(f"{grid}.tif")
    profile = {"driver": "GTiff", "count": 3, "dtype": "uint8", "crs": scene.crs, "nodata": 0}
    size = {"width": length, "height": length, "transform": placed * move, "tiled": True}
    with rasterio.open(target, "w", **profile, **size) as out:
        out.write(on_grid)
        out.update_tags(TIFFTAG_DATETIME=date)
        out.build_overviews([2, 4, 8], Resampling.average)
    return target


def shifted(rng, side):
    """The origin is some pixels, and a part of one, away."""
    return Affine.translation(-rng.uniform(5, 60), -rng.uniform(5, 60)), side + 64, Resampling.cubic


def turned(rng, side):
    """North is not at the top, and the corners hold nothing."""
    angle = rng.choice([-1, 1]) * rng.uniform(4, 25)
    turn = math.radians(abs(angle))
    length = math.ceil(side * (math.cos(turn) + math.sin(turn)))
    about = Affine.translation(side / 2, side / 2) * Affine.rotation(angle)
    return about * Affine.translation(-length / 2, -length / 2), length, Resampling.cubic


def coarser(rng, side):
    """Its pixels are larger."""
    factor = rng.uniform(1.3, 2.2)
    return Affine.scale(factor), math.ceil(side / factor), Resampling.average


_GRIDS = {"shifted": shifted, "turned": turned, "coarser": coarser}


def answer(worlds, pair, budget, hits) -> None:
    """Whether the words of the model are right, by kind of question."""
    for question in ask_changes(*worlds, 4):
        text = pair.ask(question.text, budget=budget).text
        hits[f"{question.category}, answers"].append(text == question.answer)


def ask(seed, options, worlds, pair, single, hits) -> None:
    """The questions about one world."""
    budget = gf.Budget(options.tiles, 768)
    half = gf.Budget(options.tiles // 2, 384)
    rng = random.Random(seed)
    for question in ask_changes(*worlds, 4):
        places = question.counted or question.places
        if question.category not in _CHANGED:
            continue
        if question.category == "new count" and not question.counted:
            continue
        answers = {
            "question and differences": pair.ask(question.text, budget=budget).evidence,
            "differences alone": pair.ask(question.text, budget=budget, focus="changes").evidence,
            "question at the later date": single.ask(question.text, budget=half).evidence,
        }
        for name, evidence in answers.items():
            tiles = [item.box_scene for item in evidence if item.tile.level == 0]
            hits[name] += [covered(place, tiles) for place in places]
        count = sum(item.tile.level == 0 for item in answers["question and differences"])
        native = [pair.pyramid.box_scene(tile) for tile in pair.pyramid.tiles(0)]
        hits["as many tiles at random"] += [covered(p, rng.sample(native, count)) for p in places]


def covered(place, tiles) -> bool:
    """Whether at least half of a place lies in some tiles."""
    return sum(place.share_inside(tile) for tile in tiles) >= 0.5


if __name__ == "__main__":
    main()
