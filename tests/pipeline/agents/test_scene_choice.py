"""Which scene and which part of it a program means."""

import pytest

from geofovea.errors import GeometryError, SceneError
from geofovea.pipeline.agents.scene_choice import chosen_box, chosen_scene, ready_scene
from geofovea.pipeline.viewer.desk import NoSuchSceneError
from geofovea.tiling.geo.coordinates import lonlat_from_scene
from geofovea.tiling.pyramid import Box


def test_one_scene_needs_no_name_and_several_do(make_desk, serve_scene):
    one = make_desk()
    assert chosen_scene(one, "") is chosen_scene(one, "scene:1") is one.scenes["1"]
    two = make_desk(serve_scene(), serve_scene(scene_id="2"))
    assert chosen_scene(two, "2").id == "2"
    with pytest.raises(NoSuchSceneError, match=r"name one.*1 \(scene\.tif\), 2 \(scene\.tif\)"):
        chosen_scene(two, "")
    with pytest.raises(NoSuchSceneError, match="no scene '/etc/passwd'"):
        chosen_scene(two, "/etc/passwd")


def test_a_scene_that_is_not_ready_says_how_far_it_is(make_desk, serve_scene):
    served = serve_scene()
    desk = make_desk(served)
    assert ready_scene(desk, "1") is served
    served._is_ready, served.share = False, 0.37
    with pytest.raises(SceneError, match="37%"):
        ready_scene(desk, "1")
    served.error = "it is damaged"
    with pytest.raises(SceneError, match="it is damaged"):
        ready_scene(desk, "1")


def test_a_box_in_degrees_is_the_box_in_pixels(serve_scene):
    scene = serve_scene().session.scene
    box = Box(500, 700, 900, 1100)
    ring = lonlat_from_scene(scene, box)["coordinates"][0]
    west, east = min(x for x, _ in ring), max(x for x, _ in ring)
    south, north = min(y for _, y in ring), max(y for _, y in ring)
    found = chosen_box(scene, None, [west, south, east, north])
    # north of the map is turned against north by up to 3 degrees in a zone of UTM: the box around
    # the box around the same place is larger by twice the tangent of that
    most = 2 * 400 * 0.052
    assert found.x0 < box.x0 + 1 < box.x1 - 1 < found.x1
    assert found.y0 < box.y0 + 1 < box.y1 - 1 < found.y1
    assert max(abs(a - b) for a, b in zip(found.as_tuple(), box.as_tuple(), strict=True)) < most


@pytest.mark.parametrize(
    ("box", "lonlat_box", "message"),
    [
        ([0, 0, 10], None, "x0 < x1"),
        ([0, 0, float("nan"), 10], None, "x0 < x1"),
        ([10, 0, 5, 10], None, "x0 < x1"),
        ([0, 0, 1e300, 10], None, "x0 < x1"),
        (None, [10, 50, 11, 49], "south < north"),
        ([-50, -50, -1, -1], None, "lies outside the scene of 2048 x 2048 pixels$"),
        (None, [100, -50, 101, -49], "outside the scene; it is .west, south, east, north"),
        (None, [0, 0, 10, 500], "no latitude is 500"),
        # not a turn around the earth
        (None, [10, 40, 10, 50], "west != east"),
        ([0, 0, 1, 1], [0, 0, 1, 1], "not both"),
    ],
)
def test_what_is_no_box_is_refused_in_words(serve_scene, box, lonlat_box, message):
    with pytest.raises(GeometryError, match=message):
        chosen_box(serve_scene().session.scene, box, lonlat_box)
