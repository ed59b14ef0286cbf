"""A sample holds every category as often as the whole does, and is the same everywhere."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.datasets.records.sample import Collection, Sample
from geofovea.datasets.records.sampling import stratified


def collection(counts):
    return Collection(
        tuple(
            Sample(f"{name}{i}", ("a.png",), "Why?", ("x",), name)
            for name, count in counts.items()
            for i in range(count)
        )
    )


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 40), min_size=1),
    st.integers(1, 60),
    st.integers(0, 5),
)
def test_every_category_has_its_share_to_within_one(counts, count, seed):
    whole = collection(counts)
    total = len(whole.samples)
    part = stratified(whole, count, seed)
    assert len(part.samples) == min(count, total)
    drawn = Counter(sample.category for sample in part.samples)
    for name, size in counts.items():
        share = min(count, total) * size / total
        assert abs(drawn[name] - share) < 1 + 1e-9
        assert drawn[name] <= size
    ids = [sample.id for sample in whole.samples]
    places = [ids.index(sample.id) for sample in part.samples]
    assert places == sorted(set(places))


def test_a_seed_is_a_sample_and_another_one_is_another():
    whole = collection({"a": 50, "b": 50})
    first = stratified(whole, 10, 1)
    assert stratified(whole, 10, 1) == first
    assert stratified(whole, 10, 2).samples != first.samples
    assert first.notes == ("a stratified sample of 10 of 100 questions in 2 categories, seed 1",)


def test_a_file_that_is_sorted_by_category_gives_more_than_the_first():
    whole = collection({"a": 400, "b": 30, "c": 20})
    assert set(Counter(s.category for s in stratified(whole, 20).samples)) == {"a", "b", "c"}
    assert stratified(whole, 10**6) is whole


@pytest.mark.parametrize(("name", "expected"), [("a", 2), ("b", 1), ("c", 1)])
def test_what_is_left_after_rounding_goes_to_the_largest_remainders(name, expected):
    # shares of 4: 2.0, 1.2, 0.8
    drawn = Counter(s.category for s in stratified(collection({"a": 5, "b": 3, "c": 2}), 4).samples)
    assert drawn[name] == expected
