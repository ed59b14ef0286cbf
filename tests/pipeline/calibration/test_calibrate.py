"""A calibration finds the layer that points, goes on where it stopped, and stays in its budget."""

import json

import pytest
import torch
from pipeline_toys import load_anew

from geofovea.errors import BudgetError, DataError, ModelError, OutputError
from geofovea.pipeline.calibration.calibrate import (
    JOURNAL,
    CalibrationBudget,
    calibrate,
    calibration_samples,
)
from geofovea.pipeline.calibration.candidates import UNCALIBRATED, ModeScore, choose_mode
from geofovea.pipeline.calibration.idle_layers import write_with_idle_layers
from geofovea.pipeline.calibration.pointing import hits_of, mean_interval
from geofovea.pipeline.hosts.load import embedded_model_path, load_host
from geofovea.regionfocus.attention_mode import AttentionMode

SMALL = CalibrationBudget(looks=2)
ABOUT = {"model": "toy"}


@pytest.fixture(scope="module")
def host():
    return load_host("embedded", "cpu")


@pytest.fixture(scope="module")
def measured(host, tmp_path_factory):
    """A calibration of the embedded model, and its folder."""
    folder = tmp_path_factory.mktemp("calibration")
    return calibrate(host, folder, SMALL, ABOUT), folder


def test_the_layer_that_was_taught_to_point_is_found(measured, host):
    result, _ = measured
    assert result.ranking.best_layers("relative")[0] == 2
    assert result.ranking.best_layers("raw")[0] == 2
    assert 2 in result.mode.layers
    assert set(result.report) == set(result.choice)
    assert 0 <= result.accuracy()[1] <= result.accuracy()[0] <= result.accuracy()[2] <= 1
    assert host.attention_mode.layers == (2,), "the host itself stays as it is"


def test_a_calibration_that_was_killed_goes_on_and_comes_to_the_same(measured, host, tmp_path):
    result, folder = measured
    lines = (folder / JOURNAL).read_text("utf-8").splitlines(keepends=True)
    assert len(lines) == 1 + 6
    (tmp_path / JOURNAL).write_text("".join(lines[:4]) + lines[4][: len(lines[4]) // 2])
    again = calibrate(host, tmp_path, SMALL, ABOUT)
    assert (again.chosen, again.mode, again.tokens) == (result.chosen, result.mode, result.tokens)
    assert again.report == result.report
    assert again.choice == result.choice


def test_a_finished_calibration_is_read_and_not_measured_again(measured, host):
    result, folder = measured
    closed = host.with_attention(AttentionMode((2,), correction="raw"), _refuse)
    assert calibrate(closed, folder, SMALL, ABOUT).report == result.report


def _refuse(*_):
    raise AssertionError("nothing is left to be read")


def test_looks_are_not_begun_beyond_the_tokens(host, tmp_path):
    first = calibration_samples(host).sample(0)
    # once as a whole, and twice in halves
    cost = 3 * len(first.tokens)
    budget = CalibrationBudget(looks=2, tokens=cost + 1)
    with pytest.raises(BudgetError, match=r"1 of \d+ are left: allow more with tokens="):
        calibrate(host, tmp_path, budget, ABOUT)
    journal = (tmp_path / JOURNAL).read_text("utf-8").splitlines()
    spent = sum(json.loads(line)["tokens"] for line in journal[1:])
    assert spent == cost


def test_a_calibration_that_is_out_of_time_says_how_to_go_on(host, tmp_path):
    budget = CalibrationBudget(looks=2, seconds=1e-9)
    with pytest.raises(BudgetError, match="run the same command again to continue"):
        calibrate(host, tmp_path, budget, ABOUT)


def test_a_journal_of_another_model_is_refused(measured, host):
    _, folder = measured
    with pytest.raises(DataError, match="another calibration") as refused:
        calibrate(host, folder, SMALL, {"model": "other"})
    # what differs, and nothing else
    assert "(model toy there, other here): name another folder" in str(refused.value)
    with pytest.raises(
        DataError, match=r"\(looks 2 there, 3 here; dtype none there, bfloat16 here"
    ):
        calibrate(host, folder, CalibrationBudget(looks=3), ABOUT | {"dtype": "bfloat16"})


@pytest.mark.parametrize("text", ["[]\n", "{}\n7\n", "x\n{}\n", '{}\n{"hits": 1}\n'])
def test_a_damaged_journal_is_refused(host, tmp_path, text):
    (tmp_path / JOURNAL).write_text(text)
    with pytest.raises(DataError):
        calibrate(host, tmp_path, SMALL, ABOUT)


def test_a_journal_that_is_no_text_is_refused(host, tmp_path):
    (tmp_path / JOURNAL).write_bytes(b"\xff\xfe\n")
    with pytest.raises(OutputError, match="cannot be read"):
        calibrate(host, tmp_path, SMALL, ABOUT)


def test_a_host_without_attention_is_refused(host, tmp_path):
    with pytest.raises(ModelError, match="no attention that could be calibrated"):
        calibrate(host.with_attention(AttentionMode((99,))), tmp_path, SMALL, ABOUT)


@pytest.mark.parametrize("limits", [{"looks": 1}, {"tokens": 0}, {"seconds": 0.0}])
def test_a_budget_by_which_nothing_can_be_measured_is_refused(limits):
    with pytest.raises(BudgetError, match="at least two looks"):
        CalibrationBudget(**limits)


@pytest.mark.parametrize("place", [3, 5])
def test_one_good_layer_among_idle_ones_is_found(tmp_path, place):
    write_with_idle_layers(
        embedded_model_path(), tmp_path, good_layer=2, place=place, depth=7, seed=place
    )
    toy = load_anew(tmp_path)
    assert toy.focus_origin == "default"
    result = calibrate(toy, tmp_path, SMALL, ABOUT)
    assert result.ranking.best_layers("relative")[0] == place
    assert place in result.mode.layers


def test_idle_layers_change_no_answer(host, tmp_path):
    write_with_idle_layers(embedded_model_path(), tmp_path, good_layer=2, place=4, depth=7, seed=1)
    toy = load_anew(tmp_path)
    sample = calibration_samples(host).sample(1)
    for question in sample.questions[:3]:
        assert (
            toy.generate(question, sample.tokens).text
            == host.generate(question, sample.tokens).text
        )
    with pytest.raises(DataError, match="cannot be number 1"):
        write_with_idle_layers(
            embedded_model_path(), tmp_path, good_layer=2, place=1, depth=7, seed=1
        )


def scores(**accuracies):
    """Modes by name, with how many of a hundred questions each hits."""
    return {
        name: ModeScore(
            AttentionMode(
                tuple(range(name.count("layer") + 1)),
                correction="relative" if "relative" in name else "raw",
                halvings=name.count("halved"),
            ),
            ((1,) * hits + (0,) * (100 - hits),),
        )
        for name, hits in accuracies.items()
    }


@pytest.mark.parametrize(
    ("accuracies", "chosen"),
    [
        ({"relative": 80, "raw": 80}, "relative"),
        ({"relative": 80, "raw": 86}, "relative"),
        ({"relative": 60, "raw": 86}, "raw"),
        ({"relative": 60, "relative_2": 70, "raw": 50}, "relative_2"),
        ({"relative": 70, "relative_layer": 72}, "relative"),
        ({"relative": 70, "relative_layer": 74}, "relative_layer"),
        ({"relative_layer": 70, "relative_halved": 72}, "relative_layer"),
        ({"relative": 98, "relative_layer": 100, "raw": 100}, "relative"),
        ({"relative_layer": 70, "relative_halved": 74}, "relative_halved"),
    ],
)
def test_the_robust_and_cheap_mode_is_taken_unless_another_is_clearly_better(accuracies, chosen):
    assert choose_mode(scores(**accuracies)) == chosen


def test_what_is_hit_is_this():
    right = torch.tensor([True, False, False])
    table = torch.tensor([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.4, 0.4, 0.2], [1.0, 1.0, 1.0]])
    assert hits_of(table, right).tolist() == [True, False, False, False]


def test_an_interval_holds_its_mean_and_looks_are_resampled_whole():
    assert mean_interval([(1, 1), (1,)]) == (1, 1, 1)
    value, low, high = mean_interval([(1, 1, 1, 1), (0, 0, 0, 0)])
    assert (value, low, high) == (0.5, 0, 1)


def test_the_mode_without_calibration_is_among_the_candidates(measured):
    assert UNCALIBRATED in measured[0].report
