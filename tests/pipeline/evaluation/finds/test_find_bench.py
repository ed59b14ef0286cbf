"""The bench of places: every way against the truth, what it says of recall, and its tables."""

import json
from dataclasses import replace

import pytest

from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.finds import bench
from geofovea.pipeline.evaluation.finds.bench import run_find_bench, sweep_confusion
from geofovea.pipeline.evaluation.finds.item import FindItem
from geofovea.pipeline.evaluation.finds.misses import misses_of, misses_table
from geofovea.pipeline.evaluation.finds.rows import find_rows
from geofovea.pipeline.evaluation.finds.table import finds_table
from geofovea.pipeline.evaluation.finds.ways import SWEEP, search_way, ways_of
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.places.confusion import read_confusion

A, B, C, D = ((100.0 * n, 0.0, 100.0 * n + 50, 50.0) for n in range(4))

SWEPT = FindItem(
    side=1024, scene=1, phrase="truck", way=SWEEP, truth=(A, B, C), boxes=(A, B, D), looked=36,
    native=36, tiles=36, tokens=1296, recall_told=1.0, recall_low=1.0,
)  # fmt: skip
SEARCHED = replace(
    SWEPT, way=search_way(8), boxes=(A, D), looked=6, tiles=8, tokens=216, recall_told=0.5,
    recall_low=0.2,
)  # fmt: skip


def test_rows_say_recall_precision_and_what_a_search_told_beside_the_sweep():
    other = {"scene": 2, "truth": (), "boxes": ()}
    items = [
        *(SWEPT, SEARCHED, replace(SWEPT, **other)),
        replace(SEARCHED, **other, recall_told=None, recall_low=None),
    ]
    sweep, search = find_rows(items, ways_of([8]))
    assert (sweep.recall.part, sweep.recall.whole) == (2, 3)
    assert (sweep.precision.part, sweep.precision.whole) == (2, 3)
    assert (sweep.looked, sweep.expected) == (1.0, None)
    assert (search.recall.part, search.precision.whole) == (1, 2)
    assert (search.expected, search.of_sweep) == (0.5, pytest.approx(2 / 3))
    assert (search.bounds, search.bounds_hold) == (1, 1)
    assert search.looked == pytest.approx(6 / 36)
    missed = find_rows([SWEPT, replace(SEARCHED, recall_low=0.9)], ways_of([8]))[1]
    assert (missed.bounds, missed.bounds_hold) == (1, 0)
    # a small sample tells a lower end alone
    untold = replace(SEARCHED, recall_told=None)
    row = find_rows([SWEPT, untold], (SWEEP, search_way(8)))[1]
    assert (row.expected, row.bounds) == (None, 1)


def test_the_table_fits_a_terminal_and_sets_colors_apart():
    wide = {"native": 3600, "tiles": 3600, "tokens": 129_600}
    items = [
        replace(item, scene=scene, phrase=phrase, **wide, looked=looked)
        for item, looked in ((SWEPT, 3600), (replace(SEARCHED, way=search_way(256)), 1800))
        for scene in (1, 2)
        for phrase in ("truck", "red truck")
    ]
    lines = finds_table(find_rows(items, ways_of([256])), "embedded").splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[4:] for line in lines if line.startswith("###")] == [
        "1024 × 1024 px (2 scenes, such as truck)",
        "1024 × 1024 px (2 scenes, such as red truck)",
    ]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines]
    assert ["sweep", "0.67 [n/a]", "0.67 [n/a]", "4 of 6", "2"] in cells
    assert ["search 256", "50%", "3600", "129600", "0.50", "0.67", "2 of 2"] in cells


def test_each_miss_is_told_with_what_stands_there():
    # tiles of 100 pixels: the first three things share one, and one lies across two
    first, second, third = (0, 0, 20, 20), (30, 0, 50, 20), (70, 70, 90, 90)
    across, alone, found = (190, 0, 210, 20), (330, 30, 350, 50), (430, 30, 450, 50)
    item = replace(
        SWEPT,
        truth=(first, second, third, across, alone, found),
        # around two things, and on the last one
        boxes=((0, 0, 50, 20), (430, 30, 450, 50)),
    )
    misses = misses_of([item], 100)
    assert [(miss.box, miss.cause) for miss in misses] == [
        (second, "in another's place"),
        (third, "beside another"),
        (across, "across a seam"),
        (alone, "alone"),
    ]
    cells = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in misses_table(misses, ways_of([8])).splitlines()
    ]
    assert cells[2] == ["sweep", "1", "1", "1", "1"]
    assert ["1", "truck", "sweep", "190", "0", "210", "20", "across a seam"] in cells


def test_errors_of_sweeps_without_a_color_become_a_confusion():
    colored = replace(SWEPT, phrase="red truck")
    confusion = sweep_confusion([SWEPT, SEARCHED, colored], "m")
    assert confusion.to_dict() == {
        "hits": 2, "misses": 1, "false_alarms": 1, "tiles": 36, "model": "m",
    }  # fmt: skip
    assert sweep_confusion([replace(SWEPT, boxes=())], "m") is None


@pytest.mark.parametrize("wrong", [{"looked": 37}, {"recall_told": 1.5}, {"recall_low": -0.1}])
def test_an_impossible_item_is_refused(wrong):
    with pytest.raises(DataError):
        replace(SWEPT, **wrong)


@pytest.mark.parametrize("budgets", [[], [0], [8, -1]])
def test_a_bench_without_a_tile_is_refused(tiny_host, tmp_path, budgets):
    with pytest.raises(DataError, match="at least one tile"):
        run_find_bench(tmp_path / "run", [1024], 1, 5, tiny_host, budgets)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_every_way_looks_for_every_phrase_and_a_run_goes_on(tmp_path, monkeypatch):
    host = load_host("embedded")
    monkeypatch.setattr(bench, "THINGS", ("truck",))
    rows = run_find_bench(tmp_path, [768], 1, 10, host, [6], colors=False)
    path = tmp_path / "items.jsonl"
    items = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    ways = ways_of([6])
    assert [(item["phrase"], item["way"]) for item in items] == [("truck", way) for way in ways]
    things = [thing for site in make_world(10, 768, 768).sites for thing in site.things]
    trucks = [list(thing.box.as_tuple()) for thing in things if thing.kind == "truck"]
    assert all(item["truth"] == trucks for item in items)
    assert [item["tiles"] <= limit for item, limit in zip(items, (99, 16, 6, 1), strict=True)]
    assert rows[0].recall.part >= 3
    assert read_confusion(tmp_path / "confusion.json").tiles == 16
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    looked = []
    monkeypatch.setattr(
        bench,
        "find_by",
        lambda way, *rest, real=bench.find_by: looked.append(way) or real(way, *rest),
    )
    assert run_find_bench(tmp_path, [768], 1, 10, host, [6], colors=False) == rows
    assert looked == list(ways[-2:])
    with pytest.raises(DataError, match="another bench"):
        run_find_bench(tmp_path, [768], 1, 10, host, [7], colors=False)
