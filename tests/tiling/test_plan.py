"""A plan picks the right image and touches no more of it than it must."""

import math
import pickle

import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.enums import Resampling

from geofovea.errors import GeometryError
from geofovea.tiling import Box, Scene, Tile, inspect_scene, open_scene, plan_box, plan_tile
from geofovea.tiling.files.source import Source
from geofovea.tiling.geo.georeference import Georeference


def scene_of(width, height, factors=(), block=512, *, floor=False):
    sizes = [
        (width // f, height // f) if floor else (-(-width // f), -(-height // f)) for f in factors
    ]
    return Scene(
        path="scene.tif",
        source=Source("/scene.tif", "GTiff"),
        width=width,
        height=height,
        count=3,
        dtype="uint8",
        nodata=None,
        colorinterp=("red", "green", "blue"),
        block_shape=(block, block),
        overviews=tuple(factors),
        overview_sizes=tuple(sizes),
        overview_blocks=((block, block),) * len(factors),
        mask_kind="none",
        georeference=Georeference(),
    )


@pytest.mark.parametrize(
    ("factors", "by_level"),
    [
        ((2, 4, 8, 16, 32), [None, 0, 1, 2, 3, 4, 4, 4]),
        ((4, 8, 16), [None, None, 0, 1, 2, 2, 2, 2]),
        ((8, 2), [None, 1, 1, 0, 0, 0, 0, 0]),
        ((3,), [None, None, 0, 0, 0, 0, 0, 0]),
        ((), [None] * 8),
    ],
)
@pytest.mark.parametrize("floor", [False, True])
def test_the_overview_for_each_level_is_that_of_the_table(factors, by_level, floor):
    scene = scene_of(27328, 23780, factors, floor=floor)
    pyramid = scene.pyramid(336)
    plans = [plan_tile(scene, pyramid, Tile(level, 0, 0)) for level in range(8)]
    assert [plan.overview_level for plan in plans] == by_level


def test_a_read_at_the_resolution_of_an_image_is_one_to_one():
    scene = scene_of(27328, 23780, (2, 4, 8, 16))
    pyramid = scene.pyramid(336)
    for level in range(5):
        plan = plan_tile(scene, pyramid, Tile(level, 1, 2))
        assert plan.window == (672, 336, 336, 336)
        assert (plan.resampling, plan.out_shape) == ("nearest", (336, 336))
        assert plan.blocks == 2  # 672 to 1008 lies in one block, 336 to 672 in two
        assert plan.is_cheap
    plan = plan_tile(scene, pyramid, Tile(5, 1, 2))
    assert (plan.resampling, plan.window) == ("grid", (1344, 672, 364, 672))


def test_without_overviews_coarse_reads_are_known_to_be_costly():
    scene = scene_of(32768, 32768)
    plan = plan_tile(scene, scene.pyramid(336), Tile(7, 0, 0))
    assert plan.blocks == 64 * 64
    assert plan.decoded_pixels == 32768**2
    assert not plan.is_cheap


@st.composite
def scene_and_tile(draw):
    size = st.integers(1, 9000)
    factors = draw(st.sampled_from([(), (2, 4, 8), (4,), (3, 31), (2, 4, 8, 16, 32, 64)]))
    scene = scene_of(draw(size), draw(size), factors, draw(st.sampled_from([64, 256, 1000])))
    pyramid = scene.pyramid(draw(st.sampled_from([56, 224, 336])))
    level = draw(st.integers(0, pyramid.top_level))
    rows, cols = pyramid.grid_shape(level)
    tile = Tile(level, draw(st.integers(0, rows - 1)), draw(st.integers(0, cols - 1)))
    return scene, pyramid, tile


@settings(deadline=None, max_examples=150)
@given(scene_and_tile())
def test_a_plan_stays_on_its_image_is_never_upsampled_and_touches_only_its_blocks(case):
    scene, pyramid, tile = case
    plan = plan_tile(scene, pyramid, tile)
    size = (scene.width, scene.height)
    if plan.overview_level is not None:
        size = scene.overview_sizes[plan.overview_level]
    x, y, width, height = plan.window
    assert 0 <= x <= x + width <= size[0] + 1e-6
    assert 0 <= y <= y + height <= size[1] + 1e-6
    assert plan.out_shape == pyramid.valid_size(tile)[::-1]
    # at least one source pixel per result pixel, but for a rounded-off edge
    assert width > plan.out_shape[1] - 1.01
    assert height > plan.out_shape[0] - 1.01
    side = plan.block_shape[0]
    touched = {
        (row, col)
        for row in range(int(y // side), math.ceil((y + height - 1e-6) / side))
        for col in range(int(x // side), math.ceil((x + width - 1e-6) / side))
    }
    assert plan.blocks <= max(1, len(touched))
    # the place in the scene is kept, to less than a pixel of the level
    box, step = pyramid.box_scene(tile), 1 << tile.level
    assert abs(x * scene.width / size[0] - box.x0) < step
    assert abs(y * scene.height / size[1] - box.y0) < step


def test_boxes_outside_the_scene_and_empty_results_are_refused():
    scene = scene_of(100, 100)
    with pytest.raises(GeometryError, match="outside the scene"):
        plan_box(scene, Box(50, 50, 101, 60), (10, 10))
    with pytest.raises(GeometryError, match="at least one pixel"):
        plan_box(scene, Box(50, 50, 60, 60), (0, 10))
    assert plan_box(scene, Box(50, 50, 60, 60), (20, 20)).resampling == "bilinear"


def test_a_scene_survives_pickling_and_is_a_key(make_tiled, texture):
    scene = open_scene(make_tiled(texture(90, 130, 1, "float32"), nodata=float("nan")))
    again = pickle.loads(pickle.dumps(scene))
    assert again == scene
    assert hash(again) == hash(scene)
    assert again.crs_name == "EPSG:32633"


def test_an_inspection_names_levels_costs_and_remedies(make_raster, make_tiled, texture):
    plain = open_scene(make_raster(texture(300, 200), "plain.png", driver="PNG"))
    report = inspect_scene(plain, plain.pyramid(64)).to_json()
    assert [level["width"] for level in report["levels"]] == [200, 100, 50, 25]
    assert any("not georeferenced" in note for note in report["notes"])
    tiled = open_scene(make_tiled(texture(300, 200), overviews=(2, 4)))
    report = inspect_scene(tiled, tiled.pyramid(64)).to_json()
    sources = [level["source"] for level in report["levels"]]
    assert sources == ["native", "overview 1/2", "overview 1/4", "overview 1/4"]
    assert (report["crs"], report["gsd_m"]) == ("EPSG:32633", 0.5)


@pytest.mark.parametrize("how", [Resampling.nearest, Resampling.average])
def test_an_inspection_says_that_overviews_hold_picked_pixels(make_raster, texture, how):
    path = make_raster(texture(256, 256))
    with rasterio.open(path, "r+") as file:
        file.build_overviews([2, 4], how)
    scene = open_scene(path)
    notes = inspect_scene(scene, scene.pyramid(64)).notes
    assert ("RESAMPLING=NEAREST" in " ".join(notes)) == (how is Resampling.nearest)


def test_an_inspection_of_a_large_scene_without_overviews_says_what_will_be_built(tmp_path):
    path = tmp_path / "big.tif"
    profile = {"width": 32768, "height": 32768, "count": 1, "dtype": "uint8", "sparse_ok": True}
    rasterio.open(path, "w", driver="GTiff", tiled=True, **profile).close()
    big = open_scene(path)
    report = inspect_scene(big, big.pyramid(336)).to_json()
    assert report["way_in"] == "level_files"
    assert report["level_files"]["builder"] == "streamed"
    assert not report["level_files"]["are_built"]
    # each level has a quarter of the pixels of the one before
    assert 0.33 < report["level_files"]["most_bytes"] / 32768**2 < 0.34
