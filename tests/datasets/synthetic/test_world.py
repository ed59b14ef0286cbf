"""A world follows from its seed, and everything in it has room of its own."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.vocabulary import (
    CATEGORIES,
    COLORS,
    DIRECTIONS,
    FILLER_SITES,
    SETTINGS,
    SHAPES,
    SITES,
    STATUSES,
    SURFACES,
    TERRAINS,
    THINGS,
    URBAN,
)
from geofovea.datasets.synthetic.world import MIN_SIDE, make_crowd, make_world
from geofovea.errors import DataError
from geofovea.tiling import Box

few = settings(deadline=None, max_examples=60)

seeds = st.integers(-(2**40), 2**40)
sides = st.integers(MIN_SIDE, 12_000)
worlds = st.builds(make_world, seeds, sides, sides)


def test_no_word_means_two_things():
    groups = [SITES, FILLER_SITES, TERRAINS, THINGS, SURFACES, COLORS, STATUSES, SHAPES, DIRECTIONS]
    words = [word for group in groups for word in group]
    assert [word for word, times in Counter(words).items() if times > 1] == []
    assert URBAN in TERRAINS
    assert URBAN in SETTINGS
    assert len(set(CATEGORIES)) == 8


@few
@given(seeds, sides, sides)
def test_equal_arguments_give_equal_worlds(seed, width, height):
    assert make_world(seed, width, height) == make_world(seed, width, height)


@few
@given(seeds, seeds)
def test_another_seed_or_size_gives_another_world(seed, other):
    world = make_world(seed, 4096, 4096)
    assert make_world(seed, 4096, 4097).sites != world.sites
    if other != seed:
        assert make_world(other, 4096, 4096).sites != world.sites


@few
@given(worlds)
def test_sites_lie_in_cells_pads_in_sites_and_things_on_pads(world):
    side = world.cell_side
    cells = set()
    for site in world.sites:
        col, row = (int(corner // side) for corner in (site.box.x0, site.box.y0))
        cell = Box(col * side, row * side, (col + 1) * side, (row + 1) * side)
        cells.add(cell)
        assert cell.share_inside(Box(0, 0, world.width, world.height)) == 1
        assert site.box.share_inside(cell) == 1
        assert site.pad.share_inside(site.box) == 1
        for item in (site.hall, *site.things):
            assert item.box.share_inside(site.pad) == 1
    assert len(cells) == len(world.sites)


@few
@given(worlds)
def test_no_two_bodies_on_a_pad_overlap(world):
    for site in world.sites:
        for one, other in itertools.combinations((site.hall, *site.things), 2):
            assert one.box.intersection(other.box) is None


@few
@given(worlds)
def test_all_corners_are_whole_scene_pixels(world):
    boxes = [box for site in world.sites for box in (site.box, site.pad, site.apron)]
    boxes += [item.box for site in world.sites for item in (site.hall, *site.things)]
    assert all(float(corner).is_integer() for box in boxes for corner in box.as_tuple())


@few
@given(worlds)
def test_named_sites_come_first_and_are_unique(world):
    kinds = [site.kind for site in world.sites]
    named = [site.kind for site in world.named_sites]
    assert kinds[: len(named)] == named
    assert 1 <= len(named) == len(set(named))
    assert set(named) <= set(SITES)
    assert set(kinds[len(named) :]) <= set(FILLER_SITES)


@few
@given(worlds)
def test_every_pad_holds_a_thing_that_a_question_can_name(world):
    for site in world.sites:
        kinds = Counter(thing.kind for thing in site.things)
        assert 3 <= len(site.things) <= 8
        assert 1 in kinds.values()
        assert all(len(site.of_kind(kind)) == kinds[kind] for kind in THINGS)
        assert sum(len(site.of_color(color)) for color in COLORS) == len(site.things)


@few
@given(worlds)
def test_the_setting_of_a_site_is_that_of_the_terrain_around_it(world):
    for site in world.sites:
        for x, y in (site.box.center, site.pad.center, (site.box.x0 - 1, site.box.y0 - 1)):
            assert world.setting_at(x, y) == site.setting
        col, row = (int(corner // world.cell_side) for corner in site.box.center)
        assert (world.terrain[row][col] == URBAN) == (site.setting == URBAN)


@few
@given(worlds)
def test_every_point_of_the_scene_has_a_terrain(world):
    assert len(world.terrain) * world.cell_side >= world.height
    assert all(len(row) * world.cell_side >= world.width for row in world.terrain)
    assert world.setting_at(world.width - 0.5, world.height - 0.5) in SETTINGS
    assert {name for row in world.terrain for name in row} <= set(TERRAINS)


@pytest.mark.parametrize(
    ("width", "height"), [(MIN_SIDE - 1, 4096), (4096, MIN_SIDE - 1), (1, 1), (0, 0), (-5, 4096)]
)
def test_a_scene_too_small_for_a_site_is_refused(width, height):
    with pytest.raises(DataError, match=f"at least {MIN_SIDE} pixels a side, got {width}"):
        make_world(0, width, height)


@pytest.mark.parametrize(
    ("side", "named"), [(768, 1), (2048, 1), (4096, 3), (6144, 6), (8192, 12), (65536, 12)]
)
def test_three_cells_in_four_hold_a_named_site_until_the_names_run_out(side, named):
    assert len(make_world(3, side, side).named_sites) == named


def test_a_gigapixel_world_has_distractors_everywhere():
    world = make_world(1, 65536, 65536)
    fillers = [site for site in world.sites if site.kind in FILLER_SITES]
    assert len(fillers) == 126  # an eighth of the 1,012 cells without a name
    quarters = Counter((site.box.x0 > 32768, site.box.y0 > 32768) for site in fillers)
    assert min(quarters.values()) > 15


def test_every_word_is_used_and_none_much_more_than_the_others():
    sites = [site for seed in range(60) for site in make_world(seed, 8192, 8192).named_sites]
    things = [thing for site in sites for thing in site.things]
    for group, used in [
        (SITES, [site.kind for site in sites]),
        (SURFACES, [site.surface for site in sites]),
        (SHAPES, [site.hall.shape for site in sites]),
        (THINGS, [thing.kind for thing in things]),
        (COLORS, [thing.color for thing in things]),
        (STATUSES, [thing.status for thing in things]),
    ]:
        times = Counter(used)
        assert set(times) == set(group)
        assert max(times.values()) < 1.35 * len(used) / len(group), group


@pytest.mark.parametrize("slots", [1, 3, 6])
def test_a_crowd_has_one_thing_on_each_place_and_all_of_them_inside(slots):
    crowd = make_crowd(random.Random(5), slots)
    (site,) = crowd.sites
    assert (crowd.width, crowd.height) == (64 * slots, 64 * slots)
    items = [site.hall, *site.things]
    assert {(i.x // 64, i.y // 64) for i in items} == set(
        itertools.product(range(slots), range(slots))
    )
    assert len(items) == slots**2
