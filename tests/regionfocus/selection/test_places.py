"""No object is counted twice at a seam, and none is lost there.

The scripted models below count real pixels: connected components of what they are shown.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import GeometryError
from geofovea.regionfocus.selection.places import Core, cores_of, groups_of, owned_boxes
from geofovea.tiling.pyramid import Box, Tile

LONGEST = 7


def components(pixels):
    """Boxes (x0, y0, x1, y1) of the connected components, by side or corner, of a mask."""
    left = {(int(y), int(x)) for y, x in np.argwhere(pixels)}
    boxes = []
    while left:
        part, edge = set(), [left.pop()]
        while edge:
            y, x = edge.pop()
            part.add((y, x))
            for near in [(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]:
                if near in left:
                    left.remove(near)
                    edge.append(near)
        ys, xs = zip(*part, strict=True)
        boxes.append(Box(min(xs), min(ys), max(xs) + 1, max(ys) + 1))
    return boxes


def shown(scene, box):
    return scene[int(box.y0) : math.ceil(box.y1), int(box.x0) : math.ceil(box.x1)]


def boxes_seen(scene, view):
    """A model that gives boxes: those of what is in the view, in scene pixels."""
    x, y = math.floor(view.x0), math.floor(view.y0)
    return [Box(b.x0 + x, b.y0 + y, b.x1 + x, b.y1 + y) for b in components(shown(scene, view))]


@st.composite
def scenes(draw):
    """A mask with rectangles of at most LONGEST a side that do not touch, and their number."""
    height, width = draw(st.integers(8, 48)), draw(st.integers(8, 48))
    scene = np.zeros((height, width), bool)
    count = 0
    for _ in range(draw(st.integers(0, 12))):
        w, h = draw(st.integers(1, LONGEST)), draw(st.integers(1, LONGEST))
        x, y = draw(st.integers(0, width - w)), draw(st.integers(0, height - h))
        if not scene[max(0, y - 1) : y + h + 1, max(0, x - 1) : x + w + 1].any():
            scene[y : y + h, x : x + w] = True
            count += 1
    return scene, count


@given(scenes(), st.integers(8, 30))
def test_boxes_owned_by_cores_count_every_object_once(made, side):
    scene, count = made
    area = Box(0, 0, scene.shape[1], scene.shape[0])
    # a view starts and ends on whole pixels: one more on each side
    cores = cores_of(area, side, LONGEST / 2 + 1)
    owned = owned_boxes(cores, [boxes_seen(scene, core.view) for core in cores])
    assert len(owned) == count
    assert sorted(owned) == sorted(components(scene))


def test_the_sum_over_tiles_is_wrong_where_ours_is_right():
    scene = np.zeros((40, 40), bool)
    # on the corner of four tiles, on an edge, and inside a tile
    scene[17:23, 17:23] = scene[4:7, 18:22] = scene[30:33, 30:33] = True
    area = Box(0, 0, 40, 40)
    cores = cores_of(area, 20, 4)
    naive = sum(len(components(shown(scene, core.core))) for core in cores)
    with_halo = sum(len(boxes_seen(scene, core.view)) for core in cores)
    owned = owned_boxes(cores, [boxes_seen(scene, core.view) for core in cores])
    assert (naive, with_halo, len(owned)) == (7, 7, 3)


@given(
    st.floats(-50, 50), st.floats(-50, 50), st.floats(1, 200), st.floats(1, 200),
    st.floats(5, 99), st.floats(0, 20), st.floats(0, 0.999), st.floats(0, 0.999),
)  # fmt: skip
def test_every_point_of_an_area_has_one_owner(x0, y0, width, height, side, halo, right, down):
    area = Box(x0, y0, x0 + width, y0 + height)
    cores = cores_of(area, side, halo)
    x, y = min(x0 + right * width, math.nextafter(area.x1, x0)), y0 + down * height
    half = 1e-6
    point = Box(x - half, y - half, x + half, y + half)
    px, py = point.center
    if area.x0 <= px < area.x1 and area.y0 <= py < area.y1:
        assert sum(core.owns(point) for core in cores) == 1
    assert math.fsum(core.core.area for core in cores) == pytest.approx(area.area)
    assert all(core.view.share_inside(area) == pytest.approx(1) for core in cores)


@given(st.sets(st.builds(Tile, st.just(0), st.integers(0, 7), st.integers(0, 7))))
def test_no_two_groups_touch_and_no_tile_is_lost(tiles):
    groups = groups_of(tiles)
    assert sorted(tile for group in groups for tile in group) == sorted(tiles)
    for i, one in enumerate(groups):
        for two in groups[i + 1 :]:
            apart = [max(abs(a.row - b.row), abs(a.col - b.col)) for a in one for b in two]
            assert min(apart) > 1


@given(scenes(), st.integers(4, 16))
def test_numbers_asked_over_groups_sum_to_the_truth_where_groups_cut_nothing(made, side):
    scene, count = made
    rows, cols = (-(-n // side) for n in scene.shape)
    # the tiles on which any object lies: whatever touches an object is looked at
    tiles = {
        Tile(0, row, col)
        for row in range(rows)
        for col in range(cols)
        if scene[row * side : (row + 1) * side, col * side : (col + 1) * side].any()
    }
    total = 0
    for group in groups_of(tiles):
        seen = np.zeros_like(scene)
        for t in group:
            span = np.s_[t.row * side : (t.row + 1) * side, t.col * side : (t.col + 1) * side]
            seen[span] = scene[span]
        total += len(components(seen))
    assert total == count


def test_impossible_cores_are_refused():
    area = Box(0, 0, 10, 10)
    for side, halo in ((0, 1), (math.inf, 1), (5, -1)):
        with pytest.raises(GeometryError, match="cores need"):
            cores_of(area, side, halo)
    with pytest.raises(GeometryError, match="must hold its core"):
        Core(Box(0, 0, 5, 5), Box(1, 0, 5, 5))
    with pytest.raises(GeometryError, match="as many findings"):
        owned_boxes(cores_of(area, 5, 1), [])
