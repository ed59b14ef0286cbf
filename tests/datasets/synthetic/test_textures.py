"""Textures repeat without a seam, and their coarse levels are the means of the fine ones."""

import itertools

import numpy as np
import pytest

from geofovea.datasets.synthetic.textures import material
from geofovea.datasets.synthetic.vocabulary import FILLER_SITES, SITES, SURFACES, TERRAINS

GROUNDS = (*SITES, *FILLER_SITES)
ALL = (*TERRAINS, *GROUNDS, *SURFACES, "road", "apron", "frame")


@pytest.mark.parametrize("name", ALL)
def test_each_level_is_the_mean_of_the_native_texture(name):
    pyramid = material(name)
    native = pyramid[0].astype(float)
    assert [level.shape for level in pyramid] == [(512 >> n, 512 >> n, 3) for n in range(10)]
    for number, level in enumerate(pyramid):
        step = 1 << number
        mean = native.reshape(len(level), step, len(level), step, 3).mean((1, 3))
        # both were rounded, and a few extremes of the native one were cut off at 0 and 255
        assert np.abs(level - mean).max() <= 3, number


@pytest.mark.parametrize("name", ALL)
def test_the_texture_has_no_seam(name):
    native = material(name)[0].astype(int)
    for axis in (0, 1):
        steps = np.abs(native - np.roll(native, 1, axis)).mean((1 - axis, 2))
        assert steps[0] <= steps[1:].max() + 1  # the step from the last line to the first


def test_a_material_is_the_same_every_time():
    kept = material("urban")[0].copy()
    material.cache_clear()
    assert (material("urban")[0] == kept).all()


def test_no_two_grounds_have_the_same_color_from_afar():
    means = {name: material(name)[-1][0, 0].astype(int) for name in SITES}
    for one, other in itertools.combinations(SITES, 2):
        assert np.abs(means[one] - means[other]).max() >= 20, (one, other)


def test_an_unknown_material_is_a_key_error():
    with pytest.raises(KeyError, match="lava"):
        material("lava")
