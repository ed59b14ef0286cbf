"""Confidence is compared with accuracy, by hand and by chance, and damage is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geofovea.errors import DataError
from geofovea.pipeline.answers.confidence import tempered
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.calibration import (
    SureAnswer,
    calibrate,
    fitted_temperature,
    read_confidences,
    share_interval,
)


def test_a_small_table_by_hand():
    judged = [
        SureAnswer((1, 1), 0.95, True),
        SureAnswer((1, 1), 0.85, True),
        SureAnswer((1, 2), 0.85, False),
        SureAnswer((1, 2), 0.15, False),
    ]
    found = calibrate(judged)
    # bins: [.1, .2) off by .15, [.8, .9) off by .35 with two answers, [.9, 1] off by .05
    assert found.ece == pytest.approx((0.15 + 2 * 0.35 + 0.05) / 4)
    assert found.brier == pytest.approx((0.05**2 + 0.15**2 + 0.85**2 + 0.15**2) / 4)
    assert [(b.count, b.accuracy) for b in found.bins] == [(1, 0), (2, 0.5), (1, 1)]
    assert (found.answers, found.scenes, found.accuracy) == (4, 2, 0.5)


def test_one_bin_is_the_difference_of_the_means():
    judged = [SureAnswer((1, i), c, c > 0.5) for i, c in enumerate((0.2, 0.6, 0.9))]
    found = calibrate(judged, bins=1)
    assert found.ece == pytest.approx(abs(found.confidence - found.accuracy))


def test_the_ends_of_the_scale_have_a_bin():
    found = calibrate([SureAnswer((1, 1), 0.0, False), SureAnswer((1, 1), 1.0, True)])
    assert found.ece == 0
    assert [b.low for b in found.bins] == [0, 0.9]


def test_answers_that_keep_their_word_have_little_error_and_boasts_have_much():
    rng = np.random.default_rng(3)
    sure = rng.random(20_000)
    right = rng.random(20_000) < sure
    scenes = rng.integers(50, size=20_000)
    seeds = scenes.tolist()
    honest = [SureAnswer((1, s), c, r) for s, c, r in zip(seeds, sure, right, strict=True)]
    boast = [SureAnswer(j.scene, min(1.0, j.confidence + 0.3), j.is_right) for j in honest]
    honest_found, boast_found = calibrate(honest), calibrate(boast)
    assert honest_found.ece < 0.02
    assert 0.2 < boast_found.ece < 0.31
    low, high = boast_found.ece_interval
    assert low <= boast_found.ece <= high
    assert high - low < 0.05


def test_the_temperature_of_boasts_is_found_again():
    rng = np.random.default_rng(5)
    honest = rng.uniform(0.2, 0.98, 2000)
    right = rng.random(2000) < honest
    for temperature in (0.5, 1.0, 3.0):
        told = [SureAnswer((1, 1), tempered(p, 1 / temperature), bool(r))
                for p, r in zip(honest.tolist(), right, strict=True)]  # fmt: skip
        assert fitted_temperature(told) == pytest.approx(temperature, rel=0.1)
    assert calibrate(told).temperature == fitted_temperature(told)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 4)), min_size=1, max_size=40),
    st.integers(1, 20),
)
def test_every_answer_is_in_one_bin_and_the_error_is_a_share(answers, bins):
    found = calibrate([SureAnswer((1, scene), c, r) for c, r, scene in answers], bins)
    assert sum(b.count for b in found.bins) == len(answers)
    assert 0 <= found.ece <= 1
    assert found.ece >= abs(found.confidence - found.accuracy) - 1e-9
    weighted = sum(b.count * abs(b.confidence - b.accuracy) for b in found.bins) / len(answers)
    assert found.ece == pytest.approx(weighted, abs=1e-9)


def item(**changes):
    row = {"side": 4096, "scene": 7, "method": "attention", "confidence": 0.75}
    return json.dumps(row | {"answer": "red", "truth": "red"} | changes)


@pytest.fixture
def write(tmp_path):
    def make(*lines):
        path = tmp_path / "items.jsonl"
        path.write_text("\n".join(lines))
        return path

    return make


def test_only_the_answers_of_one_method_are_read(write):
    path = write(item(), item(method="oracle"), "", item(answer="blue"))
    assert read_confidences(path, "attention") == [
        SureAnswer((4096, 7), 0.75, True),
        SureAnswer((4096, 7), 0.75, False),
    ]


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([], "holds no answer by 'attention'; the methods in it are: none"),
        ([item(method="oracle")], "the methods in it are: oracle"),
        ([item(), "{"], "line 2 of .* is not an item"),
        (["[]"], "line 1 of"),
        ([item(confidence="very")], "line 1 of"),
        ([item(confidence=1.5)], r"not in \[0, 1\]"),
        ([item(confidence=float("nan"))], r"not in \[0, 1\]"),
    ],
)
def test_what_is_no_bench_is_refused_by_line(write, lines, reason):
    with pytest.raises(DataError, match=reason):
        read_confidences(write(*lines), "attention")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_confidences(tmp_path / "nothing.jsonl", "attention")


def test_the_command_writes_a_curve_and_prints_the_error(write, tmp_path):
    path = write(item(), item(scene=8, answer="blue"))
    words = ["bench", "calibration", str(path), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "ECE 0.250 [0.250, 0.750]" in result.stdout
    with Image.open(tmp_path / "out" / "calibration.png") as picture:
        assert picture.format == "PNG"
    printed = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert printed == json.loads((tmp_path / "out" / "calibration.json").read_text())


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # scipy.stats.binomtest(right, count).proportion_ci(method="wilson")
    [(0, 1, 0.0, 0.793450), (1, 1, 0.206550, 1.0), (5, 10, 0.236593, 0.763407),
     (81, 100, 0.722212, 0.874852)],
)  # fmt: skip
def test_an_interval_of_few_answers_is_wide_and_never_empty(right, count, low, high):
    assert share_interval(right, count) == pytest.approx((low, high), abs=1e-5)
