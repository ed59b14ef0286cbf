"""The bench of policies compares like with like, and resumes where it was stopped."""

import json
import shutil

import pytest

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.descent_comparison import (
    POLICIES,
    PolicyItem,
    run_policies,
)
from geofovea.pipeline.evaluation.metrics import difference_interval
from geofovea.regionfocus.budget import Budget


def item(scene, policy, right):
    return PolicyItem(
        side=2048, scene=scene, policy=policy, category="count", question="?", answer="1",
        truth="1" if right else "2", hit=None, shown=None, tiles=1, tokens=1,
    )  # fmt: skip


def test_a_difference_is_paired_by_scene():
    # scenes differ greatly, the gain within each is the same
    items = [
        item(scene, policy, q < easy + gain)
        for scene, easy in enumerate((0, 8, 2, 6))
        for policy, gain in (("old", 0), ("new", 1))
        for q in range(10)
    ]
    old, new = ([i for i in items if i.policy == policy] for policy in ("old", "new"))
    assert difference_interval(new, old) == pytest.approx((0.1, 0.1, 0.1))
    assert difference_interval(old, new) == pytest.approx((-0.1, -0.1, -0.1))


@pytest.mark.slow
def test_a_run_asks_by_every_policy_and_goes_on_after_a_stop(
    tiny_host, scene_path, tmp_path, monkeypatch
):
    shutil.copy(scene_path, tmp_path / "scene_2048_5.tif")
    budget = Budget(tiles=12, tokens=100)
    table = run_policies(tmp_path, [2048], 1, 1, 5, tiny_host, budget)
    path = tmp_path / "items.jsonl"
    items = [json.loads(line) for line in path.read_text().splitlines()]
    asked = [q.text for q in ask_world(make_world(5, 2048, 2048), 1)]
    for policy in POLICIES:
        mine = [i for i in items if i["policy"] == policy]
        assert [i["question"] for i in mine] == asked
        assert all(i["tiles"] <= 12 and i["tokens"] <= 100 for i in mine)
        assert policy in table
    # an answer that is there is not asked for again
    changed = [i | {"answer": "remembered"} for i in items[:3]]
    path.write_text("\n".join(json.dumps(i) for i in changed))
    run_policies(tmp_path, [2048], 1, 1, 5, tiny_host, budget)
    again = [json.loads(line) for line in path.read_text().splitlines()]
    assert again[:3] == changed
    assert again[3:] == items[3:]
    with pytest.raises(DataError, match="holds a run with"):
        run_policies(tmp_path, [2048], 1, 1, 5, tiny_host, Budget(tiles=13, tokens=100))


def test_a_bench_of_nothing_is_refused(tiny_host, tmp_path):
    with pytest.raises(DataError, match="at least one"):
        run_policies(tmp_path / "none", [], 1, 1, 5, tiny_host, Budget())
