"""Windows of a world of version 2: cuts of the whole, means of native pixels, lasting looks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.earth import pixels
from geofovea.datasets.synthetic.earth.covers import mean_of_four
from geofovea.datasets.synthetic.earth.grounds import ground
from geofovea.datasets.synthetic.earth.making import make_earth
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import SITES, SURFACES
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError

few = settings(deadline=None, max_examples=25)
# mean bands of the quarters of level 4: what is stamped "version 2" must not change its looks;
# whole numbers of hashes decide what lies where, so that machines differ by roundings alone
LOOKS = {
    3: [
        (93.4, 97.7, 89.7, 97.2),
        (117.4, 105.4, 96.2, 95.9),
        (111.9, 110.1, 93.1, 104.9),
        (106.5, 116.4, 89.8, 107.8),
    ],
    7: [
        (101.6, 118.6, 83.8, 143.3),
        (123.6, 126.7, 90.6, 133.9),
        (108.3, 115.5, 72.8, 128.2),
        (81.5, 96.4, 62.9, 126.4),
    ],
}


@st.composite
def cuts(draw):
    """A world, a level, a window that may reach beyond the scene, and a window inside it."""
    world = make_earth(
        draw(st.integers(0, 40)), draw(st.integers(768, 9000)), draw(st.integers(768, 9000))
    )
    level = draw(st.integers(0, 8))
    window, inner = [], []
    for extent in (world.width, world.height):
        size = draw(st.integers(1, 160))
        window.append((draw(st.integers(-40, (extent >> level) + 20)), size))
        start = draw(st.integers(0, size - 1))
        inner.append((start, draw(st.integers(1, size - start))))
    return world, level, window, inner


@few
@given(cuts())
def test_a_window_of_any_level_is_a_cut_of_any_larger_one(case):
    world, level, ((x0, width), (y0, height)), ((left, cols), (top, rows)) = case
    large = render_window(world, level, x0, y0, width, height, bands=4)
    assert large.shape == (height, width, 4)
    assert large.dtype == np.uint8
    alone = render_window(world, level, x0 + left, y0 + top, cols, rows, bands=4)
    assert (large[top : top + rows, left : left + cols] == alone).all()


@pytest.mark.parametrize("gsd_m", [0.5, 1.0])
def test_land_of_level_1_is_the_rounded_mean_of_native_land(gsd_m):
    world = next(w for w in (make_earth(s, 8192, 8192) for s in range(9)) if w.gsd_m == gsd_m)
    for left, top in ((-9, 3), (801, 2500), (2047, 1300), (3100, 640)):
        coarse = pixels.draw_land(world, 1, left, top, 150, 90)
        native = pixels.draw_land(world, 0, 2 * left, 2 * top, 300, 180)
        assert (coarse == mean_of_four(native)).all()


@few
@given(cuts())
def test_pixels_of_several_covers_are_the_same_alone_and_with_all_others(case):
    world, level, ((x0, width), (y0, height)), _ = case
    drawn = []
    for share in (-1, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pixels, "_MOST_MIXED", share)
            drawn.append(pixels.draw_land(world, level, x0, y0, width, height))
    assert (drawn[0] == drawn[1]).all()


def mean_of(native, level):
    step = 1 << level
    rows, cols = len(native) // step, native.shape[1] // step
    lines = native[: rows * step, : cols * step].reshape(rows, step, cols * step, 4)
    columns = lines.mean(1, dtype=np.float32).reshape(rows, cols, step, 4)
    return columns.mean(2)


@pytest.fixture(scope="module")
def natives():
    """A part of a world of each sensor in native pixels; both show a town and a coast."""
    parts = []
    for seed, gsd_m in ((4, 0.5), (3, 1.0)):
        world = make_earth(seed, 8192, 8192)
        assert world.gsd_m == gsd_m
        parts.append((world, render_window(world, 0, 1024, 5120, 2048, 2048, bands=4)))
    return parts


@pytest.mark.parametrize(
    ("level", "mean"), [(1, 1.5), (2, 2.0), (3, 2.5), (4, 3.0), (5, 4.0), (6, 5.0), (7, 5.0)]
)
def test_a_level_is_close_to_the_mean_of_the_native_pixels(natives, level, mean):
    for world, native in natives:
        truth = mean_of(native, level)
        size = truth.shape[1], len(truth)
        shown = render_window(world, level, 1024 >> level, 5120 >> level, *size, bands=4)
        difference = shown - truth
        assert np.abs(difference).mean() < mean
        # no band as a whole is brighter or darker from afar
        assert np.abs(difference.mean((0, 1))).max() < 2.0


@few
@given(st.integers(0, 9), st.integers(768, 5000), st.integers(768, 5000))
def test_beyond_the_scene_the_picture_is_mid_gray(level, width, height):
    world = make_earth(2, width, height)
    cols, rows = (-(-side >> level) for side in (width, height))
    window = (cols - 3, rows - 3, 6, 6)
    corner = render_window(world, level, *window, bands=4)
    assert (corner[3:] == 128).all()
    assert (corner[:, 3:] == 128).all()
    assert (render_window(world, level, -9, -9, 9, 9) == 128).all()
    assert (render_window(world, level, cols + 10**6, 0, 4, 4) == 128).all()


@pytest.mark.parametrize("seed", LOOKS)
def test_a_world_looks_as_it_did_when_its_scenes_were_stamped(seed):
    pixels = render_window(make_earth(seed, 4096, 4096), 4, 0, 0, 256, 256, bands=4)
    quarters = pixels.reshape(2, 128, 2, 128, 4).mean((1, 3)).reshape(4, 4)
    assert np.abs(quarters - LOOKS[seed]).max() < 0.6


def test_three_bands_are_the_first_of_four():
    world = make_earth(4, 2048, 2048)
    four = render_window(world, 1, 100, 100, 200, 300, bands=4)
    assert (render_window(world, 1, 100, 100, 200, 300) == four[..., :3]).all()


@pytest.mark.parametrize(
    ("version", "bands", "allowed"),
    [(1, 4, "has 3 bands, got bands=4"), (2, 5, "has 3 bands or 4, got bands=5")],
)
def test_bands_that_a_world_lacks_are_refused(version, bands, allowed):
    with pytest.raises(DataError, match=allowed):
        render_window(world_of(version, 0, 1024, 1024), 0, 0, 0, 8, 8, bands=bands)


def middle_of(world, site, level=0):
    x0, y0, x1, y1 = (int(corner) >> level for corner in site.pad.as_tuple())
    return render_window(world, level, x0, y0, x1 - x0, y1 - y0, bands=4)


def clear_air(world):
    """The world without shade, haze and seams."""
    return replace(world, land=replace(world.land, haze=0.0, gains=(1.0,) * 4, seams=()))


def test_every_pad_looks_like_its_surface():
    medians = {name: np.median(ground(name)[0], (0, 1)) for name in SURFACES}
    for seed in range(4):
        world = clear_air(make_earth(seed, 8192, 8192))
        for site in world.sites:
            median = np.median(middle_of(world, site), (0, 1))
            nearest = min(SURFACES, key=lambda name: np.abs(medians[name] - median).sum())
            assert nearest == site.surface


def test_from_afar_every_site_looks_like_its_kind():
    level = 4
    medians = {name: np.median(ground(name)[level], (0, 1)) for name in SITES}
    for seed in range(4):
        world = clear_air(make_earth(seed, 8192, 8192))
        for site in world.named_sites:
            x0, y0, x1, y1 = (int(corner) >> level for corner in site.box.as_tuple())
            seen = render_window(world, level, x0, y0, x1 - x0, y1 - y0, bands=4)
            median = np.median(seen, (0, 1))
            nearest = min(SITES, key=lambda name: np.abs(medians[name] - median).sum())
            assert nearest == site.kind


def lawn_of(world, site):
    """The ring around a pad, left of it."""
    x, y = int(site.apron.x0) + 4, int(site.pad.y0)
    return render_window(world, 0, x, y, 40, 200, bands=4).astype(float)


def test_only_near_infrared_tells_a_healthy_lawn_from_a_dry_one():
    world = make_earth(5, 4096, 4096)
    site = world.sites[0]
    seen = {}
    for lawn in ("healthy", "dry"):
        sites = (replace(site, lawn=lawn), *world.sites[1:])
        seen[lawn] = lawn_of(replace(world, sites=sites), site)
    assert (seen["healthy"][..., :3] == seen["dry"][..., :3]).all()
    red, near = (seen["healthy"][..., band].mean() for band in (0, 3))
    assert (near - red) / (near + red) > 0.4
    red, near = (seen["dry"][..., band].mean() for band in (0, 3))
    assert (near - red) / (near + red) < 0.25


def test_a_later_light_is_no_other_place():
    world = make_earth(5, 2048, 2048)
    dim = render_window(replace(world, light=0.8), 2, 0, 0, 512, 512).astype(float)
    plain = render_window(world, 2, 0, 0, 512, 512).astype(float)
    assert np.abs(dim - 0.8 * plain).max() <= 1


def test_the_first_world_has_no_version_stamp_of_the_second():
    assert (make_world(0, 1024, 1024).version, make_earth(0, 1024, 1024).version) == (1, 2)
