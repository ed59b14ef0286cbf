"""A world of version 2 follows from its seed: coast, towns, rivers, sites on dry land."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.earth.covers import number_of
from geofovea.datasets.synthetic.earth.land import WATER
from geofovea.datasets.synthetic.earth.making import make_earth
from geofovea.datasets.synthetic.earth.parcels import DISTRICT, grid_at, layouts
from geofovea.datasets.synthetic.earth.rivers import course_at
from geofovea.datasets.synthetic.earth.samples import Samples
from geofovea.datasets.synthetic.earth.terrain import grid_coordinates, labels_at
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.versions import crowd_of, pad_of, world_of
from geofovea.datasets.synthetic.vocabulary import CATEGORIES, FILLER_SITES, LAWNS, SITES
from geofovea.datasets.synthetic.world import MIN_SIDE
from geofovea.errors import DataError
from geofovea.tiling import Box

few = settings(deadline=None, max_examples=30)
seeds = st.integers(-(2**40), 2**40)
sides = st.integers(MIN_SIDE, 12_000)
worlds = st.builds(make_earth, seeds, sides, sides)


@few
@given(seeds, sides, sides)
def test_equal_arguments_give_equal_worlds(seed, width, height):
    assert make_earth(seed, width, height) == make_earth(seed, width, height)
    assert make_earth(seed, width, height).land != make_earth(seed + 1, width, height).land


@few
@given(worlds)
def test_sites_have_room_of_their_own_on_dry_cells(world):
    kinds = [site.kind for site in world.sites]
    named = [site.kind for site in world.named_sites]
    assert kinds[: len(named)] == named
    assert 1 <= len(named) == len(set(named))
    assert set(named) <= set(SITES)
    assert set(kinds[len(named) :]) <= set(FILLER_SITES)
    for one, other in itertools.combinations(world.sites, 2):
        assert one.box.intersection(other.box) is None
    for site in world.sites:
        row, col = (int(middle // world.cell_side) for middle in reversed(site.box.center))
        assert world.is_dry(row, col)
        assert site.lawn in LAWNS
        assert site.pad.share_inside(site.box) == 1
        assert all(item.box.share_inside(site.pad) == 1 for item in (site.hall, *site.things))


@few
@given(worlds)
def test_the_setting_of_a_site_is_that_of_its_middle(world):
    for site in world.sites:
        assert world.setting_at(*site.box.center) == site.setting


def test_four_sites_in_ten_are_urban():
    sites = [s for seed in range(60) for s in make_earth(seed, 8192, 8192).named_sites]
    share = Counter(site.setting for site in sites)["urban"] / len(sites)
    assert 0.3 < share < 0.5


def test_lawns_are_healthy_as_often_as_dry():
    sites = [s for seed in range(40) for s in make_earth(seed, 8192, 8192).sites]
    share = Counter(site.lawn for site in sites)["dry"] / len(sites)
    assert 0.42 < share < 0.58


def water_share(world, box):
    """Share of samples of a box that are sea, one every 32 ground units."""
    step, scale = 32, world.scale
    x0, y0, x1, y1 = (int(corner * scale) // step for corner in box.as_tuple())
    samples = Samples(x0, y0, x1 - x0, y1 - y0, step)
    labels = labels_at(world, samples, grid_coordinates(world, samples))
    return np.isin(labels, [number_of(n) for n in ("shallow", "sea", "deep sea")]).mean()


def test_the_sea_covers_its_cells_and_leaves_the_sites_dry():
    seas, wet = [], []
    for seed in range(12):
        world = make_earth(seed, 8192, 8192)
        side = world.cell_side
        cells = [
            Box(c * side, r * side, (c + 1) * side, (r + 1) * side)
            for r, row in enumerate(world.terrain)
            for c, name in enumerate(row)
            if name == WATER
        ]
        assert len(cells) == 3
        seas.append(np.mean([water_share(world, cell) for cell in cells]))
        wet += [water_share(world, site.box) for site in world.sites]
    assert np.mean(seas) > 0.5
    # a corner of the grounds may touch the shore
    assert max(wet) < 0.12
    assert np.mean(wet) < 0.005


def test_small_worlds_have_no_sea():
    for seed in range(20):
        assert all(name != WATER for row in make_earth(seed, 6144, 6144).terrain for name in row)


@few
@given(st.integers(0, 500))
def test_a_river_runs_from_border_to_border_and_passes_all_sites(seed):
    world = make_earth(seed, 8192, 8192)
    extent = np.arange(0, 8192 * world.scale, 16.0)
    assert world.land.rivers
    for river in world.land.rivers:
        middle = course_at(world, river, extent) / world.scale
        # it never leaps, and stays on the scene
        assert np.abs(np.diff(middle)).max() < 60
        assert middle.min() > 0
        assert middle.max() < 8192
        along = extent / world.scale
        for site in world.sites:
            x, y = (middle, along) if river.vertical else (along, middle)
            inside = (x > site.box.x0) & (x < site.box.x1) & (y > site.box.y0) & (y < site.box.y1)
            assert inside.mean() < 0.004


def test_every_site_is_linked_with_a_road_of_the_grid():
    for seed in range(6):
        world = make_earth(seed, 8192, 8192)
        assert len(world.land.drives) == len(world.sites)
        for site, drive in zip(world.sites, world.land.drives, strict=True):
            x, y = (np.array([middle * world.scale]) for middle in site.box.center)
            place = [float(axis[0, 0]) for axis in grid_at(world.land, x, y)]
            assert drive.across == place[not drive.vertical]
            ends = {drive.start, drive.end}
            assert place[drive.vertical] in ends
            assert any(end % DISTRICT == 0 for end in ends)
            assert drive.end - drive.start <= DISTRICT / 2


def test_the_roads_of_all_layouts_meet_at_their_borders():
    for table in layouts():
        assert set(table[:, 0].tolist()) <= {0, 2, 3}
        assert set(table[0].tolist()) <= {2}
        assert set(table[-1].tolist()) <= {3}
        assert len(np.unique(table)) > 12


def test_all_categories_of_questions_can_be_asked():
    world = make_earth(1, 8192, 8192)
    assert {q.category for q in ask_world(world, 2)} == set(CATEGORIES)


@pytest.mark.parametrize(("make", "size"), [(crowd_of, 6), (pad_of, 384)])
def test_pads_and_crowds_are_of_the_version_that_was_asked_for(make, size):
    import random

    first, second = (make(version, random.Random(3), size) for version in (1, 2))
    assert (first.version, second.version) == (1, 2)
    assert first.sites == second.sites


@pytest.mark.parametrize("version", [0, 3, -1])
def test_a_version_that_does_not_exist_is_refused(version):
    with pytest.raises(DataError, match=f"1 or 2, got world={version}"):
        world_of(version, 0, 1024, 1024)


def test_a_scene_too_small_for_a_site_is_refused():
    with pytest.raises(DataError, match=f"at least {MIN_SIDE} pixels a side, got 767 x 4096"):
        make_earth(0, 767, 4096)
