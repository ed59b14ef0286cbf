"""Another light is undone, and a change does not pull the light along."""

import numpy as np
import pytest

from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.pipeline.dates.light import LitSource, ToneMap, match_tones
from geofovea.tiling import Pyramid, Tile
from geofovea.tiling.reader import TilePixels

SIDE = 128


class Shown:
    """A source of one picture, which is its own overview."""

    notes = ()

    def __init__(self, rgb, valid=None):
        self.rgb = rgb
        self.valid = np.ones(rgb.shape[:2], bool) if valid is None else valid
        self.pyramid = Pyramid(SIDE, SIDE, SIDE)

    def read(self, tile):
        return TilePixels(tile, self.rgb, self.valid, (SIDE, SIDE))

    def read_box(self, box, out_shape):
        return self.rgb, self.valid


@pytest.fixture(scope="module")
def ground():
    return render_window(make_dated_world(2, 2048, 2048, 0), 4, 0, 0, SIDE, SIDE)


def tones_of(reference, other):
    return match_tones(*(source.read(source.pyramid.overview) for source in (reference, other)))


def lit(rgb, gain, offset=0.0):
    return np.clip(rgb * gain + offset + 0.5, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(("gain", "offset"), [(1.15, 0), (0.7, 20), (1.0, -12)])
def test_light_is_undone(ground, gain, offset):
    other = Shown(lit(ground, gain, offset))
    tones = tones_of(Shown(ground), other)
    np.testing.assert_allclose(tones.gains, 1 / gain, rtol=0.05)
    undone = LitSource(other, tones).read(Tile(0, 0, 0)).rgb.astype(int)
    # what became white cannot be undone
    is_graded = other.rgb < 255
    assert np.percentile(np.abs(undone - ground)[is_graded], 95) <= 3


def test_a_quarter_that_changed_does_not_change_the_light(ground):
    changed = lit(ground, 1.2)
    changed[:64, :64] = (250, 20, 20)
    tones = tones_of(Shown(ground), Shown(changed))
    np.testing.assert_allclose(tones.gains, 1 / 1.2, rtol=0.05)


def test_one_light_stays_as_it_is(ground):
    assert tones_of(Shown(ground), Shown(ground)).is_identity


@pytest.mark.parametrize("seed", range(3))
def test_scenes_that_have_nothing_in_common_stay_as_they_are(ground, seed):
    noise = np.random.default_rng(seed).integers(0, 256, ground.shape, dtype=np.uint8)
    tones = tones_of(Shown(ground), Shown(noise))
    assert tones == ToneMap()


def test_too_little_in_common_changes_nothing_and_missing_pixels_stay_gray(ground):
    valid = np.zeros((SIDE, SIDE), bool)
    valid[0, :40] = True
    other = Shown(lit(ground, 1.3), valid)
    assert tones_of(Shown(ground), other) == ToneMap()
    shown = LitSource(other, ToneMap((2.0,) * 3)).read(Tile(0, 0, 0))
    assert (shown.rgb[~valid] == 128).all()
