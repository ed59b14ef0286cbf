"""Dates that lie on each other in part, or with larger pixels: what is compared and told."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.hosts.load import load_host
from geofovea.tiling import Box

DATES = ("2024-01-01", "2024-02-01", "2024-03-01")
SIDE = 300
PLACED = Affine(0.5, 0, 400_000, 0, -0.5, 5_200_000)


def painted(pixels):
    changed = pixels.copy()
    changed[:, 400:480, 600:680] = np.array([220, 30, 200])[:, None, None]
    return changed


def same(pixels):
    return pixels


def noisily_painted(pixels):
    noise = np.random.default_rng(0).integers(-2, 3, pixels.shape)
    return np.clip(painted(pixels).astype(int) + noise, 1, 255).astype(np.uint8)


def right_half_lost(pixels):
    return np.concatenate([pixels[:, :, :384], np.zeros_like(pixels[:, :, 384:])], axis=2)


@pytest.fixture
def make_dates(tmp_path, dated_paths):
    """The same day as often as functions of its pixels are given; zeros are missing."""
    with rasterio.open(dated_paths[0]) as scene:
        pixels, profile = np.maximum(scene.read(), 1), scene.profile | {"nodata": 0}

    def make(*changes):
        paths = [tmp_path / f"{number}.tif" for number in range(len(changes))]
        for path, change in zip(paths, changes, strict=True):
            with rasterio.open(path, "w", **profile) as out:
                out.write(change(pixels))
        return StackSession(make_stack(paths, DATES[: len(paths)]), load_host("embedded"))

    return make


def test_a_hole_at_one_date_does_not_hide_what_changed_between_those_around_it(make_dates):
    places = make_dates(same, right_half_lost, noisily_painted).changes()
    assert places[0].box_scene.intersection(Box(600, 400, 680, 480))
    assert places.coverage.share == 1


def test_a_thing_that_is_painted_into_a_copy_is_listed(make_dates):
    places = make_dates(same, painted).changes()
    assert places[0].box_scene.intersection(Box(600, 400, 680, 480))


def test_what_one_date_alone_shows_is_no_part_of_the_area_that_was_compared(make_dates):
    places = make_dates(same, right_half_lost).changes()
    assert places.coverage.is_complete
    assert places.coverage.share == pytest.approx(0.5, abs=0.05)
    assert "50.0% of the area" in places.coverage.text


@pytest.fixture
def warnings_of(make_tiff):
    """What is told of scenes of such transforms and sizes, the first of them the reference."""

    def warn(*grids):
        pixels = np.full((3, SIDE, SIDE), 90, np.uint8)
        paths = [
            make_tiff(pixels[:, :rows, :cols], f"{n}.tif", transform=move, crs="EPSG:32633")
            for n, (move, rows, cols) in enumerate(grids)
        ]
        return make_stack(paths, DATES[: len(paths)]).warnings

    return warn


def test_each_date_says_how_much_of_the_reference_it_covers(warnings_of):
    # two halves of which each covers its own: all three dates share no place
    right = PLACED @ Affine.translation(150, 0)
    told = warnings_of((PLACED, SIDE, SIDE), (PLACED, SIDE, 150), (right, SIDE, 150))
    assert len(told) == 2
    for name, warning in zip(("1.tif", "2.tif"), told, strict=True):
        assert warning.startswith("only 50% of ")
        assert f"{name}; the rest was not compared with it" in warning


@pytest.mark.parametrize("angle", [0, 30, 180])
@pytest.mark.parametrize(
    ("across", "down", "told"), [(2.5, 2.5, None), (4, 4, "4"), (1, 20, "20"), (8, 1, "8")]
)
def test_pixels_that_are_much_larger_have_a_sign(warnings_of, angle, across, down, told):
    center = Affine.translation(SIDE / 2, SIDE / 2)
    larger = PLACED @ center @ Affine.rotation(angle) @ Affine.scale(across, down) @ ~center
    signs = [
        w
        for w in warnings_of((PLACED, SIDE, SIDE), (larger, SIDE, SIDE))
        if w.startswith("a pixel of ")
    ]
    assert len(signs) == (told is not None)
    if told:
        assert f"1.tif is as wide as {told} of " in signs[0]
