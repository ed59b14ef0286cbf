"""Masses of boxes are those of a sum over tiles, and what shows nothing has none."""

import numpy as np
import pytest

from geofovea.pipeline.index.likeness import LevelLikeness, SceneLikeness
from geofovea.tiling.pyramid import Box, Pyramid, Tile

PYRAMID = Pyramid(300, 170, 32)
RNG = np.random.default_rng(5)


def made(scale=20.0, levels=(0, 1, 2)):
    """Random cosines on some levels; the first column of native tiles shows nothing."""
    parts = []
    for level in levels:
        shape = PYRAMID.grid_shape(level)
        cosines = RNG.uniform(-0.2, 0.4, shape).astype(np.float32)
        shown = np.full(shape, 255, np.uint8)
        if level == 0:
            shown[:, 0] = 0
        parts.append(LevelLikeness.of(level, cosines, shown, scale))
    return SceneLikeness(PYRAMID, tuple(parts))


def summed(likeness, box):
    """The mass of a box, tile by tile."""
    means = []
    for each in likeness.levels:
        total = 0.0
        for (row, col), mass in np.ndenumerate(each.masses):
            tile = PYRAMID.box_scene(Tile(each.level, row, col))
            common = tile.intersection(box)
            total += mass * common.area / tile.area if common else 0.0
        means.append(total)
    return sum(means) / len(means)


def test_masses_of_boxes_are_those_of_a_sum_over_tiles():
    likeness = made()
    corners = RNG.uniform(0, 1, (40, 2, 2)) * (300, 170)
    boxes = np.concatenate([corners.min(1), corners.max(1)], axis=1)
    expected = [summed(likeness, Box(*box)) for box in boxes.tolist()]
    np.testing.assert_allclose(likeness.masses(boxes), expected, atol=1e-12)


@pytest.mark.parametrize("side", [16, 48, 84])
def test_boxes_that_tile_the_scene_have_a_mass_of_one_whatever_their_size(side):
    tiles = Pyramid(300, 170, side)
    boxes = np.array([tiles.box_scene(t).as_tuple() for t in tiles.tiles(0)], float)
    assert made().masses(boxes).sum() == pytest.approx(1)


def test_the_best_tile_leads_from_a_coarse_look_too():
    cosines = np.zeros(PYRAMID.grid_shape(0), np.float32)
    cosines[4, 7] = 0.3
    full = np.full(cosines.shape, 255, np.uint8)
    likeness = SceneLikeness(PYRAMID, (LevelLikeness.of(0, cosines, full, 50.0),))
    coarse = list(PYRAMID.tiles(2))
    masses = likeness.masses(np.array([PYRAMID.box_scene(t).as_tuple() for t in coarse], float))
    assert coarse[int(masses.argmax())] == Tile(2, 1, 1)
    assert masses.max() > 0.99


def test_what_shows_nothing_has_no_mass_and_is_ruled_out():
    likeness = made(levels=(0,))
    inside = np.array([[2.0, 3.0, 30.0, 160.0]])
    assert likeness.masses(inside)[0] == 0
    assert likeness.is_unlike(inside)[0]
    nothing = LevelLikeness.of(0, np.zeros((2, 2), np.float32), np.zeros((2, 2), np.uint8), 50.0)
    empty = SceneLikeness(Pyramid(64, 64, 32), (nothing,))
    assert empty.masses(np.array([[0.0, 0.0, 64.0, 64.0]])).tolist() == [0]
    assert empty.tiles == 0


def test_a_place_is_ruled_out_where_no_level_speaks_for_it():
    fine = np.full(PYRAMID.grid_shape(0), 0.2, np.float32)
    fine[0, :2] = -0.5
    coarse = np.full(PYRAMID.grid_shape(1), 0.2, np.float32)
    coarse[0, 0] = -0.5
    levels = [
        LevelLikeness.of(level, cosines, np.full(cosines.shape, 255, np.uint8), 50.0)
        for level, cosines in ((0, fine), (1, coarse))
    ]
    boxes = np.array([[0, 0, 32, 32], [64, 0, 96, 32]], float)
    assert SceneLikeness(PYRAMID, tuple(levels)).is_unlike(boxes).tolist() == [True, False]
    # an average tile of a coarse level keeps a place that the fine one rules out
    coarse[0, 0] = 0.2
    coarse[0, 4] = -0.5
    levels[1] = LevelLikeness.of(1, coarse, np.full(coarse.shape, 255, np.uint8), 50.0)
    assert SceneLikeness(PYRAMID, tuple(levels)).is_unlike(boxes).tolist() == [False, False]
