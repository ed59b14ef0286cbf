"""Runs: nothing is lost, nothing is done twice, and what fails is a row."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from repository import TOYS
from run_toys import Squares, items

from geofovea.errors import DataError, OutputError, RunError
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.item_queue import ItemQueue
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.runner import run_items


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def in_process(work):
    return InProcessExecutor(work)


def in_two_processes(work):
    return ProcessExecutor(2, work)


BOTH = pytest.mark.parametrize("executor_of", [in_process, in_two_processes])


def answers(journal):
    """Squares by number, of what the journal holds as answered."""
    rows = journal.entries("c").items()
    return {
        int(key.question[:-1]): json.loads(entry.record)["square"]
        for key, entry in rows
        if entry.state == "answered"
    }


def squares(count):
    return {n: n**2 for n in range(count)}


@BOTH
def test_every_item_is_answered_once(journal, tmp_path, executor_of):
    work = Squares(tmp_path / "notes")
    counts = run_items(items(20, groups=4), journal, executor_of(work))
    assert (counts.planned, counts.answered, counts.failed, counts.remaining) == (20, 20, 0, 0)
    assert answers(journal) == squares(20)
    assert sorted(work.worked_on()) == list(range(20))


@BOTH
def test_a_second_run_does_nothing_and_starts_nobody(journal, tmp_path, executor_of):
    run_items(items(6), journal, executor_of(Squares()))
    counts = run_items(
        items(6), journal, executor_of(Squares(open_error="nobody should be started"))
    )
    assert (counts.earlier, counts.answered, counts.remaining) == (6, 0, 0)


@BOTH
def test_a_failed_item_is_a_row_and_the_others_are_answered(journal, executor_of):
    trouble = {2: "bad", 5: "strange", 7: "nan"}
    counts = run_items(items(10), journal, executor_of(Squares(trouble=trouble)))
    assert (counts.answered, counts.failed, counts.stopped) == (7, 3, False)
    errors = {k.question: e.error for k, e in journal.entries("c").items() if e.state == "failed"}
    assert errors["2?"] == "SceneReadError: number 2 is damaged"
    assert errors["5?"].startswith("ZeroDivisionError: never mind (")
    assert "run_toys.py" in errors["5?"]
    assert errors["7?"].startswith("ValueError: Out of range float")


def test_failed_items_are_left_alone_until_they_are_asked_for_again(journal, tmp_path):
    broken = Squares(tmp_path / "broken", {2: "bad"})
    run_items(items(4), journal, InProcessExecutor(broken))
    mended = Squares(tmp_path / "mended")
    assert run_items(items(4), journal, InProcessExecutor(mended)).earlier == 4
    assert mended.worked_on() == []
    counts = run_items(items(4), journal, InProcessExecutor(mended), retry_failed=True)
    assert (counts.earlier, counts.answered) == (3, 1)
    assert mended.worked_on() == [2]
    assert answers(journal) == squares(4)
    assert [e.tries for k, e in journal.entries("c").items() if k.question == "2?"] == [2]


def test_a_run_stops_at_so_many_failures_and_goes_on_from_there(journal, tmp_path):
    work = Squares(tmp_path / "notes", dict.fromkeys(range(2, 9), "bad"))
    counts = run_items(items(10), journal, InProcessExecutor(work), max_failures=3)
    assert (counts.answered, counts.failed, counts.stopped, counts.remaining) == (2, 3, True, 5)
    assert work.worked_on() == [0, 1, 2, 3, 4]
    assert run_items(items(10), journal, InProcessExecutor(work)).remaining == 0


def test_items_of_one_key_are_worked_on_once(journal, tmp_path):
    work = Squares(tmp_path / "notes")
    counts = run_items(items(3) + items(3), journal, InProcessExecutor(work))
    assert counts.planned == 3
    assert work.worked_on() == [0, 1, 2]


@BOTH
def test_a_full_disk_halts_the_run_and_spoils_no_item(journal, tmp_path, executor_of):
    with pytest.raises(RunError, match="no room for levels"):
        run_items(items(6), journal, executor_of(Squares(trouble={3: "full"})))
    assert "failed" not in {entry.state for entry in journal.entries("c").values()}
    run_items(items(6), journal, executor_of(Squares()))
    assert answers(journal) == squares(6)


def test_a_worker_that_dies_is_replaced_and_its_item_done_again(journal, tmp_path):
    work = Squares(tmp_path / "notes", {1: "killed once", 6: "killed once"})
    counts = run_items(items(8, groups=2), journal, ProcessExecutor(2, work))
    assert (counts.answered, counts.failed, counts.deaths) == (8, 0, 2)
    assert answers(journal) == squares(8)
    assert Counter(work.worked_on()) == Counter([*range(8), 1, 6])
    assert {k.question: e.tries for k, e in journal.entries("c").items()}["6?"] == 2


def test_an_item_that_kills_every_worker_is_given_up(journal, tmp_path):
    work = Squares(tmp_path / "notes", {3: "killed"})
    counts = run_items(items(6), journal, ProcessExecutor(1, work), max_tries=2)
    assert (counts.answered, counts.failed, counts.deaths) == (5, 1, 2)
    failed = [e for e in journal.entries("c").values() if e.state == "failed"]
    assert failed[0].error == "RunError: the worker died over it 2 times (killed by SIGKILL)"
    assert failed[0].tries == 2
    # its second turn came last, so it kept nobody from being answered
    assert work.worked_on() == [0, 1, 2, 3, 4, 5, 3]


def test_an_item_that_never_ends_is_a_failed_row_and_the_others_are_answered(journal, tmp_path):
    work = Squares(tmp_path / "notes", {1: "hangs", 7: "hangs"})
    executor = ProcessExecutor(2, work, item_seconds=3.0)
    counts = run_items(items(10, groups=2), journal, executor)
    assert (counts.answered, counts.failed, counts.deaths, counts.overdue) == (8, 2, 0, 2)
    assert answers(journal) == {n: n**2 for n in range(10) if n not in (1, 7)}
    ended = [e for e in journal.entries("c").values() if e.state == "failed"]
    assert {(e.error, e.tries) for e in ended} == {
        ("RunError: no end after 3 s (--item-timeout): its worker was ended", 1)
    }
    # nobody was asked twice, and the hanging processes are gone
    assert sorted(work.worked_on()) == list(range(10))
    pids = {int(line.split()[2]) for line in work.notes.read_text().splitlines()}
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    mended = Squares(tmp_path / "mended")
    again = items(10, groups=2)
    assert run_items(again, journal, InProcessExecutor(mended)).earlier == 10
    assert run_items(again, journal, InProcessExecutor(mended), retry_failed=True).answered == 2
    assert answers(journal) == squares(10)


def test_time_to_open_the_work_is_not_that_of_an_item(journal):
    # a process takes longer to begin than this limit lets an item take
    executor = ProcessExecutor(1, Squares(opening_seconds=3.5), item_seconds=3.0)
    assert run_items(items(3), journal, executor).answered == 3


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_an_item_needs_some_time(seconds):
    with pytest.raises(RunError, match="leave --item-timeout out for no limit"):
        ProcessExecutor(1, Squares(), item_seconds=seconds)


@pytest.mark.parametrize(
    ("error", "words"), [("no such model", "no such model"), ("killed", "3 workers died")]
)
def test_workers_that_cannot_begin_end_the_run(journal, error, words):
    with pytest.raises(RunError, match=words):
        run_items(items(6), journal, ProcessExecutor(2, Squares(open_error=error)))
    assert answers(journal) == {}
    assert run_items(items(6), journal, InProcessExecutor(Squares())).answered == 6


def test_no_worker_outlives_the_run(journal):
    executor = ProcessExecutor(2, Squares())
    with executor:
        pids = executor.pids
        assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_what_a_dead_run_had_in_hand_comes_last(tmp_path):
    path, work = tmp_path / "journal.sqlite", Squares(tmp_path / "notes")
    with Journal(path) as journal:
        journal.begin(items(4)[1].key)
    with Journal(path) as journal:
        run_items(items(4), journal, InProcessExecutor(work))
        assert work.worked_on() == [0, 2, 3, 1]
        assert [e.tries for e in journal.entries("c").values()] == [2, 1, 1, 1]


def test_an_answer_that_is_kept_is_never_written_over(journal):
    key = items(1)[0].key
    journal.begin(key)
    journal.answer(key, "1")
    before = journal.entries("c")
    journal.begin(key)
    journal.answer(key, "2")
    journal.fail(key, "late")
    assert journal.entries("c") == before


def test_a_second_run_on_a_journal_is_refused_and_told_who_holds_it(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path), pytest.raises(RunError, match=rf"process {os.getpid()} on "), Journal(path):
        pass
    with Journal(path):
        pass


def test_a_second_run_can_wait_for_the_first(tmp_path):
    path = tmp_path / "journal.sqlite"
    code = """
        import sys
        from geofovea.pipeline.runs.journal import Journal
        with Journal(sys.argv[1], wait=True) as journal:
            print(len(journal.entries("c")))
    """
    with Journal(path) as journal:
        other = started(code, path)
        for item in items(5):
            journal.begin(item.key)
    assert other.communicate(timeout=120)[0].split() == ["5"]


def test_another_configuration_in_the_way_is_refused_unless_told(tmp_path):
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        journal.adopt("c", {"model": "embedded", "tiles": 48})
        run_items(items(2), journal, InProcessExecutor(Squares()))
    with Journal(path) as journal:
        journal.adopt("c", {"model": "embedded", "tiles": 48})
        with pytest.raises(RunError, match="tiles: 48 there, 24 now"):
            journal.adopt("d", {"model": "embedded", "tiles": 24})
        journal.adopt("d", {"model": "embedded", "tiles": 24}, beside_others=True)
        counts = run_items(items(2, configuration="d"), journal, InProcessExecutor(Squares()))
        assert counts.answered == 2
        assert len(journal.entries("c")) == 2
    with Journal(path) as journal:
        journal.adopt("d", {"model": "embedded", "tiles": 24})


@pytest.mark.parametrize("content", [b"not a database, and long enough to be one" * 50, b"SQLite"])
def test_a_file_that_is_no_journal_is_told_as_such(tmp_path, content):
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not a journal of a run"), Journal(path):
        pass
    assert path.read_bytes() == content


def test_a_journal_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "taken").write_text("a file")
    path = tmp_path / "taken" / "journal.sqlite"
    with pytest.raises(OutputError, match="cannot be written"), Journal(path):
        pass


def test_a_queue_keeps_groups_together_and_shares_the_last_one_out():
    queue = ItemQueue(items(8, groups=2))
    first = [queue.take(0).payload["number"] for _ in range(2)]
    second = [queue.take(1).payload["number"] for _ in range(4)]
    assert (first, second) == ([0, 1], [4, 5, 6, 7])
    assert queue.take(1).payload["number"] == 3
    assert queue.take(0).payload["number"] == 2
    assert queue.take(0) is queue.take(1) is None


@given(
    sizes=st.lists(st.integers(1, 9), max_size=6),
    turns=st.lists(st.integers(0, 3), max_size=80),
)
@settings(deadline=None)
def test_a_queue_hands_everything_out_once_whoever_asks(sizes, turns):
    made = [item for g, size in enumerate(sizes) for item in items(size, configuration=str(g))]
    queue = ItemQueue(made[1:], last=made[:1])
    taken = [queue.take(worker) for worker in turns]
    while (item := queue.take(0)) is not None:
        taken.append(item)
    assert sorted(i.key for i in taken if i is not None) == sorted(i.key for i in made)


RUN = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from run_toys import Squares, items
    from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
    from geofovea.pipeline.runs.executors.processes import ProcessExecutor
    from geofovea.pipeline.runs.journal import Journal
    from geofovea.pipeline.runs.runner import run_items
    folder, workers, count = Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4])
    work = Squares(folder / "notes", seconds=0.004)
    executor = ProcessExecutor(workers, work) if workers else InProcessExecutor(work)
    with Journal(folder / "journal.sqlite", wait=True) as journal:
        run_items(items(count, groups=5), journal, executor)
"""


def started(code, *arguments):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_until_killed(folder, workers, count, rng):
    """Start the run and kill it at some moment; whether it was still there to be killed."""
    notes = folder / "notes"
    before = size_of(notes)
    process = started(RUN, folder, TOYS, workers, count)
    # counted from the first item that it works on, so that kills fall into the work
    deadline = time.monotonic() + 60
    while size_of(notes) == before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    with suppress(subprocess.TimeoutExpired):
        process.wait(rng.uniform(0, 0.12))
    process.kill()
    process.communicate(timeout=120)
    return process.returncode == -signal.SIGKILL


def size_of(path):
    return path.stat().st_size if path.exists() else 0


def kill_and_finish(folder, kills, workers, count, seed):
    """Kill a run at random moments, then let it end.

    Returns the kills that struck, how many of them came after the first answer of their run, and
    how many items were in somebody's hands then.
    """
    rng, kept, begun = random.Random(seed), {}, set()
    struck = in_work = in_hand = 0
    for _ in range(kills):
        struck += run_until_killed(folder, workers, count, rng)
        with Journal(folder / "journal.sqlite", wait=True) as journal:
            entries = journal.entries("c")
        now = {k: e for k, e in entries.items() if e.state == "answered"}
        assert kept.items() <= now.items(), "an answer that was kept changed or went"
        in_work += len(now) > len(kept)
        in_hand += len({k for k, e in entries.items() if e.state == "begun"} - begun)
        begun |= {k for k, e in entries.items() if e.state == "begun"}
        kept = now
    last = started(RUN, folder, TOYS, workers, count)
    _, stderr = last.communicate(timeout=1500)
    assert last.returncode == 0, stderr
    with Journal(folder / "journal.sqlite") as journal:
        assert answers(journal) == squares(count)
        assert kept.items() <= journal.entries("c").items()
    return struck, in_work, in_hand


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_is_killed_at_random_moments_loses_nothing(tmp_path, workers):
    struck, _, in_hand = kill_and_finish(tmp_path, 3, workers, 80, seed=workers)
    assert struck > 0
    assert in_hand > 0


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("workers", [0, 2])
def test_kills_at_random_moments_lose_nothing(tmp_path, workers):
    kills = int(os.environ.get("GEOFOVEA_KILLS", "16"))
    # more than can be done before the last kill
    count = (12 + 5 * workers) * kills
    struck, in_work, in_hand = kill_and_finish(tmp_path, kills, workers, count, seed=7)
    print(f"{kills} runs: {struck} killed, {in_work} between answers, {in_hand} items in hand")
    assert min(struck, in_work, in_hand) > kills // 2


def test_workers_end_with_a_run_that_is_killed_even_in_an_endless_item(tmp_path):
    code = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from run_toys import Squares, items
    from geofovea.pipeline.runs.journal import Journal
    from geofovea.pipeline.runs.executors.processes import ProcessExecutor
    from geofovea.pipeline.runs.runner import run_items
    folder = Path(sys.argv[1])
    work = Squares(folder / "notes", {0: "hangs"})
    with Journal(folder / "journal.sqlite") as journal:
        run_items(items(1), journal, ProcessExecutor(1, work))
    """
    run = started(code, tmp_path, TOYS)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("pipe-0-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    (pipe,) = tmp_path.glob("pipe-0-*")
    worker = Path("/proc") / pipe.name.rsplit("-", 1)[1]
    assert worker.exists()
    run.kill()
    run.communicate(timeout=60)
    while worker.exists() and is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (worker.exists() and is_running(worker))


def is_running(process):
    """Whether it is more than an entry that nobody has asked for yet."""
    try:
        return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_a_disk_that_fills_up_is_told_and_the_next_run_finishes(tmp_path):
    pytest.importorskip("resource", reason="limits of file sizes are a Unix thing")
    # no file can grow beyond the limit, as on a disk that is full
    limit = """
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
    """
    full = started(textwrap.dedent(limit) + textwrap.dedent(RUN), tmp_path, TOYS, 0, 200)
    _, stderr = full.communicate(timeout=120)
    assert full.returncode == 1
    assert "OutputError: the journal" in stderr.splitlines()[-1]
    with Journal(tmp_path / "journal.sqlite") as journal:
        kept = answers(journal)
    assert 0 < len(kept) < 200
    assert kept.items() <= squares(200).items()
    last = started(RUN, tmp_path, TOYS, 0, 200)
    _, stderr = last.communicate(timeout=120)
    assert last.returncode == 0, stderr
    with Journal(tmp_path / "journal.sqlite") as journal:
        assert answers(journal) == squares(200)
