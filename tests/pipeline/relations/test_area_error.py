"""The stated error of an area, beside what tokens make of outlines whose area is known."""

import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.plane import Plane
from geofovea.tiling.opening import open_scene

SIDE = 16.0
OUTLINES = 100


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """A scene without a place on the ground, so that areas are pixels."""
    path = tmp_path_factory.mktemp("plain") / "plain.png"
    with rasterio.open(path, "w", "PNG", width=32, height=32, count=1, dtype="uint8") as file:
        file.write(np.ones((1, 32, 32), np.uint8))
    return open_scene(path)


def box(rng, width, height):
    return shapely.box(-width / 2, -height / 2, width / 2, height / 2)


def turned_box(rng, width, height):
    return shapely.affinity.rotate(box(rng, width, height), rng.uniform(0, 90))


def ellipse(rng, width, height):
    round_one = shapely.affinity.scale(shapely.Point(0, 0).buffer(0.5), width, height)
    return shapely.affinity.rotate(round_one, rng.uniform(0, 90))


def seen_in_tokens(shape, share):
    """The tokens of which a shape covers at least a share."""
    x0, y0, x1, y1 = np.floor(np.array(shape.bounds) / SIDE)
    columns, rows = np.arange(x0, x1 + 1) * SIDE, np.arange(y0, y1 + 1) * SIDE
    x, y = (values.ravel() for values in np.meshgrid(columns, rows))
    cells = shapely.box(x, y, x + SIDE, y + SIDE)
    covered = shapely.area(shapely.intersection(cells, shape)) / SIDE**2
    return shapely.union_all(cells[covered >= share])


@pytest.mark.parametrize("make", [box, turned_box, ellipse])
def test_the_error_of_an_area_holds_the_truth_in_nine_of_ten_outlines_or_more(scene, make):
    rng = np.random.default_rng(7)
    within = 0
    for _ in range(OUTLINES):
        shape = make(rng, *rng.uniform(6 * SIDE, 14 * SIDE, 2))
        shape = shapely.affinity.translate(shape, *rng.uniform(18 * SIDE, 22 * SIDE, 2))
        # nobody knows which share of a token makes it one of the place
        region = seen_in_tokens(shape, rng.uniform(0.02, 0.98))
        place = LocatedPlace("pond", region, 0, SIDE, 1.0)
        area = Plane.of(scene, [place]).size("area", place)
        within += abs(area.value - shape.area) <= area.error
    assert within >= 0.9 * OUTLINES


def test_the_error_of_an_area_is_not_much_larger_than_it_has_to_be(scene):
    # where every token counts that a box touches, the area is too large by half a token all around
    rng = np.random.default_rng(3)
    shares = []
    for _ in range(OUTLINES // 4):
        shape = shapely.affinity.translate(box(rng, 160, 160), *rng.uniform(288, 320, 2))
        place = LocatedPlace("pond", seen_in_tokens(shape, 1e-9), 0, SIDE, 1.0)
        area = Plane.of(scene, [place]).size("area", place)
        shares.append(abs(area.value - shape.area) / area.error)
    assert 0.6 < np.mean(shares) < 1
