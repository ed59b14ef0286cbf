"""Items are answered in batches, and each still ends by itself."""

import json
from collections import Counter

import pytest
from run_toys import Choir, items

from geofovea.errors import RunError
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.lookahead import Lookahead, with_lookahead
from geofovea.pipeline.runs.runner import run_items


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def squares(journal):
    rows = journal.entries("c").items()
    return {int(k.question[:-1]): json.loads(e.record)["square"] for k, e in rows if e.record}


def executors(work):
    return [InProcessExecutor(work), ProcessExecutor(2, work)]


@pytest.mark.parametrize("which", [0, 1])
def test_items_of_a_group_are_worked_on_in_batches_and_all_answered(journal, tmp_path, which):
    work = Choir(tmp_path / "notes")
    counts = run_items(items(20, groups=2), journal, executors(work)[which], batch_size=4)
    assert counts.answered == 20
    assert squares(journal) == {n: n * n for n in range(20)}
    assert max(map(len, work.batches())) == 4
    assert all(len({n // 10 for n in some}) == 1 for some in work.batches())
    if which == 0:
        assert work.worked_on() == list(range(20)), "nothing is worked on twice"
        assert [len(some) for some in work.batches()] == [4, 4, 2, 4, 4, 2]


def test_alone_is_what_a_run_does_unless_told(journal, tmp_path):
    work = Choir(tmp_path / "notes")
    run_items(items(5), journal, InProcessExecutor(work))
    assert {len(some) for some in work.batches()} == {1}
    with pytest.raises(RunError, match="batch_size=0"):
        run_items(items(5), journal, InProcessExecutor(work), batch_size=0)


def test_an_item_that_fails_in_a_batch_fails_alone(journal, tmp_path):
    work = Choir(tmp_path / "notes", {2: "bad", 5: "strange", 6: "nan"})
    counts = run_items(items(8), journal, InProcessExecutor(work), batch_size=8)
    assert (counts.answered, counts.failed) == (5, 3)
    assert work.batches() == [list(range(8))]
    errors = {e.error.split(":")[0] for e in journal.entries("c").values() if e.error}
    assert errors == {"SceneReadError", "ZeroDivisionError", "ValueError"}


def test_a_full_disk_in_a_batch_halts_the_run_and_keeps_what_was_handed_over(journal, tmp_path):
    work = Choir(tmp_path / "notes", {3: "full"})
    with pytest.raises(RunError, match="no room for levels"):
        run_items(items(8), journal, InProcessExecutor(work), batch_size=8)
    assert sorted(squares(journal)) == [0, 1, 2]
    again = Choir(tmp_path / "again")
    run_items(items(8), journal, InProcessExecutor(again), batch_size=8)
    assert squares(journal) == {n: n * n for n in range(8)}


def test_a_group_over_which_a_worker_died_goes_on_one_by_one(journal, tmp_path):
    work = Choir(tmp_path / "notes", {3: "killed"})
    counts = run_items(items(12, groups=2), journal, ProcessExecutor(1, work), batch_size=6)
    assert (counts.answered, counts.failed) == (11, 1)
    assert squares(journal) == {n: n * n for n in range(12) if n != 3}
    first, *rest = [some for some in work.batches() if some[0] < 6]
    assert first == list(range(6))
    assert {len(some) for some in rest} == {1}
    assert [6, 7, 8, 9, 10, 11] in work.batches()
    # once in a batch, and then as often as an item may kill
    assert Counter(work.worked_on())[3] == 4


def test_what_was_answered_for_another_question_or_scene_is_not_handed_over():
    asked = []

    def answer_all(group, payloads):
        asked.append([p["number"] for p in payloads])
        return [{"group": group, "number": p["number"]} for p in payloads]

    worker = Lookahead(answer_all)
    first, second, third = items(3)
    worker.answer("a", with_lookahead(first, [second, third]).payload)
    assert worker.answer("b", second.payload) == {"group": "b", "number": 1}
    assert worker.answer("a", third.payload) == {"group": "a", "number": 2}
    assert asked == [[0, 1, 2], [1], [2]]
    worker.answer("a", with_lookahead(first, [second, third]).payload)
    assert worker.answer("a", third.payload)["number"] == 2
    assert worker.answer("a", second.payload)["number"] == 1
    assert len(asked) == 4
