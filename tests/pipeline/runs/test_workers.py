"""What is said of workers agrees, or the error names what does not."""

import pytest
from click.testing import CliRunner
from run_toys import Squares

from geofovea.errors import RunError, WorkersError
from geofovea.pipeline.cli import main
from geofovea.pipeline.runs.executors.in_process import InProcessExecutor
from geofovea.pipeline.runs.executors.processes import ProcessExecutor
from geofovea.pipeline.runs.workers import Workers

CONFLICTS = [
    ({"count": 2}, "count", "--workers goes with --executor"),
    ({"item_seconds": 1.0}, "item_seconds", "--item-timeout goes with --executor"),
    ({"address": "auto"}, "address", "--address goes with --executor ray"),
]


@pytest.mark.parametrize(("wrong", "field", "words"), CONFLICTS)
def test_workers_that_contradict_each_other_are_refused(wrong, field, words):
    with pytest.raises(WorkersError) as refused:
        Workers(**wrong)
    assert refused.value.field == field
    # the words of the command line belong to the command line
    assert "--" not in str(refused.value)
    options = [
        f"--{name.replace('count', 'workers').replace('_', '-')}={v}" for name, v in wrong.items()
    ]
    line = ["batch", "x.tif", "--output", "y", "--executor", "inline", *options]
    result = CliRunner().invoke(main, line)
    assert result.exit_code == 2
    assert words in result.stderr


def test_an_executor_that_does_not_exist_is_refused():
    with pytest.raises(WorkersError, match="inline, processes, ray"):
        Workers("threads")


def test_a_time_that_is_none_is_refused_when_the_work_is_known():
    with pytest.raises(RunError, match="positive"):
        Workers("processes", 1, item_seconds=0).executor_of(Squares())


@pytest.mark.parametrize(
    ("workers", "kind"),
    [(Workers(), InProcessExecutor), (Workers("processes", 3), ProcessExecutor)],
)
def test_workers_become_the_executor_they_name(workers, kind):
    executor = workers.executor_of(Squares())
    assert isinstance(executor, kind)
    assert executor.size == workers.count
