"""Numbers become colors once for a whole scene, and what is missing takes no part in it."""

import shutil
import struct

import numpy as np
import pytest
import rasterio
import xarray as xr
from rasterio.enums import ColorInterp as Color
from rasterio.enums import Resampling

from geofovea.errors import SceneError
from geofovea.tiling import Radiometry, Tile, TileReader, open_scene, plan_radiometry
from geofovea.tiling.pixels.radiometry import FILL
from geofovea.tiling.pixels.radiometry_plan import describe_radiometry

RGB = (Color.red, Color.green, Color.blue)


def test_eight_bit_colors_are_those_of_rasterio_to_the_bit(shared_raster):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose")
    scene = open_scene(shared_raster, allow_vrt=True)
    radiometry = plan_radiometry(scene)
    if scene.dtype != "uint8" or scene.colorinterp[0] == "palette":
        pytest.skip(f"{scene.dtype} {scene.colorinterp[0]}")
    assert radiometry.stretch is None
    assert "untouched" in radiometry.reason
    reader = TileReader(scene, scene.pyramid(224), radiometry)
    tile = reader.pyramid.tiles_over(0, scene.box)[-1 if scene.width < 9000 else 2000]
    pixels, (width, height) = reader.read(tile), reader.pyramid.valid_size(tile)
    window = rasterio.windows.Window(tile.col * 224, tile.row * 224, width, height)
    with rasterio.open(shared_raster) as dataset:
        truth = dataset.read(list(radiometry.bands), window=window)
        known = dataset.dataset_mask(window=window) >= 128
    valid = pixels.valid[:height, :width]
    assert (valid == known).all()
    shown = np.moveaxis(pixels.rgb[:height, :width], -1, 0)
    assert (shown == np.where(valid, truth, FILL)).all()


def test_all_tiles_share_the_stretch_of_the_scene(make_tiled):
    ramp = np.linspace(0, 60_000, 512)[None, None].repeat(512, 1).astype("uint16")
    scene = open_scene(make_tiled(ramp))
    radiometry = plan_radiometry(scene)
    ((low, high),) = radiometry.stretch
    reader = TileReader(scene, scene.pyramid(64), radiometry)
    for col in range(8):
        truth = np.rint(
            np.clip((ramp[0, :64, 64 * col :][:, :64] - low) / (high - low), 0, 1) * 255
        )
        assert np.abs(reader.read(Tile(0, 3, col)).rgb[..., 0] - truth).max() <= 1


@pytest.mark.parametrize(("dtype", "scale"), [("int16", -0.1), ("uint16", -2.0), ("float32", -1)])
def test_numbers_that_stand_for_less_the_greater_they_are_are_shown_darker(
    make_tiled, dtype, scale
):
    ramp = np.linspace(0, 30_000, 512)[None, None].repeat(64, 1).astype(dtype)
    path = make_tiled(ramp)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (scale,), (300.0,)
    scene = open_scene(path)
    radiometry = plan_radiometry(scene)
    shown = TileReader(scene, scene.pyramid(64), radiometry).read_box(scene.box, (64, 512))[0]
    meant = ramp[0] * scale + 300
    assert np.corrcoef(shown[..., 0].ravel(), meant.ravel())[0, 1] > 0.99
    assert radiometry.reason.endswith("inverted because the scale of its numbers is below zero")
    assert describe_radiometry(scene)[0] == radiometry.reason


@pytest.mark.parametrize(
    ("dtype", "top", "fill", "is_told"),
    [
        ("float32", 1, -3.4028234663852886e38, True),
        ("float32", 1, -9999, True),
        ("float32", 1, 1e20, True),
        ("uint16", 4000, 65535, True),
        ("int16", 4000, -32768, True),
        # neither an end of the range nor dark ground is far from the rest
        ("uint16", 4000, 4001, False),
        ("uint16", 4000, 0, False),
    ],
)
def test_a_value_far_from_all_others_is_told_with_the_way_to_declare_it(
    make_tiled, dtype, top, fill, is_told
):
    ramp = np.linspace(0.1, 1, 128)[None, None].repeat(128, 1) * top
    ramp[:, :, :40] = fill
    path = make_tiled(ramp.astype(dtype))
    warnings = plan_radiometry(open_scene(path)).warnings
    told = str(np.dtype(dtype).type(fill))
    assert any(f"nodata={told}" in text for text in warnings) == is_told
    declared = plan_radiometry(open_scene(path, nodata=float(told)))
    assert not any("far from all others" in text for text in declared.warnings)
    array = xr.DataArray(ramp[0].astype(dtype), dims=("y", "x"))
    warnings = plan_radiometry(open_scene(array)).warnings
    assert any(f"attrs['_FillValue']={told}" in text for text in warnings) == is_told


def test_a_mask_of_few_classes_has_no_value_far_from_the_others(make_tiled):
    classes = np.array([0, 1, 2, 900], "uint16")[np.arange(128) // 32][None, None].repeat(128, 1)
    warnings = plan_radiometry(open_scene(make_tiled(classes))).warnings
    assert not any("far from all others" in text for text in warnings)


# dtype, nodata, a number that is data
NODATA = [
    ("float32", np.nan, 7), ("float32", -9999.0, 7), ("float32", -3.4028234663852886e38, 7),
    ("int32", -(2**31), 7), ("int16", -32768, 7), ("uint16", 0, 7), ("uint16", 65535, 7),
    ("float64", 1e300, 7),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "nodata", "data"), NODATA)
@pytest.mark.parametrize("bands", [1, 3])
def test_nodata_of_any_kind_pulls_no_stretch_and_shows_no_black(
    make_tiled, dtype, nodata, data, bands
):
    rng = np.random.default_rng(3)
    image = rng.integers(data * 100, data * 300, (bands, 256, 256)).astype(dtype)
    image[:, 64:192, 64:192] = nodata
    profile = {"photometric": "minisblack"}
    scene = open_scene(make_tiled(image, nodata=nodata, **profile))
    radiometry = plan_radiometry(scene)
    for low, high in radiometry.stretch:
        assert data * 100 <= low < high <= data * 300
    reader = TileReader(scene, scene.pyramid(64), radiometry)
    assert reader.read(Tile(0, 1, 1)).valid_fraction == 0
    assert (reader.read(Tile(0, 1, 1)).rgb == FILL).all()
    whole = reader.read(reader.pyramid.overview)
    assert whole.valid.sum() == pytest.approx(64 * 64 * 0.75, rel=0.05)
    # noise is averaged toward the middle: black or white would be missing numbers averaged in
    assert whole.rgb[whole.valid].min() > 20
    assert whole.rgb[whole.valid].max() < 235


def test_nodata_of_one_band_pulls_no_stretch_of_that_band(make_tiled):
    rng = np.random.default_rng(3)
    image = rng.integers(1000, 2000, (3, 128, 128)).astype("int16")
    image[0, :64] = -32768
    scene = open_scene(make_tiled(image, nodata=-32768, photometric="minisblack"))
    radiometry = plan_radiometry(scene)
    assert all(1000 <= low < high <= 2000 for low, high in radiometry.stretch)
    tile = TileReader(scene, scene.pyramid(128), radiometry).read(Tile(0, 0, 0))
    assert not tile.valid[:64].any()
    assert tile.valid[64:].all()


def test_a_dark_or_bright_color_is_not_a_missing_one(make_tiled):
    for nodata in (0, 255):
        image = np.full((3, 64, 64), 100, "uint8")
        image[0, :32], image[:, :, :8] = nodata, nodata
        scene = open_scene(make_tiled(image, nodata=nodata))
        tile = TileReader(scene, scene.pyramid(64), plan_radiometry(scene)).read(Tile(0, 0, 0))
        assert not tile.valid[:, :8].any()
        assert tile.valid[:, 8:].all()
        assert (tile.rgb[:32, 8:, 0] == nodata).all()


def test_a_nodata_value_outside_the_pixel_type_marks_nothing(make_tiled, texture, tmp_path):
    path = make_tiled(texture(64, 64), nodata=200)
    data = path.read_bytes()
    assert data.count(b"200\0") == 1
    path.write_bytes(data.replace(b"200\0", b"-99\0"))
    scene = open_scene(path)
    tile = TileReader(scene, scene.pyramid(64), plan_radiometry(scene)).read(Tile(0, 0, 0))
    assert tile.valid.all()


def test_the_fourth_band_is_a_mask_only_if_the_file_says_alpha(make_tiled, texture):
    image = texture(64, 64, 4)
    image[3, :32], image[3, 32:] = 0, 255
    alpha, plain = (
        open_scene(make_tiled(image, f"{kind}.tif", photometric="rgb", alpha=kind))
        for kind in ("yes", "unspecified")
    )
    assert (alpha.mask_kind, plain.mask_kind) == ("alpha", "none")
    for scene, share in ((alpha, 0.5), (plain, 1.0)):
        radiometry = plan_radiometry(scene)
        assert radiometry.bands == (1, 2, 3)
        tile = TileReader(scene, scene.pyramid(64), radiometry).read(Tile(0, 0, 0))
        assert tile.valid_fraction == share


def test_alpha_is_never_shown_as_a_color(make_tiled, texture):
    gray = open_scene(make_tiled(texture(64, 64, 2), colorinterp=(Color.gray, Color.alpha)))
    assert plan_radiometry(gray).bands == (1,)
    first = (Color.alpha, *RGB)
    scene = open_scene(make_tiled(texture(64, 64, 4), "b.tif", colorinterp=first))
    assert plan_radiometry(scene).bands == (2, 3, 4)


@pytest.mark.parametrize(("dtype", "full"), [("uint8", 255), ("uint16", 65535)])
def test_pixels_that_are_half_transparent_or_more_are_missing(make_tiled, dtype, full):
    image = np.full((4, 64, 64), 100, dtype)
    image[3] = np.linspace(0, full, 64).astype(dtype)
    scene = open_scene(make_tiled(image, photometric="rgb", alpha="yes"))
    assert scene.mask_kind == "alpha"
    tile = TileReader(scene, scene.pyramid(64), plan_radiometry(scene)).read(Tile(0, 0, 0))
    assert tile.valid[:, 33:].all()
    assert not tile.valid[:, :31].any()


@pytest.mark.parametrize("overviews", [(), (2, 4)])
@pytest.mark.parametrize("is_internal", [True, False])
@pytest.mark.parametrize("is_last", [True, False])
def test_a_mask_counts_on_every_level_wherever_it_is(
    make_tiled, texture, overviews, is_internal, is_last
):
    path = make_tiled(np.maximum(texture(256, 256), 90))
    known = np.zeros((256, 256), bool)
    known[:, 128:] = True

    def build_overviews():
        if overviews:
            with rasterio.open(path, "r+") as dataset:
                dataset.build_overviews(overviews, Resampling.average)

    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=is_internal):
        if is_last:
            build_overviews()
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(known)
        if not is_last:
            build_overviews()
    assert path.with_name(path.name + ".msk").exists() != is_internal
    scene = open_scene(path)
    assert scene.mask_kind == "internal"
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    for tile in [t for n in range(3) for t in reader.pyramid.tiles(n)]:
        pixels, box = reader.read(tile), reader.pyramid.box_scene(tile)
        edge = int(np.clip(128 - box.x0, 0, box.width)) >> tile.level
        assert not pixels.valid[:, :edge].any(), tile
        assert pixels.valid[:, edge:].all(), tile
        assert (pixels.rgb[~pixels.valid] == FILL).all()


def test_bits_fewer_than_eight_are_spread_over_the_range(make_raster):
    for nbits in (1, 4):
        numbers = np.indices((64, 64)).sum(0)[None].astype("uint8") % 2**nbits
        scene = open_scene(make_raster(numbers, f"{nbits}.tif", nbits=nbits))
        tile = TileReader(scene, scene.pyramid(64), plan_radiometry(scene)).read(Tile(0, 0, 0))
        assert (tile.rgb[..., 0] == numbers[0] * (255 // (2**nbits - 1))).all()


def test_the_reason_is_the_same_before_a_pixel_is_read(shared_raster):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose")
    scene = open_scene(shared_raster, allow_vrt=True)
    planned = plan_radiometry(scene)
    reason, warnings = describe_radiometry(scene)
    assert reason == planned.reason
    assert warnings == planned.warnings[: len(warnings)]


def test_a_description_reads_no_pixel(make_tiled, texture, monkeypatch):
    scene = open_scene(make_tiled(texture(64, 64, 3, "uint16")))
    monkeypatch.setattr("geofovea.tiling.pixels.radiometry_plan.measure_stretch", None)
    assert "percentile 2 to 98" in describe_radiometry(scene)[0]


def test_the_record_is_plain_json(make_tiled, texture):
    record = plan_radiometry(open_scene(make_tiled(texture(64, 64, 1, "uint16")))).to_json()
    assert set(record) == {"bands", "stretch", "composite", "reason"}
    assert record["bands"] == [1]
    assert record["composite"] is None
    assert [len(pair) for pair in record["stretch"]] == [2]


def test_impossible_radiometries_are_refused():
    for bands, options in (
        ((), {}),
        ((1, 2, 3, 4, 5), {}),
        ((0,), {}),
        ((1,), {"stretch": ((2.0, 1.0),)}),
        ((1, 2), {}),
        ((1, 2), {"stretch": ((0.0, 1.0), (0.0, 1.0))}),
    ):
        with pytest.raises(SceneError):
            Radiometry(bands, **options)


def test_a_scene_moved_elsewhere_looks_the_same(make_tiled, texture, tmp_path):
    path = make_tiled(texture(300, 300, 3, "uint16"))
    other = shutil.copy(path, tmp_path / "copy.tif")
    assert plan_radiometry(open_scene(path)) == plan_radiometry(open_scene(other))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_looked_up_stretches_equal_the_arithmetic(dtype):
    numbers = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(1, -1, 64)
    array = np.concatenate([numbers, numbers[:, ::-1], numbers[:, :, ::-1]])
    stretch = ((3.7, 200.0), (0.0, 40_000.5), (-5.0, 1e6))
    radiometry = Radiometry((1, 2, 3), stretch=stretch)
    valid = numbers[0] % 7 > 0
    rgb = radiometry.finish(array, valid)
    for band, (low, high) in enumerate(stretch):
        shown = np.clip((array[band].astype(float) - low) * (255 / (high - low)), 0, 255)
        assert np.array_equal(rgb[valid][:, band], np.rint(shown).astype(np.uint8)[valid])
    assert (rgb[~valid] == FILL).all()


@pytest.mark.parametrize("broken", [60000, 7])
def test_a_palette_without_its_table_is_shown_as_gray_and_said(make_tiled, broken):
    path = make_tiled(np.arange(4096, dtype=np.uint8).reshape(1, 64, 64) % 16, colormap=PALETTE)
    content = bytearray(path.read_bytes())
    (start,) = struct.unpack_from("<I", content, 4)
    for index in range(struct.unpack_from("<H", content, start)[0]):
        place = start + 2 + 12 * index
        if struct.unpack_from("<H", content, place)[0] == 320:
            struct.pack_into("<H", content, place + 2, broken)
    path.write_bytes(content)
    scene = open_scene(path)
    planned = plan_radiometry(scene)
    assert scene.colorinterp == ("gray",)
    assert "without its table of colors" in " ".join(planned.warnings)
    reader = TileReader(scene, scene.pyramid(64), planned)
    rgb, _ = reader.read_box(scene.box, (64, 64))
    assert (rgb[..., 0] == np.arange(4096).reshape(64, 64) % 16).all()


PALETTE = {i: (i * 16, 255 - i * 16, i, 255) for i in range(16)}
