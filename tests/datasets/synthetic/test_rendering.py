"""A window is a cut of the whole, a level is the mean of the native pixels, and things show."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.rendering import Canvas, render_window
from geofovea.datasets.synthetic.sprites import sprite_box
from geofovea.datasets.synthetic.textures import material
from geofovea.datasets.synthetic.vocabulary import COLORS, SITES, SURFACES
from geofovea.datasets.synthetic.world import make_world
from geofovea.tiling import Box

few = settings(deadline=None, max_examples=60)

GRAY = 128
SOOT = (12, 10, 10)
ASH = (150, 140, 128)


levels = st.integers(0, 8)


@st.composite
def cuts(draw, levels=levels):
    """A world, a level, a window that may reach beyond the scene, and a window inside it."""
    world = make_world(
        draw(st.integers(0, 40)), draw(st.integers(768, 9000)), draw(st.integers(768, 9000))
    )
    level = draw(levels)
    window, inner = [], []
    for extent in (world.width, world.height):
        size = draw(st.integers(1, 160))
        window.append((draw(st.integers(-40, (extent >> level) + 20)), size))
        start = draw(st.integers(0, size - 1))
        inner.append((start, draw(st.integers(1, size - start))))
    return world, level, window, inner


def cut_and_rendered(case):
    """The inner window, cut out of the larger rendering and rendered on its own."""
    world, level, ((x0, width), (y0, height)), ((left, cols), (top, rows)) = case
    large = render_window(world, level, x0, y0, width, height)
    assert large.shape == (height, width, 3)
    assert large.dtype == np.uint8
    alone = render_window(world, level, x0 + left, y0 + top, cols, rows)
    return large[top : top + rows, left : left + cols], alone


@few
@given(cuts(st.just(0)))
def test_a_native_window_is_a_cut_of_any_larger_one(case):
    cut, alone = cut_and_rendered(case)
    assert (cut == alone).all()


@few
@given(cuts())
def test_a_window_of_any_level_is_a_cut_of_any_larger_one_up_to_its_outermost_pixels(case):
    cut, alone = cut_and_rendered(case)
    assert (cut[1:-1, 1:-1] == alone[1:-1, 1:-1]).all()


def test_a_road_shows_in_windows_that_end_before_its_middle_or_begin_after_it():
    world = make_world(0, 8192, 8192)
    large = render_window(world, 0, 2000, 2000, 96, 96)  # a crossing of roads in its middle
    for split in range(30, 66):
        upper = render_window(world, 0, 2000, 2000, split, split)
        lower = render_window(world, 0, 2000 + split, 2000 + split, 96 - split, 96 - split)
        assert (upper == large[:split, :split]).all()
        assert (lower == large[split:, split:]).all()


def test_a_partly_covered_border_does_not_depend_on_where_the_window_begins():
    large, alone = Canvas(4, 0, 0, 4, 1), Canvas(4, 1, 0, 1, 1)
    for canvas in (large, alone):
        canvas.fill(Box(0, 0, 24, 16), "frame")
    assert (large.pixels()[:, 1:2] == alone.pixels()).all()


def mean_of(native, level):
    step = 1 << level
    rows, cols = len(native) // step, native.shape[1] // step
    whole = native[: rows * step, : cols * step]
    # one axis at a time keeps the copies small
    columns = whole.reshape(rows * step, cols, step, 3).mean(2, dtype=np.float32)
    return columns.reshape(rows, step, cols, 3).mean(1)


@pytest.fixture(scope="module")
def natives():
    """Two worlds, one of whole cells and one ragged, with all their native pixels."""
    worlds = [make_world(3, 4096, 4096), make_world(5, 3001, 2500)]
    return [(w, render_window(w, 0, 0, 0, w.width, w.height)) for w in worlds]


@pytest.mark.parametrize(
    ("level", "mean", "largest"),
    [
        (1, 1.0, 32),
        (2, 1.0, 32),
        (3, 1.0, 32),
        (4, 1.0, 32),
        (5, 1.0, 128),  # things of one and a half level pixels are left out
        (6, 5.0, 64),  # terrain is flat, and roads of a third of a level pixel are left out
        (7, 5.0, 160),  # pads are left out
    ],
)
def test_a_level_is_close_to_the_mean_of_the_native_pixels(natives, level, mean, largest):
    for world, native in natives:
        truth = mean_of(native, level)
        shown = render_window(world, level, 0, 0, truth.shape[1], len(truth))
        difference = np.abs(shown - truth)
        assert difference.mean() < mean
        assert difference.max() <= largest


@few
@given(st.integers(0, 9), st.integers(768, 5000), st.integers(768, 5000))
def test_beyond_the_scene_the_picture_is_mid_gray(level, width, height):
    world = make_world(2, width, height)
    cols, rows = (-(-side >> level) for side in (width, height))
    margin = 3
    window = (cols - margin, rows - margin, 2 * margin, 2 * margin)
    corner = render_window(world, level, *window)
    assert (corner[margin:] == GRAY).all()
    assert (corner[:, margin:] == GRAY).all()
    assert (render_window(world, level, -9, -9, 9, 9) == GRAY).all()
    assert (render_window(world, level, cols + 10**6, 0, 4, 4) == GRAY).all()


def things_of(worlds=4):
    for seed in range(worlds):
        world = make_world(seed, 8192, 8192)
        for site in world.named_sites:
            for thing in site.things:
                yield world, site, thing


def show(world, item):
    """The native pixels of the canvas of a thing or a hall."""
    box = sprite_box(item)
    return render_window(world, 0, int(box.x0), int(box.y0), int(box.width), int(box.height))


def changed(world, site, old, new):
    """The world with another thing in the place of one."""
    things = tuple(new if thing is old else thing for thing in site.things)
    other = dataclasses.replace(site, things=things)
    sites = tuple(other if each is site else each for each in world.sites)
    return dataclasses.replace(world, sites=sites)


def disc(shape, radius):
    rows, cols = np.indices(shape)
    return np.hypot(rows + 0.5 - shape[0] / 2, cols + 0.5 - shape[1] / 2) < radius


def test_each_thing_shows_its_color_at_its_place():
    for world, _, thing in things_of():
        pixels = show(world, thing)
        painted = (pixels == COLORS[thing.color]).all(-1) & disc(pixels.shape[:2], 26)
        assert painted.sum() >= 40, thing


def test_a_status_shows_at_its_place():
    for world, site, thing in things_of():
        pixels = show(world, thing).astype(int)
        parked = dataclasses.replace(thing, status="parked")
        plain = show(changed(world, site, thing, parked), parked)
        differs = np.abs(pixels - plain).max(-1) > 40
        if thing.status == "parked":
            assert not differs.any()
        else:
            assert differs.sum() > 0.05 * thing.half_length**2, thing
        if thing.status == "damaged":
            burnt = ASH if thing.color == "black" else SOOT
            assert ((pixels == burnt).all(-1) & disc(pixels.shape[:2], 26)).sum() >= 20


def test_every_pad_looks_like_its_surface():
    medians = {name: np.median(material(name)[0], (0, 1)) for name in SURFACES}
    for seed in range(4):
        world = make_world(seed, 8192, 8192)
        for site in world.sites:
            x0, y0, x1, y1 = (int(corner) for corner in site.pad.as_tuple())
            median = np.median(render_window(world, 0, x0, y0, x1 - x0, y1 - y0), (0, 1))
            nearest = min(SURFACES, key=lambda name: np.abs(medians[name] - median).max())
            assert nearest == site.surface


def test_from_afar_every_site_looks_like_its_kind():
    level = 4
    medians = {name: np.median(material(name)[level], (0, 1)) for name in SITES}
    for seed in range(4):
        world = make_world(seed, 8192, 8192)
        for site in world.named_sites:
            x0, y0, x1, y1 = (int(corner) >> level for corner in site.box.as_tuple())
            median = np.median(render_window(world, level, x0, y0, x1 - x0, y1 - y0), (0, 1))
            nearest = min(SITES, key=lambda name: np.abs(medians[name] - median).max())
            assert nearest == site.kind


def test_things_are_not_to_be_seen_from_afar():
    for world, site, thing in list(things_of(1))[:20]:
        x, y = (int(corner) >> 5 for corner in site.pad.center)
        other = changed(world, site, thing, dataclasses.replace(thing, color="green"))
        assert (render_window(world, 5, x, y, 8, 8) == render_window(other, 5, x, y, 8, 8)).all()
