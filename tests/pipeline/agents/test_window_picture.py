"""A picture of a window has the pixels of a level, and is small whatever the window is."""

import io

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from geofovea.errors import GeometryError
from geofovea.pipeline.agents.window_picture import LARGEST_SIDE, window_picture
from geofovea.tiling.pyramid import Box

MOST_BYTES = 600 * 2**10


def decoded(picture):
    with Image.open(io.BytesIO(picture.jpeg)) as image:
        assert image.format == "JPEG"
        assert image.size == (picture.width, picture.height)
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.fixture
def session(make_session):
    return make_session()


def test_a_window_that_fits_has_native_pixels(session):
    box = Box(100, 300, 500, 600)
    picture = window_picture(session, box, 768)
    assert (picture.level, picture.enlarged, picture.box) == (0, 1, box)
    truth, _ = session.reader.read_box(box, (300, 400))
    assert np.abs(decoded(picture) - truth).mean() < 3


def test_the_whole_scene_is_shown_at_the_finest_level_that_fits(session):
    picture = window_picture(session, session.scene.box, 768)
    assert (picture.level, picture.width, picture.height) == (2, 512, 512)
    assert picture.box == session.scene.box
    assert window_picture(session, session.scene.box, 1024).level == 1


def test_a_small_window_is_enlarged_by_whole_factors(session):
    picture = window_picture(session, Box(10, 10, 50, 30), 768)
    assert (picture.width, picture.height, picture.enlarged) == (240, 120, 6)
    assert picture.level == 0


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_window_is_covered_and_bounded(session, data):
    number = st.floats(-500, 2500)
    x0, y0 = data.draw(number), data.draw(number)
    box = Box(x0, y0, x0 + data.draw(st.floats(0.1, 3000)), y0 + data.draw(st.floats(0.1, 3000)))
    side = data.draw(st.integers(16, LARGEST_SIDE))
    inside = box.intersection(session.scene.box)
    if inside is None:
        with pytest.raises(GeometryError, match="outside the scene"):
            window_picture(session, box, side)
        return
    picture = window_picture(session, box, side)
    assert max(picture.width, picture.height) <= side
    assert picture.box.intersection(inside) == inside
    assert len(picture.jpeg) <= MOST_BYTES
    step = 1 << picture.level
    assert picture.box.width <= inside.width + 2 * step
    # the next finer level would not have fitted
    finer = max(inside.width, inside.height) / (step / 2)
    assert picture.level == 0 or finer + 2 > side


def test_a_picture_of_noise_is_coarser_rather_than_too_large(make_session, tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (3, 1024, 1024)).astype("uint8")
    path = tmp_path / "noise.tif"
    shape = {"width": 1024, "height": 1024, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(path, "w", driver="GTiff", tiled=True, crs="EPSG:3857", **shape) as file:
        file.transform = rasterio.Affine(1, 0, 0, 0, -1, 0)
        file.write(noise)
    picture = window_picture(make_session(path), Box(0, 0, 1024, 1024), 1024)
    assert len(picture.jpeg) <= MOST_BYTES
    decoded(picture)


@pytest.mark.parametrize("side", [0, 15, LARGEST_SIDE + 1])
def test_sides_out_of_bounds_are_refused(session, side):
    with pytest.raises(GeometryError, match="16 to 1024"):
        window_picture(session, session.scene.box, side)
