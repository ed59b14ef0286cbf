"""What the caller declares missing is averaged into nothing, and a guess says that it is one."""

import numpy as np
import pytest
from rasterio.enums import ColorInterp as Color

from geofovea.errors import SceneError
from geofovea.tiling import TileReader, open_scene, plan_radiometry
from geofovea.tiling.marks import is_missing_part
from geofovea.tiling.nodata import DeclaredMissing
from geofovea.tiling.pixels.radiometry import FILL


def all_tiles(reader):
    return [t for n in range(reader.pyramid.top_level + 1) for t in reader.pyramid.tiles(n)]


def collar(side, width):
    """True inside a frame."""
    known = np.zeros((side, side), bool)
    known[width:-width, width:-width] = True
    return known


def read_all(path, **options):
    scene = open_scene(path, **options)
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    return reader, {tile: reader.read(tile) for tile in all_tiles(reader)}


@pytest.mark.parametrize("tiled", [True, False])
@pytest.mark.parametrize(
    ("dtype", "nodata"), [("uint8", 0), ("uint8", 255), ("int16", -1), ("float32", -9999.0)]
)
def test_a_declared_value_is_never_averaged_in(make_tiled, dtype, nodata, tiled):
    known = collar(256, 37)  # no edge falls on a pixel of a coarse level
    image = np.where(known, 100, nodata)[None].repeat(3, 0).astype(dtype)
    layout = {} if tiled else {"tiled": False, "blockxsize": 256, "blockysize": 8}
    path = make_tiled(image, photometric="minisblack", **layout)
    reader, tiles = read_all(path, nodata=nodata)
    assert (reader.scene.mask_kind, reader.scene.nodata) == ("declared", None)
    for tile, pixels in tiles.items():
        shown = pixels.rgb[pixels.valid]
        # the scene has one color; a mixed pixel would be another
        assert len(np.unique(shown)) <= 1, tile
        assert (pixels.rgb[~pixels.valid] == FILL).all()
        if tile.level == 0:
            box = reader.pyramid.box_scene(tile)
            truth = known[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
            assert (pixels.valid == truth).all()
    whole = tiles[reader.pyramid.overview]
    assert whole.valid_fraction == pytest.approx(known.mean(), abs=0.03)


def test_a_declared_value_replaces_that_of_the_file(make_tiled):
    image = np.full((1, 64, 64), 50, "uint8")
    image[0, :16], image[0, 48:] = 0, 255
    path = make_tiled(image, nodata=0)
    _, tiles = read_all(path, nodata=255)
    (pixels,) = tiles.values()
    assert pixels.valid[:48].all()
    assert not pixels.valid[48:].any()


def test_a_declared_value_joins_an_alpha_band_and_a_mask(make_tiled, texture):
    image = np.maximum(texture(64, 64, 4), 10)
    image[3] = 255
    image[3, :16] = 0
    image[:3, :, :8] = 0
    mask = np.ones((64, 64), bool)
    mask[:16] = False
    for path in (
        make_tiled(image, "a.tif", photometric="rgb", alpha="yes"),
        make_tiled(image[:3], "b.tif", mask=mask),
    ):
        (pixels,) = read_all(path, nodata=0)[1].values()
        assert not pixels.valid[:16].any()
        assert not pixels.valid[:, :8].any()
        assert pixels.valid[16:, 8:].all()


def test_declared_nodata_pulls_no_stretch(make_tiled):
    rng = np.random.default_rng(0)
    image = rng.integers(1000, 2000, (1, 256, 256)).astype("uint16")
    image[0, :128] = 65000
    scene = open_scene(make_tiled(image), nodata=65000)
    ((low, high),) = plan_radiometry(scene).stretch
    assert 1000 <= low < high <= 2000


def test_overviews_made_without_knowing_bring_a_warning(make_tiled, texture):
    plain = open_scene(make_tiled(texture(128, 128)), nodata=0)
    assert plan_radiometry(plain).warnings == ()
    coarse = open_scene(make_tiled(texture(128, 128), "o.tif", overviews=(2,)), nodata=0)
    assert "rim of mixed pixels" in plan_radiometry(coarse).warnings[0]


def lake_and_collar(color):
    """A picture with a frame of a color, and a lake of the same color inside."""
    image = np.random.default_rng(5).integers(60, 200, (3, 512, 512)).astype("uint8")
    image[:, ~collar(512, 41)] = np.array(color)[:, None]
    image[:, 200:300, 220:320] = np.array(color)[:, None, None]
    return image


@pytest.mark.parametrize("color", [(0, 0, 0), (255, 255, 255), (12, 34, 56)])
def test_auto_takes_a_border_of_one_color_but_not_a_lake_of_the_same(make_tiled, color):
    reader, tiles = read_all(make_tiled(lake_and_collar(color)), nodata="auto")
    assert any("is a guess" in warning for warning in reader.radiometry.warnings)
    assert f"({', '.join(map(str, color))})" in reader.radiometry.warnings[0]
    found = np.zeros((512, 512), bool)
    for tile, pixels in tiles.items():
        if tile.level == 0:
            box = reader.pyramid.box_scene(tile)
            found[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = pixels.valid
    assert (found == collar(512, 41)).all()


def test_auto_finds_a_border_that_jpeg_has_blurred(make_tiled):
    path = make_tiled(lake_and_collar((0, 0, 0)), compress="jpeg", photometric="ycbcr")
    reader, tiles = read_all(path, nodata="auto")
    whole = tiles[reader.pyramid.overview]
    assert whole.valid_fraction == pytest.approx(collar(512, 41).mean(), abs=0.05)
    assert whole.valid[25:37, 28:39].all()


def test_auto_finds_nothing_where_there_is_nothing_and_says_so(make_tiled, texture):
    reader, tiles = read_all(make_tiled(texture(128, 128)), nodata="auto")
    assert "found no constant color" in reader.radiometry.warnings[0]
    assert all(pixels.valid.all() for pixels in tiles.values())


@pytest.mark.parametrize("edge", [np.inf, -np.inf, np.nan])
def test_auto_takes_no_border_of_numbers_that_are_none(make_tiled, edge):
    image = np.random.default_rng(0).random((1, 256, 256), np.float32)
    image[0, ~collar(256, 37)] = edge
    scene = open_scene(make_tiled(image, photometric="minisblack"), nodata="auto")
    assert scene.missing.values == ()
    assert "found no constant color" in scene.missing.warnings[0]


@pytest.mark.parametrize("edge", [0, 3 + 4j])
def test_auto_takes_a_border_of_radar_without_power_and_no_other(make_tiled, edge):
    rng = np.random.default_rng(0)
    image = rng.normal(50, 20, (1, 256, 256)) + 1j * rng.normal(50, 20, (1, 256, 256))
    image[0, ~collar(256, 37)] = edge
    reader, tiles = read_all(
        make_tiled(image.astype("complex64"), photometric="minisblack"), nodata="auto"
    )
    known = collar(256, 37) if edge == 0 else np.ones((256, 256), bool)
    assert reader.scene.missing.values == ((0.0,) if edge == 0 else ())
    for tile, pixels in tiles.items():
        if tile.level == 0:
            box = reader.pyramid.box_scene(tile)
            truth = known[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
            assert (pixels.valid == truth).all()


def test_auto_is_off_by_default(make_tiled):
    reader, tiles = read_all(make_tiled(lake_and_collar((0, 0, 0))))
    assert reader.radiometry.warnings == ()
    assert all(pixels.valid.all() for pixels in tiles.values())


def test_auto_looks_past_an_alpha_band(make_tiled):
    image = np.concatenate([lake_and_collar((0, 0, 0)), np.full((1, 512, 512), 255, "uint8")])
    scene = open_scene(make_tiled(image, photometric="rgb", alpha="yes"), nodata="auto")
    assert scene.colorinterp[3] == Color.alpha.name
    assert scene.missing.values[:3] == (0, 0, 0)


def test_a_declaration_is_part_of_what_a_scene_is(make_tiled, texture):
    path = make_tiled(texture(64, 64))
    identities = {open_scene(path, nodata=value).identity for value in (None, 0, 1, "auto")}
    assert len(identities) == 4


def test_the_black_collar_of_a_real_scene_is_found(shared_raster):
    if not shared_raster.name.startswith("5b90"):
        pytest.skip("no collar without a tag")
    scene = open_scene(shared_raster, nodata="auto")
    assert scene.missing.values == (0, 0, 0)
    reader = TileReader(scene, scene.pyramid(224), plan_radiometry(scene))
    overview = reader.read(reader.pyramid.overview)
    width, height = overview.valid_size
    assert 0.05 < 1 - overview.valid[:height, :width].mean() < 0.6
    assert (overview.rgb[:height, :width].max(axis=2) < 8).mean() < 0.01


def test_what_is_neither_a_number_nor_auto_is_refused(make_tiled, texture):
    path = make_tiled(texture(16, 16))
    for wrong in ("automatic", "", [0], object()):
        with pytest.raises(SceneError, match="neither a number nor 'auto'"):
            open_scene(path, nodata=wrong)
    with pytest.raises(SceneError, match="as many bits"):
        DeclaredMissing((0.0,), outline=b"\0", outline_shape=(100, 100))


@pytest.mark.parametrize(
    ("nodata", "dtype", "is_part"),
    [
        (0, "uint8", False), (255, "uint8", False), (7, "uint8", True), (0, "uint16", False),
        (65535, "uint16", False), (255, "uint16", True), (0, "int16", True),
        (-32768, "int16", True), (0, "float32", True), (float("nan"), "float32", True),
        (None, "uint8", True),
    ],
)  # fmt: skip
def test_only_the_ends_of_unsigned_types_are_colors(nodata, dtype, is_part):
    assert is_missing_part(nodata, dtype) == is_part
