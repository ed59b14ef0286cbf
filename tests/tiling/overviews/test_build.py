"""Level files equal the overviews that GDAL would build, and know what is missing."""

from dataclasses import replace

import numpy as np
import pytest
import rasterio
from exact_levels import box_levels, gdal_levels
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.windows import Window

from geofovea.errors import SceneReadError
from geofovea.tiling import Tile, TileReader, open_scene, plan_radiometry, prepare
from geofovea.tiling.overviews import build as level_building
from geofovea.tiling.overviews import level_files
from geofovea.tiling.overviews import strips as level_strips
from geofovea.tiling.overviews.build import build_level_files
from geofovea.tiling.overviews.level_files import level_files_of

pytestmark = pytest.mark.usefixtures("small_counts_as_large")


def noise(height, width, bands, dtype):
    values = np.random.default_rng(1).normal(120, 60, (bands, height, width))
    if dtype in ("int16", "int32"):
        values = (values - 120) * 100
    if dtype in ("uint8", "uint16"):
        values = np.clip(values, 0, 255)
    return values.astype(dtype)


def build(scene, folder, monkeypatch=None):
    folder.mkdir(exist_ok=True)
    built = build_level_files(scene, level_files_of(scene), folder, lambda share: None)
    assert [b.level for b in built] == [image.level for image in level_files_of(scene).images]
    return [(folder / b.name, b.overview) for b in built]


def are_same(pixels, truth):
    """To the last bit; sums of floats in another order differ there."""
    if truth.dtype.kind != "f":
        return np.array_equal(pixels, truth)
    return np.abs(pixels - truth).max() <= 4 * np.finfo(truth.dtype).eps * np.abs(truth).max()


def pixels(path, overview=None):
    path, overview = path if isinstance(path, tuple) else (path, overview)
    options = {} if overview is None else {"OVERVIEW_LEVEL": f"{overview}only"}
    with rasterio.open(path, **options) as dataset:
        return dataset.read()


@pytest.mark.parametrize(
    ("dtype", "interleave"),
    [
        ("uint8", "pixel"),
        ("uint8", "band"),
        ("uint16", "pixel"),
        ("int16", "band"),
        ("int32", "pixel"),
        ("float32", "pixel"),
        ("float32", "band"),
        ("float64", "pixel"),
    ],
)
@pytest.mark.parametrize("size", [(1024, 1024), (777, 1001), (1001, 778), (776, 1001)])
def test_levels_equal_gdals_average_overviews_to_the_last_bit(
    make_tiled, tmp_path, size, dtype, interleave
):
    array = noise(*size, 2, dtype)
    scene = open_scene(make_tiled(array, interleave=interleave))
    built = build(scene, tmp_path / "levels")
    assert len(built) == 2
    for path, truth in zip(built, gdal_levels(make_tiled, array, (2, 4)), strict=True):
        assert are_same(pixels(path), truth)


@pytest.mark.parametrize("size", [(777, 1000), (776, 1001), (776, 1000), (1001, 777)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64"])
def test_levels_made_of_many_strips_equal_gdals_to_the_last_bit(
    make_tiled, tmp_path, monkeypatch, size, dtype
):
    monkeypatch.setattr(level_strips, "_STRIP_BYTES", 1)
    array = noise(*size, 2, dtype)
    built = build(open_scene(make_tiled(array)), tmp_path / "levels")
    for path, truth in zip(built, gdal_levels(make_tiled, array, (2, 4)), strict=True):
        assert are_same(pixels(path), truth)


def test_a_pyramid_goes_on_where_the_overviews_of_a_file_end(make_tiled, tmp_path):
    array = noise(1000, 1200, 3, "uint8")
    scene = open_scene(make_tiled(array, overviews=(2,)))
    assert level_files_of(scene).base_overview == 0
    built = build(scene, tmp_path / "levels")
    truth = gdal_levels(make_tiled, array, (2, 4, 8))
    assert [np.array_equal(pixels(p), t) for p, t in zip(built, truth[1:], strict=True)] == [
        True
    ] * 2


def round_hole(height, width):
    y, x = np.mgrid[:height, :width]
    return (x - width / 2) ** 2 + (y - height / 2) ** 2 > (height / 4) ** 2


@pytest.mark.parametrize("kind", ["nodata", "alpha", "internal", "nan", "undeclared nan"])
@pytest.mark.parametrize("tiled", [True, False])
def test_missing_pixels_are_never_averaged_in(make_tiled, reader_of, tmp_path, kind, tiled):
    known = round_hole(600, 801)
    options = {} if tiled else {"tiled": False, "blockysize": 8, "blockxsize": 801}
    if "nan" in kind:
        image = np.where(known, np.float32(200), np.nan)[None]
        options |= {"nodata": np.nan} if kind == "nan" else {}
    else:
        image = np.where(known, 200, 0).astype("uint8")[None].repeat(3, axis=0)
        if kind == "nodata":
            options["nodata"] = 0
        elif kind == "internal":
            options["mask"] = known
        else:
            image = np.concatenate([image, known[None].astype("uint8") * 255])
            rgb = (ColorInterp.red, ColorInterp.green, ColorInterp.blue)
            options["colorinterp"] = (*rgb, ColorInterp.alpha)
    reader = reader_of(make_tiled(image, **options))
    scene, pyramid = reader.scene, reader.pyramid
    assert level_files_of(scene).builder == "streamed"
    with rasterio.open(build(scene, tmp_path / "levels")[-1][0]) as coarsest:
        color = coarsest.read(1)[coarsest.read_masks(1) >= 128]
    assert (color[np.isfinite(color)] == 200).all()
    for level in range(pyramid.top_level + 1):
        truth = known[(1 << level) // 2 :: 1 << level, (1 << level) // 2 :: 1 << level]
        shown = 0
        for tile in pyramid.tiles(level):
            tile_pixels = reader.read(tile)
            assert len(np.unique(tile_pixels.rgb[tile_pixels.valid])) <= 1, (tile, kind)
            assert (tile_pixels.rgb[~tile_pixels.valid] == 128).all()
            shown += tile_pixels.valid.sum()
        if level == 0:
            assert shown == known.sum()
        # a pixel of a level that is partly known may count as either
        assert shown == pytest.approx(truth.sum(), rel=0.1)


def test_palette_colors_are_averaged_and_indexes_are_not(make_tiled, reader_of):
    for layout in ({}, {"tiled": False, "blockxsize": 512, "blockysize": 8}):
        indexes = np.indices((512, 512)).sum(axis=0) % 2 * 200
        colormap = {0: (250, 0, 0, 255), 100: (0, 255, 0, 255), 200: (0, 0, 250, 255)}
        path = make_tiled(
            indexes[None].astype("uint8"), f"{len(layout)}.tif", colormap=colormap, **layout
        )
        reader = reader_of(path)
        assert level_files_of(reader.scene).is_expanded
        native = reader.read(next(reader.pyramid.tiles(0))).rgb
        assert set(map(tuple, native.reshape(-1, 3))) == {(250, 0, 0), (0, 0, 250)}
        for level in range(1, reader.pyramid.top_level + 1):
            assert (reader.read(next(reader.pyramid.tiles(level))).rgb == (125, 0, 125)).all()


def test_transparent_palette_entries_are_missing_in_every_level(tmp_path, reader_of):
    indexes = np.repeat([0, 1], 256)[None, :].repeat(512, axis=0)
    image = Image.fromarray(indexes.astype("uint8"), mode="P")
    image.putpalette([0, 0, 0, 9, 8, 7])
    image.save(tmp_path / "scene.png", transparency=0)
    reader = reader_of(tmp_path / "scene.png")
    for level in range(reader.pyramid.top_level + 1):
        tiles = [reader.read(tile) for tile in reader.pyramid.tiles(level)]
        assert sum(t.valid.sum() for t in tiles) == (512 >> level) ** 2 / 2
        assert all((t.rgb[t.valid] == (9, 8, 7)).all() for t in tiles)


def test_radar_is_averaged_as_power(make_tiled, reader_of, tmp_path):
    power_db = np.linspace(0, 60, 512)[None, :].repeat(512, axis=0)
    phase = np.random.default_rng(0).uniform(0, 2 * np.pi, power_db.shape)
    slc = (10 ** (power_db / 20) * np.exp(1j * phase)).astype("complex64")
    reader = reader_of(make_tiled(slc[None]))
    built = pixels(build(reader.scene, tmp_path / "levels")[0])[0]
    truth = np.square(np.abs(slc)).reshape(256, 2, 256, 2).mean(axis=(1, 3))
    assert np.allclose(built, truth, rtol=1e-5)
    low, high = reader.radiometry.stretch[0]
    shown = reader.read(reader.pyramid.overview).rgb[..., 0].mean(axis=0)
    mean_db = 10 * np.log10((10 ** (power_db[0] / 10)).reshape(64, 8).mean(axis=1))
    assert np.abs(shown - np.clip((mean_db - low) / (high - low), 0, 1) * 255).max() < 3


@pytest.mark.parametrize("layout", [{}, {"tiled": True, "blockxsize": 64, "blockysize": 64}])
def test_radar_of_sixteen_bits_is_averaged_as_power_too(make_raster, reader_of, tmp_path, layout):
    parts = np.random.default_rng(0).integers(-900, 900, (2, 1, 512, 512))
    slc = (parts[0] + 1j * parts[1]).astype("complex64")
    place = {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 5e5, 0, -2, 5e6)}
    path = make_raster(slc, dtype="complex_int16", **place, **layout)
    built = build(reader_of(path).scene, tmp_path / "levels")
    truth = np.square(np.abs(slc[0]))
    if not layout:
        # rows are copied into tiles first
        assert np.allclose(pixels(built[0])[0], truth, rtol=1e-5)
    means = truth.reshape(256, 2, 256, 2).mean(axis=(1, 3))
    assert np.allclose(pixels(built[0 if layout else 1])[0], means, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.tif", {}),
        ("b.tif", {"compress": "lzw"}),
        ("c.tif", {"compress": "deflate", "predictor": 2}),
        ("d.tif", {"compress": "packbits"}),
        ("e.png", {"driver": "PNG"}),
    ],
)
@pytest.mark.parametrize(("bands", "dtype"), [(1, "uint8"), (3, "uint8"), (3, "uint16")])
def test_both_builders_give_the_same_pixels(
    make_raster, texture, tmp_path, monkeypatch, name, options, bands, dtype
):
    scene = open_scene(make_raster(texture(333, 401, bands, dtype), name, **options))
    assert level_files_of(scene).builder == "pyvips"
    was_copied = []
    real = level_building.copy_with_vips

    def copy(*args):
        was_copied.append(real(*args))
        return was_copied[-1]

    monkeypatch.setattr(level_building, "copy_with_vips", copy)
    by_vips = [pixels(path) for path in build(scene, tmp_path / "vips")]
    assert was_copied == [1]
    monkeypatch.setattr(level_building, "copy_with_vips", lambda *args: 0)
    streamed = [pixels(path) for path in build(scene, tmp_path / "streamed")]
    for a, b in zip(by_vips, streamed, strict=True):
        assert np.array_equal(a, b)


@pytest.mark.parametrize(
    ("size", "dtype", "overviews"),
    [
        ((600, 1012), "uint8", [None, 0, 1]),  # 300 x 506 and 150 x 253
        ((520, 1034), "uint8", [None, 0, None, None]),  # 517 cannot be halved
        ((512, 512), "uint16", [None, None]),  # libvips rounds these down
    ],
)
def test_libvips_averages_as_far_as_it_does_so_like_gdal(
    make_raster, tmp_path, size, dtype, overviews
):
    numbers = np.random.default_rng(2).integers(0, np.iinfo(dtype).max, (3, *size))
    scene = open_scene(make_raster(numbers.astype(dtype)))
    built = build(scene, tmp_path / "levels")
    assert [overview for _, overview in built] == overviews
    factors = tuple(1 << level for level in range(1, len(built)))
    truth = [
        numbers.astype(dtype),
        *gdal_levels(make_raster, numbers.astype(dtype), factors, tiled=True),
    ]
    assert all(np.array_equal(pixels(b), t) for b, t in zip(built, truth, strict=True))


def test_a_jpeg_is_copied_with_the_differences_that_decoders_have(make_raster, texture, tmp_path):
    path = make_raster(texture(400, 600), "scene.jpg", driver="JPEG", quality=90)
    scene = open_scene(path)
    assert level_files_of(scene).builder == "pyvips"
    copy = pixels(build(scene, tmp_path / "levels")[0]).astype(int)
    assert np.abs(copy - pixels(path)).mean() < 4


def test_a_picture_is_read_as_it_is_stored_however_its_camera_was_held(
    make_raster, texture, reader_of, monkeypatch
):
    path = make_raster(texture(200, 300), "scene.jpg", driver="JPEG")
    content, exif = path.read_bytes(), Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    segment = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
    length = (len(segment) + 2).to_bytes(2, "big")
    path.write_bytes(content[:2] + b"\xff\xe1" + length + segment + content[2:])
    with Image.open(path) as turned, rasterio.open(path) as dataset:
        assert turned.getexif()[0x0112] == 6
        truth = np.moveaxis(dataset.read(window=Window(64, 128, 64, 64)), 0, -1)
    reader = reader_of(path)
    assert level_files_of(reader.scene).builder == "pyvips"
    # two decoders of JPEG differ by little, a picture that was turned by much
    assert np.abs(reader.read(Tile(0, 2, 1)).rgb.astype(int) - truth).mean() < 4
    monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 2**24)
    assert np.array_equal(reader_of(path).read(Tile(0, 2, 1)).rgb, truth)


def test_four_bands_without_a_mask_stay_without_one(make_raster, texture, tmp_path):
    interp = (ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined)
    array = texture(300, 400, 4)
    array[3] = 0  # taken for alpha, it would hide everything
    scene = open_scene(make_raster(array, photometric="rgb", alpha="no", colorinterp=interp))
    assert (scene.mask_kind, level_files_of(scene).builder) == ("none", "pyvips")
    for path, overview in build(scene, tmp_path / "levels"):
        level = "NONE" if overview is None else f"{overview}only"
        with rasterio.open(path, OVERVIEW_LEVEL=level) as dataset:
            assert (dataset.read_masks() == 255).all()
            assert dataset.read(1).min() > 0


def test_a_copy_that_shows_other_pixels_than_gdal_is_not_taken(make_raster, texture, tmp_path):
    array = texture(300, 400, 1)
    # libvips inverts it; what the layout tells of that is kept from it
    scene = replace(open_scene(make_raster(array, photometric="miniswhite")), is_min_white=False)
    assert level_files_of(scene).builder == "pyvips"
    assert np.array_equal(pixels(build(scene, tmp_path / "levels")[0]), array)


def test_without_a_working_libvips_the_files_are_streamed(
    make_raster, texture, tmp_path, monkeypatch
):
    monkeypatch.setattr(level_building.copy_with_vips.__globals__["vips_worker"], "__name__", "no")
    array = texture(300, 400)
    scene = open_scene(make_raster(array))
    assert np.array_equal(pixels(build(scene, tmp_path / "levels")[0]), array)


def test_a_png_that_is_damaged_inside_is_an_error_and_not_a_picture(make_raster, texture, tmp_path):
    path = make_raster(texture(400, 500), "scene.png", driver="PNG")
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    with pytest.raises(SceneReadError, match=r"scene\.png"):
        build(open_scene(path), tmp_path / "levels")


@pytest.mark.parametrize("size", [(904, 1208), (901, 1202)])
def test_tiles_from_level_files_equal_gdals_overviews(make_tiled, texture, reader_of, size):
    array = texture(*size)
    without = reader_of(make_tiled(array, "without.tif"))
    strips = {"tiled": False, "blockxsize": size[1], "blockysize": 16}
    striped = reader_of(make_tiled(array, "striped.tif", **strips))
    assert level_files_of(striped.scene).copies_native
    truths = [array, *gdal_levels(make_tiled, array, (2, 4, 8))]
    for level, truth in enumerate(truths):
        for tile in without.pyramid.tiles(level):
            width, height = without.pyramid.valid_size(tile)
            x, y = tile.col * 64, tile.row * 64
            part = np.moveaxis(truth[:, y : y + height, x : x + width], 0, -1)
            assert np.array_equal(without.read(tile).rgb[:height, :width], part)
            assert np.array_equal(striped.read(tile).rgb[:height, :width], part)


def test_levels_of_a_scene_carry_its_georeference(make_tiled, texture):
    scene = open_scene(make_tiled(texture(300, 400)))
    prepared = prepare(scene)
    with rasterio.open(prepared.image(1).source.path) as dataset:
        assert dataset.res == (1.0, 1.0)
        assert (dataset.transform.c, dataset.transform.f) == (500_000, 5_400_000)


def test_every_reference_raster_agrees_with_its_plain_averages(
    shared_raster, monkeypatch, tmp_path
):
    if shared_raster.suffix == ".vrt" or shared_raster.name.startswith("corrupt"):
        pytest.skip("not built from: a virtual raster, or damaged on purpose")
    scene = open_scene(shared_raster)
    files = level_files_of(scene)
    if files is None or scene.width * scene.height > 4_000_000:
        pytest.skip("has enough overviews of its own, or is too large for a quick test")
    pyramid = scene.pyramid(224)
    pixels = TileReader(scene, pyramid, plan_radiometry(scene)).read(pyramid.overview)
    assert pixels.valid.any()
    if files.is_expanded or scene.mask_kind != "none":
        return
    if scene.dtype == "uint8" and scene.driver != "JPEG":
        width, height = pyramid.valid_size(pyramid.overview)
        bands = plan_radiometry(scene).bands
        with rasterio.open(shared_raster) as dataset:
            plain = dataset.read(list(bands))
        plain, _ = box_levels(plain, pyramid.top_level)[-1]
        shown = np.moveaxis(pixels.rgb[:height, :width], -1, 0)[: len(plain)]
        assert np.array_equal(shown, plain)


def test_what_the_caller_declares_missing_is_in_no_average_of_a_level_file(make_tiled):
    array = np.full((3, 512, 512), 200, "uint8")
    array[:, :, :101] = 0  # a collar whose edge lies inside a pixel of every level
    scene = open_scene(make_tiled(array), nodata=0)
    assert level_files_of(scene).copies_native
    reader = TileReader(scene, scene.pyramid(64), plan_radiometry(scene))
    for level in range(reader.pyramid.top_level + 1):
        for tile in reader.pyramid.tiles(level):
            pixels_tile = reader.read(tile)
            assert (pixels_tile.rgb[pixels_tile.valid] == 200).all()
    top = reader.read(reader.pyramid.overview)
    assert 0.75 < top.valid.mean() < 0.85
