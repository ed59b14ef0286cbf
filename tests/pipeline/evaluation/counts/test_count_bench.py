"""The bench of counts: every way against the truth, its table, and a run that goes on."""

import json
from dataclasses import replace

import pytest

from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.counts import bench
from geofovea.pipeline.evaluation.counts.bench import run_count_bench
from geofovea.pipeline.evaluation.counts.item import CountItem
from geofovea.pipeline.evaluation.counts.table import counts_table
from geofovea.pipeline.evaluation.counts.ways import ways_of
from geofovea.pipeline.hosts.load import load_host

KINDS = ("truck",)

ITEM = CountItem(
    side=1024, scene=1, kind="truck", way="a", truth=4, value=5.0, low=3.0, high=8.0,
    tiles=10, tokens=100, seconds=0.5,
)  # fmt: skip


def test_the_table_says_errors_bias_and_how_many_intervals_hold():
    items = [
        ITEM,
        replace(ITEM, kind="boat", truth=1, value=1.2, low=1.0, high=2.0),
        replace(ITEM, kind="tank", truth=5, value=3.0, low=2.0, high=4.0),
        replace(ITEM, way="b", value=1.0, low=None, high=None),
    ]
    lines = counts_table(items, "m", ("a", "b")).splitlines()
    assert "scenes: 1, counts: 3, things: 10" in lines[2]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[-2:]]
    assert cells[0] == (
        ["a", "1.07", "32%", "-0.27", "0.33", "2 of 3", "2.67", "10", "100", "0.50"]
    )
    assert cells[1] == ["b", "3.00", "75%", "-3.00", "0.00", "–", "–", "10", "100", "0.50"]


@pytest.mark.parametrize(("low", "high"), [(None, 2.0), (2.0, None), (3.0, 2.0)])
def test_an_impossible_interval_is_refused(low, high):
    with pytest.raises(DataError, match="an interval"):
        replace(ITEM, low=low, high=high)


@pytest.mark.parametrize("budgets", [[], [0], [8, -1]])
def test_a_bench_without_a_tile_is_refused(tiny_host, tmp_path, budgets):
    with pytest.raises(DataError, match="at least one tile"):
        run_count_bench(tmp_path / "run", [1024], 1, 5, tiny_host, budgets)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_every_way_counts_every_kind_and_a_run_goes_on(tmp_path, monkeypatch):
    host = load_host("embedded")
    monkeypatch.setattr(bench, "THINGS", KINDS)
    table = run_count_bench(tmp_path, [768], 1, 5, host, [2])
    path = tmp_path / "items.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    ways = ways_of([2])
    assert [(row["kind"], row["way"]) for row in rows] == [(k, w) for k in KINDS for w in ways]
    assert all(f"\n| {way} " in table for way in ways)
    things = [thing.kind for site in make_world(5, 768, 768).sites for thing in site.things]
    for row in rows:
        assert row["truth"] == things.count(row["kind"])
        assert (row["low"] is None) == (not row["way"].startswith("count"))
        assert row["tiles"] <= 2 or row["way"] in ("count, sweep", "exhaustive", "thumbnail")
    kept = path.read_text().splitlines(keepends=True)[:-3]
    path.write_text("".join(kept))
    counted = []
    monkeypatch.setattr(
        bench,
        "count_by",
        lambda way, *rest, real=bench.count_by: counted.append(way) or real(way, *rest),
    )
    again = run_count_bench(tmp_path, [768], 1, 5, host, [2])
    assert counted == list(ways[-3:])
    assert [line.split("|")[1:8] for line in again.splitlines()] == (
        [line.split("|")[1:8] for line in table.splitlines()]
    )
    with pytest.raises(DataError, match="another bench"):
        run_count_bench(tmp_path, [768], 1, 5, host, [3])
