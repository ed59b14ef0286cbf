"""The stated error of a size, beside what tokens make of outlines whose size is known."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
import shapely
import shapely.affinity

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.relations.compute import compute
from geofovea.pipeline.relations.grammar import parse_question
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


def outlined(rng, make, share=None):
    """A shape, and the place that tokens make of it; nobody knows from which share on they join."""
    sides = rng.uniform(6 * SIDE, 14 * SIDE, 2)
    shape = shapely.affinity.translate(make(rng, *sides), *rng.uniform(18 * SIDE, 22 * SIDE, 2))
    region = seen_in_tokens(shape, rng.uniform(0.02, 0.98) if share is None else share)
    return sides, shape, LocatedPlace("pond", region, 0, SIDE, 1.0)


@pytest.mark.parametrize("make", [box, turned_box, ellipse])
def test_the_error_of_an_area_holds_the_truth_in_19_of_20_outlines(scene, make):
    rng = np.random.default_rng(7)
    within = 0
    for _ in range(OUTLINES):
        _, shape, place = outlined(rng, make)
        area = Plane.of(scene, [place]).size("area", place)
        within += abs(area.value - shape.area) <= area.error
    assert within >= 0.95 * OUTLINES


@pytest.mark.parametrize("make", [box, turned_box])
def test_the_errors_of_length_and_width_hold_the_truth_in_19_of_20_outlines(scene, make):
    rng = np.random.default_rng(11)
    within = 0
    for _ in range(OUTLINES):
        sides, _, place = outlined(rng, make)
        plane = Plane.of(scene, [place])
        for measure, truth in (("length", max(sides)), ("width", min(sides))):
            number = plane.size(measure, place)
            within += abs(number.value - truth) <= number.error
    assert within >= 0.95 * 2 * OUTLINES


def test_a_few_tokens_that_stand_out_of_an_outline_make_it_no_longer(scene):
    body = shapely.box(0, 0, 10 * SIDE, 6 * SIDE)
    spur = shapely.box(4 * SIDE, 6 * SIDE, 5 * SIDE, 13 * SIDE)
    place = LocatedPlace("pond", shapely.union(body, spur), 0, SIDE, 1.0)
    plane = Plane.of(scene, [place])
    length, width = (plane.size(measure, place) for measure in ("length", "width"))
    assert (length.value, width.value) == (10 * SIDE, 6 * SIDE)
    # whether they are of it nobody knows
    assert 3 * SIDE < length.error < 3.5 * SIDE
    # what is narrow all along is as long as it is
    strip = LocatedPlace("runway", shapely.box(0, 0, 20 * SIDE, SIDE), 0, SIDE, 1.0)
    assert plane.size("length", strip).value == 20 * SIDE


def test_the_error_of_a_combined_area_holds_where_all_outlines_are_too_large_or_too_small(scene):
    rng = np.random.default_rng(5)
    question = parse_question("What is the combined area of the pond, the mill and the camp?")
    within = 0
    for _ in range(OUTLINES // 4):
        share = rng.uniform(0.02, 0.98)
        made = [outlined(rng, box, share) for _ in range(3)]
        # each in its own part of the picture, or they would be found at the same place
        places = [
            replace(place, region=shapely.affinity.translate(place.region, 1000 * number, 0))
            for number, (_, _, place) in enumerate(made)
        ]
        total = compute(question, "", places, scene).quantities[0]
        within += abs(total.value - sum(shape.area for _, shape, _ in made)) <= total.error
    assert within >= 0.9 * (OUTLINES // 4)


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
