"""What does an index save for sixteen questions about one scene, and for one search in it?

    python benchmarks/indexed_questions.py --side 4096

The same questions go to the embedded model in one session each: led by its own attention, by a dual
encoder that reads and embeds the tiles, by an index of the same encoder, and by its own attention
over tokens that it kept on disk. Then one thing is looked for, led in the same ways. Each way
starts with only the files of the index or the tokens, which are made before and counted separately.
Figures are CPU seconds, and ratios are to the way without an index. The encoder is that of
``archive_search.py``, with random weights: its cost is real, but where it leads means nothing.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import geofovea as gf
from archive_search import random_encoder
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from many_questions import questions
from side_by_side import aligned, cpu_seconds, machine, report

_LOOKS = 64


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=4096, help="Of the scene in pixels.")
    parser.add_argument("--questions", type=int, default=16, help="How many are asked.")
    parser.add_argument("--output", type=Path, help="Write all numbers to this JSON file.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["GEOFOVEA_CACHE_DIR"] = str(folder / "cache")
        path, encoder = folder / "scene.tif", str(random_encoder(folder / "clip"))
        write_scene(make_world(881_000, options.side, options.side), path)
        start = cpu_seconds()
        made = gf.build_index(folder / "index", path, encoder=encoder)
        index_cpu = cpu_seconds() - start
        host = gf.load_host("embedded")
        texts = questions(options.questions)
        asked(path, host, texts, cache_tokens=True)
        by_encoder = {"focus": "similarity", "focus_model": encoder}
        rows = [
            {"way": "similarity, pixels", **asked(path, host, texts, **by_encoder)},
            {"way": "similarity, index", **asked(path, host, texts, index=folder / "index")},
            {"way": "attention, pixels", **asked(path, host, texts)},
            {"way": "attention, tokens on disk", **asked(path, host, texts, cache_tokens=True)},
            {"way": "find by similarity", **looked_for(path, host, **by_encoder)},
            {"way": "find by the index", **looked_for(path, host, index=folder / "index")},
            {"way": "find by attention", **looked_for(path, host)},
        ]
    facts = machine(
        side=options.side,
        questions=options.questions,
        index_tiles=made.tiles_read,
        index_cpu_s=round(index_cpu, 2),
        index_mb_per_gpx=round(made.megabytes_per_gigapixel or 0, 1),
    )
    report(facts, aligned(lines_of(rows)), rows, options.output)


def asked(path, host, texts, **how) -> dict[str, Any]:
    """What questions cost in a session of their own."""
    focus = {name: how.pop(name) for name in ("focus", "focus_model") if name in how}
    start = cpu_seconds()
    session = gf.SceneSession(gf.open_scene(path), host, **how)
    costs = [session.ask(text, **focus).cost for text in texts]
    return {
        "cpu_s": cpu_seconds() - start,
        "focus_s": sum(cost.seconds["focus"] for cost in costs),
        "read": sum(cost.tiles_read for cost in costs),
        "looked": sum(cost.tiles_encoded for cost in costs),
        "native": sum(cost.tiles_by_level.get(0, 0) for cost in costs),
        "compared": sum(cost.tiles_indexed for cost in costs),
    }


def looked_for(path, host, index=None, **how) -> dict[str, Any]:
    """What a search for one thing costs."""
    start = cpu_seconds()
    session = gf.SceneSession(gf.open_scene(path), host, index=index)
    places = session.find("truck", tiles=_LOOKS, **how)
    return {
        "cpu_s": cpu_seconds() - start,
        "focus_s": places.cost.seconds["focus"],
        "read": places.cost.tiles_read,
        # the coarse tiles of a descent count toward the budget, too
        "looked": _LOOKS,
        "native": places.coverage.tiles_looked,
        "compared": places.cost.tiles_indexed,
    }


def lines_of(rows) -> list[list[str]]:
    """The table."""
    lines = [["", "CPU s", "ratio", "tiles read", "looked at", "native", "compared by vectors"]]
    for row in rows:
        base = rows[4] if row["way"].startswith("find") else rows[0]
        cells = [f"{row['cpu_s']:.2f}", f"{row['cpu_s'] / base['cpu_s']:.2f}"]
        counts = (row["read"], row["looked"], row["native"], row["compared"])
        lines.append([row["way"], *cells, *map(str, counts)])
    return lines


if __name__ == "__main__":
    main()
