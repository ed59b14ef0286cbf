"""A log is what was written, and forgets what a killed run does again."""

from pathlib import Path

import pytest

from geofovea.errors import OutputError
from geofovea.pipeline.training.run_log import RunLog, StepMeans, distillation_log, training_log


@pytest.fixture
def log(tmp_path):
    return RunLog(tmp_path / "log.jsonl")


def test_records_come_back_oldest_first(log):
    records = [{"step": 2, "loss": 0.5}, {"step": 4, "held_out": {"mass": 0.25}}]
    assert [log.append(record) for record in records] == records
    assert log.read() == records


def test_a_run_that_has_logged_nothing_has_no_records_and_no_file(log):
    log.forget_beyond(3)
    assert log.read() == []
    assert not log.path.exists()


@pytest.mark.parametrize("torn", ['{"step": 4, "lo', "7", "{}", '{"step": null}'])
def test_steps_that_are_taken_again_and_torn_lines_are_forgotten(log, torn):
    for step in (1, 2, 3):
        log.append({"step": step})
    with log.path.open("a") as file:
        file.write(torn)
    log.forget_beyond(2)
    assert log.read() == [{"step": 1}, {"step": 2}]
    log.append({"step": 3})
    assert [record["step"] for record in log.read()] == [1, 2, 3]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_told_in_words():
    with pytest.raises(OutputError, match=r"/dev/full could not .* No space .* same command"):
        RunLog(Path("/dev/full")).append({"step": 1})


def test_a_log_of_which_all_is_forgotten_has_no_file(log):
    log.append({"step": 1})
    log.forget_beyond(0)
    assert log.read() == []
    # an empty line would be the first of the next log
    assert not log.path.exists()


def test_the_logs_of_the_two_kinds_of_runs_do_not_mix(tmp_path):
    assert training_log(tmp_path).path != distillation_log(tmp_path).path


def test_a_line_has_the_means_of_the_steps_since_the_line_before():
    means = StepMeans()
    for step in ({"loss": 1.0, "band": 0.2}, {"loss": 2.0}, {"loss": 6.0, "band": 0.6}):
        means.add(step)
    # hidden bands have no loss, and lower no mean
    assert means.taken() == {"loss": 3.0, "band": 0.4}
    means.add({"loss": 1 / 3})
    assert means.taken() == {"loss": 0.3333}
    assert means.taken() == {}
