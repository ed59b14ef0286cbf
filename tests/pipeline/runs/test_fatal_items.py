"""An item that ends its process is given up, and keeps no other from being answered and written."""

import json
import subprocess
import sys
import textwrap

import pytest
from repository import TOYS
from run_toys import Squares, items

from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.runner import run_items

RUN = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[2])
    from run_toys import Choir, Squares, items
    from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
    from geofovea.pipeline.runs.journal import Journal
    from geofovea.pipeline.runs.runner import run_items
    folder, end, kind = Path(sys.argv[1]), sys.argv[3], {"alone": Squares, "together": Choir}
    work = kind[sys.argv[4]](folder / "notes", {3: end})
    if __name__ == "__main__":
        with Journal(folder / "journal.sqlite") as journal:
            run_items(items(8, groups=2), journal, InProcessExecutor(work), batch_size=4)
        (folder / "results").write_text("written")
"""


def run(folder, end, way):
    script = folder / "run.py"
    script.write_text(textwrap.dedent(RUN))
    command = [sys.executable, "-W", "ignore", script, folder, TOYS, end, way]
    return subprocess.run(list(map(str, command)), capture_output=True, check=False, timeout=300)


def ends(path):
    with Journal(path) as journal:
        return {int(k.question[:-1]): e for k, e in journal.entries("c").items()}


@pytest.mark.parametrize(
    ("end", "way"),
    [
        ("left", "alone"),
        ("killed", "together"),
        pytest.param("crashes", "together", marks=pytest.mark.slow),
        pytest.param("left", "together", marks=pytest.mark.slow),
    ],
)
def test_the_run_after_one_that_died_answers_all_others_and_gives_the_item_up(tmp_path, end, way):
    assert run(tmp_path, end, way).returncode != 0
    assert not (tmp_path / "results").exists()
    second = run(tmp_path, end, way)
    assert second.returncode == 0, second.stderr
    assert (tmp_path / "results").exists()
    found = ends(tmp_path / "journal.sqlite")
    assert {n: e.state for n, e in found.items() if n != 3} == {
        n: "answered" for n in range(8) if n != 3
    }
    assert found[3].state == "failed"
    assert found[3].error.startswith("RunError: the worker died over it 3 times")


@pytest.mark.parametrize("executor_of", [InProcessExecutor, lambda work: ProcessExecutor(1, work)])
@pytest.mark.parametrize(("end", "words"), [("panics", "never mind"), ("quits", "SystemExit: 5")])
def test_what_is_no_exception_is_a_failure_like_any_other(tmp_path, executor_of, end, words):
    with Journal(tmp_path / "journal.sqlite") as journal:
        work = Squares(tmp_path / "notes", {2: end})
        counts = run_items(items(5), journal, executor_of(work))
    assert (counts.answered, counts.failed, counts.deaths) == (4, 1, 0)
    found = ends(tmp_path / "journal.sqlite")[2]
    assert found.error.startswith("ModelError: a library gave up: ")
    assert words in found.error


def test_a_panic_in_a_batch_is_the_failure_of_its_question_alone():
    from geofovea.pipeline.engine.cooperative import run_together

    class Panic(BaseException):
        pass

    def panics(ask):
        raise Panic("never mind")

    found = run_together(
        [lambda ask: ask(1), panics, lambda ask: ask(2)], lambda needs: dict(enumerate(needs))
    )
    assert found[0] == 1
    assert found[2] == 2
    assert "Panic: never mind" in str(found[1])


def test_a_group_that_only_ends_workers_is_given_up_and_others_are_answered(tmp_path):
    trouble = dict.fromkeys(range(12), "left")
    with Journal(tmp_path / "journal.sqlite") as journal:
        work = Squares(tmp_path / "notes", trouble)
        counts = run_items(items(15, groups=1)[:12], journal, ProcessExecutor(1, work), max_tries=2)
    assert (counts.failed, counts.deaths) == (12, 4)
    errors = {e.error for e in ends(tmp_path / "journal.sqlite").values()}
    assert "RunError: not tried: workers died 4 times over others about the same" in errors


def test_what_a_stopped_run_had_in_hand_is_no_suspect(tmp_path):
    path = tmp_path / "journal.sqlite"
    work = Squares(tmp_path / "notes", {0: "bad", 5: "hangs"})
    with Journal(path) as journal:
        counts = run_items(items(10, groups=2), journal, ProcessExecutor(2, work), max_failures=1)
        assert counts.stopped
        states = {e.state for e in journal.entries("c").values()}
    assert "begun" not in states


def test_a_full_disk_leaves_no_suspect_either(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as journal:
        with pytest.raises(Exception, match="no room for levels"):
            run_items(items(4), journal, InProcessExecutor(Squares(trouble={1: "full"})))
        assert {e.state for e in journal.entries("c").values()} == {"answered"}
        assert json.loads(next(iter(journal.entries("c").values())).record)["square"] == 0
