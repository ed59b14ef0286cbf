"""Ray actors: a killed one loses nothing, and what could never be scheduled is refused."""

import json
import os
import subprocess
import sys
import warnings
from collections import Counter

import pytest
from repository import TOYS
from run_toys import Squares, items

from geofovea.errors import MissingExtraError, RunError
from geofovea.pipeline.runs.executors.ray import RayExecutor
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.runner import run_items

try:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
except ImportError:
    ray = None

needs_ray = pytest.mark.skipif(ray is None, reason="ray is not installed: geofovea[ray]")
pytestmark = [
    pytest.mark.slow,
    # of Ray's own making
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


@pytest.fixture(scope="module")
def cluster():
    """A local Ray of two CPUs, whose workers find this package and these toys."""
    paths = [str(TOYS), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield
    ray.shutdown()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def answers(journal):
    rows = journal.entries("c").items()
    return {int(k.question[:-1]): json.loads(e.record)["square"] for k, e in rows if e.record}


@needs_ray
def test_killed_actors_lose_nothing_and_do_nothing_twice(cluster, journal, tmp_path):
    # an actor that kills its own process with SIGKILL looks from outside like one on a lost node
    work = Squares(tmp_path / "notes", {3: "killed once", 17: "killed once", 9: "bad"})
    counts = run_items(items(24, groups=4), journal, RayExecutor(2, work))
    assert (counts.answered, counts.failed, counts.deaths, counts.remaining) == (23, 1, 2, 0)
    assert answers(journal) == {n: n**2 for n in range(24) if n != 9}
    assert Counter(work.worked_on()) == Counter([*range(24), 3, 17])
    again = run_items(items(24, groups=4), journal, RayExecutor(2, work))
    assert (again.earlier, again.answered) == (24, 0)


OF_ITS_OWN = """
import sys
from pathlib import Path
from run_toys import Squares, items
from geofovea.pipeline.runs.journal import Journal
from geofovea.pipeline.runs.executors.ray import RayExecutor
from geofovea.pipeline.runs.runner import run_items
folder = Path(sys.argv[1])
work = Squares(folder / "notes", {1: "killed once"}, seconds=0.3)
with Journal(folder / "journal.sqlite") as journal:
    counts = run_items(items(9), journal, RayExecutor(2, work))
print(counts.answered, counts.deaths)
"""


@needs_ray
def test_standard_output_is_left_to_results_when_an_actor_dies(tmp_path):
    paths = [str(TOYS), *sys.path]
    command = [sys.executable, "-W", "ignore", "-c", OF_ITS_OWN, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stdout == "9 1\n", done.stderr
    # Ray's own word on it is not lost
    assert "died" in done.stderr


@needs_ray
def test_an_actor_at_an_item_that_never_ends_is_killed_and_the_others_go_on(
    cluster, journal, tmp_path
):
    work = Squares(tmp_path / "notes", {5: "hangs"})
    executor = RayExecutor(2, work, item_seconds=8)
    counts = run_items(items(12, groups=2), journal, executor)
    assert (counts.answered, counts.failed, counts.deaths, counts.overdue) == (11, 1, 0, 1)
    assert answers(journal) == {n: n**2 for n in range(12) if n != 5}
    assert Counter(work.worked_on()) == Counter(range(12))


@needs_ray
def test_actors_for_all_cpus_do_not_wait_for_each_other(cluster, journal):
    assert run_items(items(6), journal, RayExecutor(2, Squares(), cpus=1)).answered == 6


@needs_ray
@pytest.mark.parametrize("asked", [{"cpus": 1.5}, {"gpus": 1}])
def test_what_could_never_be_scheduled_is_refused(cluster, journal, asked):
    with pytest.raises(RunError, match="ask for fewer workers"):
        run_items(items(6), journal, RayExecutor(2, Squares(), **asked))


@needs_ray
def test_an_actor_that_is_not_scheduled_in_time_ends_the_run(cluster, journal):
    taken = ray.remote(Squares).options(num_cpus=2).remote()
    ray.get(taken.__ray_ready__.remote())
    with pytest.raises(RunError, match="not ready after 2 s"):
        run_items(items(6), journal, RayExecutor(1, Squares(), start_seconds=2))
    ray.kill(taken)
    assert run_items(items(6), journal, RayExecutor(1, Squares())).answered == 6


@needs_ray
@pytest.mark.parametrize(
    ("error", "words"), [("no such model", "no such model"), ("killed", "3 workers died")]
)
def test_actors_that_cannot_begin_end_the_run(cluster, journal, error, words):
    with pytest.raises(RunError, match=words):
        run_items(items(6), journal, RayExecutor(2, Squares(open_error=error)))


@pytest.mark.skipif(ray is not None, reason="ray is installed")
def test_without_ray_the_command_to_install_it_is_told():
    with pytest.raises(MissingExtraError, match=r"pip install 'geofovea\[ray\]'"):
        RayExecutor(2, Squares())
