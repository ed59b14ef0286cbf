"""Drawings stay on their canvas, and no two kinds look alike."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.sprites import sprite, sprite_box
from geofovea.datasets.synthetic.vocabulary import COLORS, SHAPES, STATUSES, THINGS
from geofovea.datasets.synthetic.world import Hall, Thing

few = settings(deadline=None, max_examples=80)

places = st.integers(-(10**6), 10**6)
angles = st.floats(0, 360)
things = st.builds(
    Thing,
    st.sampled_from(THINGS),
    st.sampled_from(sorted(COLORS)),
    st.sampled_from(STATUSES),
    places,
    places,
    st.integers(14, 26),
    angles,
)
halls = st.builds(Hall, st.sampled_from(SHAPES), places, places, st.integers(26, 34), angles)


@few
@given(things | halls)
def test_the_box_of_a_sprite_is_known_without_drawing_it(item):
    picture, box = sprite(item), sprite_box(item)
    assert (picture.x0, picture.y0) == (box.x0, box.y0)
    assert picture.rgba.shape == (box.height, box.width, 4)
    assert box.center == (item.x, item.y)
    assert item.box.share_inside(box) == 1


@few
@given(things | halls)
def test_nothing_is_cut_off_at_the_border_of_the_canvas(item):
    alpha = sprite(item).rgba[..., 3]
    assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) == 0


@few
@given(things | halls)
def test_color_is_premultiplied_by_coverage(item):
    rgba = sprite(item).rgba.astype(int)
    assert (rgba[..., :3].max(-1) <= rgba[..., 3] + 1).all()
    assert rgba[..., 3].max() == 255


@few
@given(things | halls, angles)
def test_turning_a_drawing_keeps_its_area(item, angle):
    turned = replace(item, angle=angle)
    before, after = (int(sprite(each).rgba[..., 3].sum()) for each in (item, turned))
    # the shadow always falls to the lower right, so a little of the outline changes
    assert after == pytest.approx(before, rel=0.25)


def silhouettes(items):
    return [sprite(item).rgba[..., 3] > 127 for item in items]


def least_difference(items):
    """The smallest part, of all pairs, of the joint silhouette that is not common to both."""
    pairs = itertools.combinations(silhouettes(items), 2)
    return min((one ^ other).sum() / (one | other).sum() for one, other in pairs)


@pytest.mark.parametrize("angle", [0, 30, 200])
def test_no_two_kinds_and_no_two_plans_look_alike(angle):
    kinds = [Thing(kind, "red", "parked", 0, 0, 20, angle) for kind in THINGS]
    plans = [Hall(shape, 0, 0, 30, angle) for shape in SHAPES]
    assert least_difference(kinds) > 0.2
    assert least_difference(plans) > 0.2


@pytest.mark.parametrize("kind", THINGS)
def test_a_mean_of_the_drawing_is_no_darker_than_the_drawing(kind):
    rgba = sprite(Thing(kind, "white", "parked", 0, 0, 20, 0)).rgba.astype(float)
    inside = rgba[rgba[..., 3] == 255][:, :3].mean()
    assert rgba[..., :3].sum() / rgba[..., 3].sum() / 3 * 255 == pytest.approx(inside, rel=0.08)
    assert np.unique(rgba[rgba[..., 3] == 0]).tolist() == [0]
