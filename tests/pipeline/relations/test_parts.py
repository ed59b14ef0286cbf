"""Where the halves and quarters of a scene lie, beside boxes by hand."""

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.transform import Affine

from geofovea.errors import GeometryError, QuestionError
from geofovea.pipeline.relations.parts import ScenePart, split_part
from geofovea.tiling.arrays.scene import open_array
from geofovea.tiling.geo.region import Region
from geofovea.tiling.opening import open_scene

UP, TURNED = (
    Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000),
    Affine(0, -0.5, 500_000, -0.5, 0, 5_400_000),
)


@pytest.fixture(scope="module")
def placed(tmp_path_factory):
    """A scene of 400 x 200 pixels on the central meridian of its zone, by its transform."""

    def make(transform):
        path = tmp_path_factory.mktemp("parts") / "scene.tif"
        size = {"width": 400, "height": 200, "count": 1, "dtype": "uint8"}
        where = {"crs": "EPSG:32633", "transform": transform}
        with rasterio.open(path, "w", driver="GTiff", **size, **where) as file:
            file.write(np.ones((1, 200, 400), np.uint8))
        return open_scene(path)

    return make


@pytest.mark.parametrize(
    ("directions", "upright", "turned"),
    [
        # in the turned scene, right is south and down is west
        (("north",), (0, 0, 400, 100), (0, 0, 200, 200)),
        (("east",), (200, 0, 400, 200), (0, 0, 400, 100)),
        (("southwest",), (0, 100, 200, 200), (200, 100, 400, 200)),
        (("left",), (0, 0, 200, 200), (0, 0, 200, 200)),
        (("above", "right"), (200, 0, 400, 100), (200, 0, 400, 100)),
        (("below",), (0, 100, 400, 200), (0, 100, 400, 200)),
        (("third", "above"), (0, 0, 400, 200 / 3), (0, 0, 400, 200 / 3)),
        (("third", "east"), (800 / 3, 0, 400, 200), (0, 0, 400, 200 / 3)),
        (("third", "northwest"), (0, 0, 400 / 3, 200 / 3), (0, 400 / 3, 400 / 3, 200)),
        (("third", "below", "right"), (800 / 3, 400 / 3, 400, 200), (800 / 3, 400 / 3, 400, 200)),
        (("third",), (400 / 3, 200 / 3, 800 / 3, 400 / 3), (400 / 3, 200 / 3, 800 / 3, 400 / 3)),
    ],
)
def test_a_part_lies_on_the_ground_or_in_the_picture_as_it_is_called(
    placed, directions, upright, turned
):
    is_third = directions[0] == "third"
    part = ScenePart(directions[1:], "third") if is_third else ScenePart(directions)
    for transform, box in ((UP, upright), (TURNED, turned)):
        shape = part.region(placed(transform)).geometry
        # north of the map and north of the Earth differ by some seconds of arc here
        assert shapely.symmetric_difference(shape, shapely.box(*box)).area < 40
    nowhere = open_array(np.ones((200, 400, 3), np.uint8))
    shape = part.region(nowhere).geometry
    assert shapely.symmetric_difference(shape, shapely.box(*upright)).area < 1e-6


def test_a_part_is_cut_by_what_is_asked_about():
    scene, north = open_array(np.ones((200, 400, 3), np.uint8)), ScenePart(("north",))
    within = Region(shapely.box(300, 50, 500, 500))
    assert north.region(scene, within).geometry.equals(shapely.box(300, 50, 400, 100))
    with pytest.raises(GeometryError, match="the northern half of the scene shares no area"):
        north.region(scene, Region(shapely.box(0, 100, 400, 200)))


def test_a_part_has_a_direction_and_a_name():
    assert ScenePart(("southwest",)).text == "the southwestern quarter"
    assert ScenePart(("above", "left")).text == "the upper left quarter"
    assert ScenePart(("right",)).text == "the right half"
    assert ScenePart(("north",), "third").text == "the northern third"
    assert ScenePart(("above", "left"), "third").text == "the upper left corner"
    assert ScenePart((), "third").text == "the middle"
    for wrong in ((), ("middle",)):
        with pytest.raises(QuestionError, match="lies in a direction"):
            ScenePart(wrong)


def test_the_part_is_taken_out_of_a_question():
    rest, part = split_part("in the northern half of the scene, how many trucks are there")
    assert (rest, part.directions) == ("how many trucks are there", ("north",))
    assert split_part("how many trucks are in the north of the depot") is None
