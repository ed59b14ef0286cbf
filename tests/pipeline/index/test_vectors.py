"""Vectors in few bytes keep their cosines; what is not a unit vector is refused."""

import numpy as np
import pytest

from geofovea.errors import DataError
from geofovea.pipeline.index.vectors import StoredVectors, stored_vectors

RNG = np.random.default_rng(3)
BOUNDS = {"int8": 4e-3, "float16": 5e-4}


def unit_vectors(count, dimension=64):
    vectors = RNG.normal(size=(count, dimension)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("number_format", "bound"), BOUNDS.items())
def test_cosines_stay_what_they_were(number_format, bound):
    vectors, query = unit_vectors(500), unit_vectors(1)[0]
    stored = stored_vectors(vectors, number_format)
    assert stored.numbers.dtype == number_format
    assert np.abs(stored.cosines(query) - vectors @ query).max() < bound
    np.testing.assert_allclose(stored.restored() @ query, stored.cosines(query), atol=1e-6)


@pytest.mark.parametrize("number_format", BOUNDS)
def test_a_tile_that_shows_nothing_has_the_cosine_zero(number_format):
    stored = stored_vectors(np.zeros((2, 8), np.float32), number_format)
    assert stored.cosines(unit_vectors(1, 8)[0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("numbers", "scales"),
    [
        (np.ones((2, 4), np.float16), np.array([1, np.nan], np.float32)),
        (np.full((1, 4), np.inf, np.float16), np.ones(1, np.float32)),
        (np.full((1, 4), 100, np.int8), np.ones(1, np.float32)),
        (np.zeros((2, 4), np.int8), np.ones(3, np.float32)),
        (np.zeros((2, 4), np.float32), np.ones(2, np.float32)),
        (np.zeros(4, np.int8), np.ones(4, np.float32)),
    ],
)
def test_what_cannot_be_unit_vectors_is_refused(numbers, scales):
    with pytest.raises(DataError), np.errstate(all="ignore"):
        StoredVectors(numbers, scales)
