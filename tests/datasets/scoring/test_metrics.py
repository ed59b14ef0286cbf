"""Figures are nested means over groups; intervals resample whole images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.metrics import Bootstrap, Metric, category_of, source_of


def sample(number, image, category="a", source="s"):
    return Sample(str(number), (image,), "what?", ("x",), category, source)


rows = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from("ab"), st.sampled_from("st"), st.booleans()),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=50)
@given(rows)
def test_a_figure_is_the_mean_over_groups_of_the_means_inside(rows):
    samples = [sample(i, image, c, s) for i, (image, c, s, _) in enumerate(rows)]
    right = [ok for *_, ok in rows]
    draws = Bootstrap(samples, draws=0)
    by = {}
    for _, c, s, ok in rows:
        by.setdefault(s, {}).setdefault(c, []).append(ok)
    nested = np.mean([np.mean([np.mean(x) for x in g.values()]) for g in by.values()])
    assert draws.measure(Metric("f", (source_of, category_of)), right).value == pytest.approx(
        nested
    )
    assert draws.measure(Metric("f"), right).value == pytest.approx(np.mean(right))
    only = [ok for _, _, s, ok in rows if s == "s"]
    found = draws.measure(Metric("f", (), lambda x: x.source == "s"), right)
    assert found.count == len(only)
    if only:
        assert found.value == pytest.approx(np.mean(only))


def test_a_fixed_number_of_groups_counts_missing_ones_as_zero():
    samples = [sample(0, "p", "a"), sample(1, "q", "b")]
    draws = Bootstrap(samples, draws=0)
    assert draws.measure(Metric("macro", (category_of,), groups=4), [1, 1]).value == 0.5
    assert draws.measure(Metric("macro", (category_of,)), [1, 1]).value == 1


def test_answers_about_one_image_do_not_narrow_the_interval():
    alone = [sample(i, f"{i}.tif") for i in range(40)]
    together = [sample(i, f"{i // 10}.tif") for i in range(40)]
    right = [i < 20 for i in range(40)]
    narrow = Bootstrap(alone).measure(Metric("OA"), right)
    wide = Bootstrap(together).measure(Metric("OA"), right)
    assert narrow.value == wide.value == 0.5
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_interval_of_plain_accuracy_is_that_of_the_binomial():
    samples = [sample(i, f"{i}.tif") for i in range(400)]
    found = Bootstrap(samples).measure(Metric("OA"), [i % 4 == 0 for i in range(400)])
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert found.low == pytest.approx(0.25 - half, abs=0.01)
    assert found.high == pytest.approx(0.25 + half, abs=0.01)


def test_a_difference_uses_the_same_draws_on_both_sides():
    samples = [sample(i, f"{i}.tif") for i in range(30)]
    right = [i % 2 == 0 for i in range(30)]
    found = Bootstrap(samples).difference(Metric("OA"), right, right)
    assert (found.value, found.low, found.high) == (0, 0, 0)
    better = Bootstrap(samples).difference(Metric("OA"), [True] * 30, right)
    assert better.value == 0.5
    assert 0 < better.low < 0.5 < better.high


def test_equal_seeds_give_equal_intervals():
    samples = [sample(i, f"{i}.tif") for i in range(30)]
    right = [i % 3 == 0 for i in range(30)]
    assert Bootstrap(samples, 7).measure(Metric("f"), right) == Bootstrap(samples, 7).measure(
        Metric("f"), right
    )
