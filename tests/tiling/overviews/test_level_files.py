"""The way in follows from the layout of a file, before a pixel is read."""

import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import GeometryError
from geofovea.tiling import Scene, Tile, access_mode, inspect_scene, open_scene, plan_tile
from geofovea.tiling.files.source import Source
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.overviews.level_files import (
    LevelFiles,
    LevelImage,
    LevelLimits,
    level_files_of,
)

GIGAPIXEL = (32768, 32768)
TILED, STRIPED = (512, 512), (1, 32768)


def scene_of(size=GIGAPIXEL, block=TILED, factors=(), driver="GTiff", **changes):
    width, height = size
    sizes = tuple((-(-width // f), -(-height // f)) for f in factors)
    facts = {
        "path": "scene.tif",
        "source": Source("/scene.tif", driver, 1000, 1),
        "width": width,
        "height": height,
        "count": 3,
        "dtype": "uint8",
        "nodata": None,
        "colorinterp": ("red", "green", "blue"),
        "block_shape": block,
        "overviews": tuple(factors),
        "overview_sizes": sizes,
        "overview_blocks": (TILED,) * len(factors),
        "mask_kind": "none",
        "georeference": Georeference(),
    }
    return Scene(**(facts | changes))


FULL = (2, 4, 8, 16, 32)
REMOTE = Source("https://example.com/scene.tif", "GTiff")


@pytest.mark.parametrize(
    ("scene", "way", "builder", "levels"),
    [
        # with overviews, or with resolutions of its own: as it is
        (scene_of(factors=FULL), "direct", None, None),
        (scene_of(factors=(2, 4, 8)), "direct", None, None),
        (scene_of(block=STRIPED, factors=FULL), "direct", None, None),
        (scene_of(driver="JP2OpenJPEG", block=(1024, 1024)), "direct", None, None),
        (scene_of(driver="VRT"), "direct", None, None),
        (scene_of(source=REMOTE), "direct", None, None),
        # small: directly, or decoded once
        (scene_of((4096, 4096)), "direct", None, None),
        (scene_of((4096, 4096), (1, 4096)), "decode_once", None, None),
        (scene_of((4096, 4096), (1, 4096), driver="PNG"), "decode_once", None, None),
        (scene_of((4096, 4096), (1, 4096), (2, 4, 8), "JPEG"), "decode_once", None, None),
        (scene_of((4096, 4096), (1, 4096), (2, 4)), "direct", None, None),
        # tiled without overviews, or without enough: the levels that are missing
        (scene_of(), "level_files", "streamed", range(1, 8)),
        (scene_of(factors=(2, 4)), "level_files", "streamed", range(3, 8)),
        (scene_of(factors=(3,)), "level_files", "streamed", range(1, 8)),
        (scene_of((4097, 4096)), "level_files", "streamed", range(1, 6)),
        # without random access: all levels
        (scene_of(block=STRIPED), "level_files", "pyvips", range(8)),
        (scene_of(block=STRIPED, driver="PNG"), "level_files", "pyvips", range(8)),
        (scene_of(block=STRIPED, factors=FULL, driver="JPEG"), "level_files", "pyvips", range(8)),
        (scene_of(block=STRIPED, factors=(2,)), "level_files", "pyvips", range(8)),
    ],
)
def test_the_way_in_is_that_of_the_table(scene, way, builder, levels):
    assert access_mode(scene) == way
    files = level_files_of(scene)
    assert (files and files.builder) == builder
    assert (files and [image.level for image in files.images]) == (levels and list(levels))


@pytest.mark.parametrize(
    ("change", "builder"),
    [
        ({"compression": codec}, "pyvips")
        for codec in ("", "lzw", "deflate", "packbits", "jpeg", "webp")
    ]
    + [
        ({"compression": "zstd"}, "streamed"),  # libvips of the wheel shows these as black
        ({"compression": "lerc"}, "streamed"),
        ({"compression": "lzma"}, "streamed"),
        ({"dtype": "uint16"}, "pyvips"),
        ({"dtype": "int16"}, "streamed"),
        ({"dtype": "float32"}, "streamed"),
        ({"dtype": "complex64", "count": 1, "colorinterp": ("gray",)}, "streamed"),
        ({"count": 4, "colorinterp": ("red", "green", "blue", "undefined")}, "pyvips"),
        ({"count": 5, "colorinterp": ("gray",) + ("undefined",) * 4}, "streamed"),
        ({"mask_kind": "nodata"}, "streamed"),
        ({"mask_kind": "internal"}, "streamed"),
        ({"mask_kind": "alpha", "count": 2, "colorinterp": ("gray", "alpha")}, "streamed"),
        ({"count": 1, "colorinterp": ("palette",)}, "streamed"),
        ({"count": 4, "colorinterp": ("cyan", "magenta", "yellow", "black")}, "streamed"),
        ({"interleave": "band"}, "streamed"),
        ({"interleave": "band", "count": 1, "colorinterp": ("gray",)}, "pyvips"),
    ],
)
def test_pyvips_copies_only_what_it_decodes_as_gdal_does(change, builder):
    scene = scene_of(block=STRIPED, **change)
    # there is no file to look into
    scene.__dict__["opaque_alpha"] = scene.__dict__["opaque_mask"] = 255.0
    files = level_files_of(scene)
    assert files.builder == builder
    assert files.copies_native


def test_levels_start_from_the_coarsest_overview_that_is_one():
    assert level_files_of(scene_of(factors=(2, 4))).base_overview == 1
    assert level_files_of(scene_of(factors=(2, 3))).base_overview == 0
    assert level_files_of(scene_of()).base_overview is None


def test_what_must_not_be_averaged_is_kept_as_it_shows():
    palette = level_files_of(scene_of(count=1, colorinterp=("palette",)))
    assert (palette.is_expanded, palette.count, palette.dtype) == (True, 3, "uint8")
    radar = level_files_of(scene_of(count=2, colorinterp=("gray",) * 2, dtype="complex64"))
    assert (radar.is_expanded, radar.count, radar.dtype) == (True, 2, "float32")
    assert not level_files_of(scene_of()).is_expanded


def test_a_plan_names_the_level_file_of_its_level_and_reads_it_one_to_one():
    tiled, striped = scene_of(), scene_of(block=STRIPED)
    for scene, native in ((tiled, None), (striped, 0)):
        pyramid = scene.pyramid(336)
        plans = [plan_tile(scene, pyramid, Tile(level, 0, 0)) for level in range(8)]
        assert [plan.level_file for plan in plans] == [native, 1, 2, 3, 4, 5, 6, 7]
        assert all(plan.overview_level is None for plan in plans)
        assert all(plan.resampling == "nearest" for plan in plans)
        assert all(plan.is_cheap for plan in plans)


def test_overviews_that_are_there_go_before_level_files():
    scene = scene_of(factors=(2, 4))
    pyramid = scene.pyramid(336)
    plans = [plan_tile(scene, pyramid, Tile(level, 0, 0)) for level in range(5)]
    assert [(p.overview_level, p.level_file) for p in plans] == [
        (None, None),
        (0, None),
        (1, None),
        (None, 3),
        (None, 4),
    ]


@settings(deadline=None, max_examples=100)
@given(
    st.integers(1, 100_000),
    st.integers(1, 100_000),
    st.sampled_from([(), (2,), (2, 4), (5,), (4, 8)]),
    st.booleans(),
)
def test_level_files_follow_one_another_down_to_one_small_image(width, height, factors, striped):
    block = (1, width) if striped else TILED
    files = level_files_of(scene_of((width, height), block, factors))
    if files is None:
        return
    for finer, coarser in zip(files.images, files.images[1:], strict=False):
        assert (coarser.width, coarser.height) == (-(-finer.width // 2), -(-finer.height // 2))
    last = files.images[-1]
    assert max(last.width, last.height) <= 256
    assert files.most_bytes >= 3 * sum(image.width * image.height for image in files.images)


def test_impossible_level_files_are_refused():
    with pytest.raises(GeometryError, match="follow one another"):
        LevelFiles((LevelImage(1, 9, 9), LevelImage(3, 3, 3)), None, "streamed", 3, "uint8", False)
    with pytest.raises(GeometryError, match="area"):
        LevelImage(1, 0, 9)
    with pytest.raises(GeometryError, match="positive"):
        LevelLimits(seconds=0)
    with pytest.raises(GeometryError, match="no level file 9"):
        level_files_of(scene_of()).image(9)


def test_a_scene_with_level_files_survives_pickling():
    scene = scene_of()
    again = pickle.loads(pickle.dumps((scene, level_files_of(scene))))
    assert again == (scene, level_files_of(scene))
    assert level_files_of(replace(scene, width=100, height=100)) is None


@pytest.mark.usefixtures("small_counts_as_large")
def test_an_inspection_tells_beforehand_what_will_be_built(make_raster, texture, cache_folder):
    scene = open_scene(make_raster(texture(300, 200), driver="PNG", name="scene.png"))
    report = inspect_scene(scene, scene.pyramid(64)).to_json()
    assert report["way_in"] == "level_files"
    assert report["level_files"] == {
        "builder": "pyvips",
        "levels": [0, 1],
        "most_bytes": 3 * (300 * 200 + 150 * 100),
        "folder": str(cache_folder.parent),
        "are_built": False,
    }
    assert [level["source"] for level in report["levels"]][:2] == [
        "level file 1/1",
        "level file 1/2",
    ]
    assert any("pyvips and rasterio" in note for note in report["notes"])
    assert not cache_folder.exists()


def test_level_files_hold_the_bands_that_are_shown():
    many = scene_of(count=90, colorinterp=("gray",) + ("undefined",) * 89, interleave="band")
    files = level_files_of(many.showing((5, 3, 60)))
    assert (files.bands, files.count) == ((3, 5, 60), 3)
    assert files.most_bytes * 30 == level_files_of(many).most_bytes
    colors = ("red", "green", "blue", "alpha")
    scene = scene_of(count=4, colorinterp=colors, mask_kind="alpha")
    for opaque in (255.0, 1.0):
        shown = scene.showing((1, 2, 3))
        shown.__dict__["opaque_alpha"] = opaque  # there is no file to look into
        files = level_files_of(shown)
        assert (files.bands, files.is_marked) == ((1, 2, 3), True)


@pytest.mark.parametrize("others", [("alpha",), ("undefined",), ("undefined", "undefined")])
def test_a_palette_beside_other_bands_is_expanded_too(others):
    kind = "alpha" if "alpha" in others else "none"
    colors = ("palette", *others)
    scene = scene_of(count=len(colors), colorinterp=colors, mask_kind=kind).showing((1,))
    scene.__dict__["opaque_alpha"] = 255.0
    files = level_files_of(scene)
    assert (files.is_palette, files.count, files.bands) == (True, 3, (1,))
