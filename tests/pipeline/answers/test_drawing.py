"""Scale, north, lengths and places of the picture agree with an independent reckoning."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Geod, Transformer
from rasterio.crs import CRS
from rasterio.transform import Affine

from geofovea.pipeline.answers.drawing.ground import (
    evidence_text,
    gsd_of,
    length_text,
    level_text,
    north_of,
    place_text,
    size_text,
)
from geofovea.pipeline.answers.drawing.layout import CAPTION_HEIGHT, arranged
from geofovea.pipeline.answers.drawing.marks import nice_length
from geofovea.pipeline.answers.drawing.places import bounds_of, framed, touching
from geofovea.pipeline.answers.drawing.theme import PAGE_WIDTH, fitted, font_for, wrapped
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.geo.ground import place_wkt
from geofovea.tiling.pyramid import Box


class Scene:
    """What lies on the ground, without a file."""

    path = "made.tif"

    def __init__(self, epsg, affine, width=1000, height=800):
        wkt = place_wkt(CRS.from_epsg(epsg)) if epsg else None
        values = tuple(affine)[:6] if affine else None
        self.georeference = Georeference("affine" if affine else "none", wkt, values)
        self.box = Box(0, 0, width, height)


UTM = Affine(10, 0, 500_000, 0, -10, 5_400_000)
TURNED = UTM @ Affine.rotation(30)
NOWHERE = Scene(None, None)


@pytest.mark.parametrize(
    ("meters", "text"),
    [(0.05, "5 cm"), (0.5, "50 cm"), (0.9999, "1 m"), (1, "1 m"), (2.5, "2.5 m"), (32, "32 m"),
     (953, "953 m"), (1000, "1 km"), (1280, "1.3 km"), (20_500, "20 km"), (503_000, "503 km"),
     (12_345_678, "12,346 km")],
)  # fmt: skip
def test_lengths_are_said_in_the_unit_that_people_use(meters, text):
    assert length_text(meters) == text


@pytest.mark.parametrize(
    ("level", "gsd", "text"), [(0, 0.5, "50 cm/px"), (3, 0.5, "4 m/px"), (0, None, "1:1"),
                               (5, None, "1:32")],
)  # fmt: skip
def test_levels_are_meters_per_pixel_or_ratios(level, gsd, text):
    assert level_text(level, gsd) == text


@given(st.floats(1e-3, 1e9))
def test_a_scale_bar_is_one_two_or_five_and_fills_most_of_its_room(most):
    length = nice_length(most)
    assert most * 0.399 < length <= most * (1 + 1e-6)
    digit = length / 10 ** math.floor(math.log10(length) + 1e-9)
    assert min(abs(digit - d) for d in (1, 2, 5, 10)) < 1e-6


@pytest.mark.parametrize(
    ("epsg", "affine"),
    [(32633, UTM), (32633, TURNED), (3857, UTM), (4326, Affine(1e-3, 0, 15, 0, -1e-3, 50))],
)
def test_north_is_where_latitude_grows(epsg, affine):
    scene = Scene(epsg, affine)
    dx, dy = north_of(scene, scene.box)
    to_lonlat = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    x, y = scene.box.center
    lon0, lat0 = to_lonlat(*(affine @ (x, y)))
    lon1, lat1 = to_lonlat(*(affine @ (x + 20 * dx, y + 20 * dy)))
    azimuth, _, _ = Geod(ellps="WGS84").inv(lon0, lat0, lon1, lat1)
    assert azimuth == pytest.approx(0, abs=0.2)
    assert math.hypot(dx, dy) == pytest.approx(1)


def test_there_is_no_way_north_without_a_place_and_around_a_pole():
    assert north_of(NOWHERE, NOWHERE.box) is None
    pole = Scene(3413, Affine(1000, 0, -500_000, 0, -1000, 400_000))
    assert north_of(pole, pole.box) is None


def test_meters_are_given_only_where_they_hold_all_over_a_box():
    world = Scene(4326, Affine(0.36, 0, -180, 0, -0.225, 90))
    assert gsd_of(world, world.box) is None
    assert gsd_of(world, Box(500, 400, 510, 405)) is not None
    assert gsd_of(Scene(32633, UTM), Scene(32633, UTM).box) == pytest.approx(10)


def test_places_and_sizes_are_said_on_the_ground_and_else_in_pixels():
    scene, box = Scene(32633, UTM), Box(100, 100, 200, 140)
    lon, lat = Transformer.from_crs(32633, 4326, always_xy=True).transform(*(UTM @ box.center))
    assert place_text(scene, box) == f"{lat:.5f}° N, {lon:.5f}° E"
    assert size_text(scene, box) == "1 km x 400 m"
    assert evidence_text(scene, box).startswith(f"{lat:.5f}° N, {lon:.5f}° E, 1 km x 400 m (pixels")
    assert place_text(NOWHERE, box) is None
    assert size_text(NOWHERE, box) == "100 x 40 px"
    assert evidence_text(NOWHERE, box) == "pixels x 100-200, y 100-140"
    south = Scene(32733, Affine(10, 0, 500_000, 0, -10, 7_000_000))
    assert "° S" in place_text(south, box)


@given(st.floats(1e-3, 1e3), st.integers(0, 3))
def test_panels_never_overlap_nor_leave_the_page(aspect, others):
    layout = arranged(aspect, others, 200)
    frames = [layout.scene, *layout.others]
    for frame in frames:
        assert 0 < frame.left < frame.right <= PAGE_WIDTH
        assert frame.left + (0 if frame.is_beside else frame.slot) <= PAGE_WIDTH
        assert 200 <= frame.top < frame.bottom <= layout.bottom
        assert frame.width >= 40
        assert frame.height >= 40
    for i, one in enumerate(frames):
        for other in frames[i + 1 :]:
            apart_x = one.left + max(one.width, one.slot) <= other.left
            apart_y = one.bottom + CAPTION_HEIGHT <= other.top
            assert apart_x or apart_y


BOXES = st.builds(
    lambda x, y, w, h: Box(x, y, x + w, y + h),
    st.floats(0, 900), st.floats(0, 700), st.floats(1, 100), st.floats(1, 100),
)  # fmt: skip


@given(st.lists(BOXES, min_size=1, max_size=6), st.floats(0.2, 5))
def test_a_frame_holds_its_boxes_and_stays_on_the_scene(boxes, aspect):
    limits = Box(0, 0, 1000, 800)
    view = framed(boxes, aspect, limits)
    assert all(box.share_inside(view) == pytest.approx(1) for box in boxes)
    assert view.share_inside(limits) == pytest.approx(1)
    if view.width < 1000 and view.height < 800:
        assert view.width / view.height == pytest.approx(aspect)


@given(st.lists(BOXES, max_size=8))
def test_groups_hold_every_box_once_and_none_touches_another(boxes):
    groups = touching(boxes)
    assert sorted(b.as_tuple() for g in groups for b in g) == sorted(b.as_tuple() for b in boxes)
    for i, one in enumerate(groups):
        for other in groups[i + 1 :]:
            assert all(a.intersection(b) is None for a in one for b in other)
    if groups:
        assert bounds_of(groups[0]).area > 0


@given(st.text(max_size=200), st.integers(60, 900), st.integers(1, 4))
def test_words_keep_to_their_room_and_lines(text, room, most):
    lines = wrapped(text, 22, room, most)
    assert len(lines) <= most
    for line in lines:
        assert font_for(line, 22).getlength(line) <= room + 22
    assert "\n" not in fitted(text, 22, room)
