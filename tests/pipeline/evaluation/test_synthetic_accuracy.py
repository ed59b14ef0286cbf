"""The bench asks every question in every way and is honest about how sure its numbers are."""

import json
import shutil
from types import SimpleNamespace

import pytest

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.metrics import bootstrap_interval
from geofovea.pipeline.evaluation.synthetic_accuracy import METHODS, MethodItem, run_bench
from geofovea.pipeline.evaluation.synthetic_bench import BenchScenes
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.pyramid import Box

TARGET = Box(100, 100, 120, 110)


def looked_at(level, *tiles):
    return SimpleNamespace(looks=(SimpleNamespace(level=level, tiles=tiles),))


def item(scene, right, method="attention"):
    return MethodItem(
        side=2048, scene=scene, method=method, category="count", question="?", answer="1",
        truth="1" if right else "2", confidence=0.5, hit=None, tiles=1, tokens=1, seconds=0.1,
        peak_rss_mb=1,
    )  # fmt: skip


def test_all_right_and_all_wrong_leave_no_doubt():
    assert bootstrap_interval([item(s, True) for s in range(5)]) == (1, 1)
    assert bootstrap_interval([item(s, False) for s in range(5)]) == (0, 0)


def test_an_interval_holds_the_mean_and_narrows_with_more_scenes():
    few = [item(s, q % 3 > 0 or s == 1) for s in range(4) for q in range(6)]
    many = [item(s, q % 3 > 0 or s % 4 == 1) for s in range(40) for q in range(6)]
    for items in (few, many):
        low, high = bootstrap_interval(items)
        assert low <= sum(i.correct for i in items) / len(items) <= high
        assert bootstrap_interval(items) == (low, high)
    widths = [high - low for low, high in map(bootstrap_interval, (few, many))]
    assert widths[1] < widths[0]


def test_scenes_are_resampled_and_not_questions():
    # within a scene all answers agree, so many questions make it no surer
    items = [item(s, s % 2 == 0) for s in range(6) for _ in range(200)]
    low, high = bootstrap_interval(items)
    assert high - low > 0.5


@pytest.fixture(scope="module")
def bench(tiny_host, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    table = run_bench(folder, [2048], 1, 1, 5, tiny_host, Budget(tiles=12, tokens=100))
    return folder, table


@pytest.mark.slow
def test_a_bench_writes_every_answer_and_its_table(bench):
    folder, table = bench
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    asked = [q.text for q in ask_world(make_world(5, 2048, 2048), 1)]
    assert len(asked) >= 6
    for method in METHODS:
        mine = [i for i in items if i["method"] == method]
        # this host has no region focus module
        assert [i["question"] for i in mine] == ([] if method == "rfm" else asked)
        assert all(i["tiles"] <= 12 and i["tokens"] <= 100 for i in mine)
        assert all((i["tokens"] == 0) is (method == "blind") for i in mine)
    assert (folder / "table.md").read_text().rstrip("\n") == table
    for name in ("blind", "overview only", "uniform", "descent", "oracle", "hit rate", "overall"):
        assert name in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1


@pytest.mark.slow
def test_a_bench_that_was_stopped_asks_what_is_missing_alone(
    bench, tiny_host, tmp_path, monkeypatch
):
    folder = tmp_path / "bench"
    shutil.copytree(bench[0], folder)
    items = folder / "items.jsonl"
    lines = items.read_text().splitlines(keepends=True)
    items.write_text("".join(lines[:-2]) + lines[-2][:40])
    asked, ask = [], SceneSession.ask
    monkeypatch.setattr(
        SceneSession, "ask", lambda *args, **options: asked.append(args) or ask(*args, **options)
    )
    arguments = (folder, [2048], 1, 1, 5, tiny_host)
    table = run_bench(*arguments, Budget(tiles=12, tokens=100))
    assert len(asked) == 2
    again = [json.loads(line) for line in items.read_text().splitlines()]
    told = [(json.loads(line)["method"], json.loads(line)["question"]) for line in lines]
    assert [(item["method"], item["question"]) for item in again] == told
    assert table.splitlines()[-2] == bench[1].splitlines()[-2]
    with pytest.raises(DataError, match=r"holds a run with .*: choose an empty folder"):
        run_bench(*arguments, Budget(tiles=13, tokens=100))
    (folder / "run.json").unlink()
    with pytest.raises(DataError, match="settings are not known"):
        run_bench(*arguments, Budget(tiles=12, tokens=100))


@pytest.mark.slow
def test_the_oracle_hits_what_it_is_told(bench):
    folder, _ = bench
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    hits = [i["hit"] for i in items if i["method"] == "oracle" and i["hit"] is not None]
    # a box on a corner of the grid has no more than a quarter in any tile of this small size
    assert sum(hits) > len(hits) / 2


@pytest.mark.parametrize(("sides", "scenes", "count"), [([], 1, 1), ([2048], 0, 1), ([2048], 1, 0)])
def test_a_bench_of_nothing_is_refused(tiny_host, tmp_path, sides, scenes, count):
    with pytest.raises(DataError, match="at least one"):
        run_bench(tmp_path / "none", sides, scenes, count, 5, tiny_host, Budget())
    assert not (tmp_path / "none").exists()


def test_a_bench_of_the_second_world_writes_its_own_scenes(tmp_path):
    worlds = [
        next(iter(BenchScenes(tmp_path, [1024], 1, 1, 5, version=version))) for version in (1, 2)
    ]
    assert [scene.path.name for scene in worlds] == ["scene_1024_5.tif", "scene_1024_5_world2.tif"]
    assert len({scene.path.read_bytes() for scene in worlds}) == 2
    with pytest.raises(DataError, match="1 or 2, got world=3"):
        BenchScenes(tmp_path, [1024], 1, 1, 5, version=3)
