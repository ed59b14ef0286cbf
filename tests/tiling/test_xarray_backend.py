"""``engine="geofovea"``: lazy pyramids in xarray, with the pixels of rasterio and its places."""

import pickle
import threading
import tomllib
from pathlib import Path

import numpy as np
import pytest
import rasterio
import rioxarray
import xarray as xr
from exact_levels import gdal_levels
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.windows import Window

from geofovea.errors import GeometryError, SceneError, SceneNotFoundError, SceneRefusedError
from geofovea.tiling import TileReader, open_scene, plan_radiometry
from geofovea.tiling.xarray_backend import GeoFoveaBackend

ROOT = Path(__file__).resolve().parents[2]


def tree_of(path, **options):
    return xr.open_datatree(path, engine=GeoFoveaBackend, **options)


def dataset_of(path, level=0, **options):
    return xr.open_dataset(path, engine=GeoFoveaBackend, level=level, **options)


def assert_same_tiles(path, obj, tile_size=64, bands=None, **options):
    one, other = open_scene(path, **options), open_scene(obj)
    readers = [TileReader(s, s.pyramid(tile_size), plan_radiometry(s, bands)) for s in (one, other)]
    assert readers[0].radiometry.bands == readers[1].radiometry.bands
    assert readers[0].radiometry.stretch == readers[1].radiometry.stretch
    for level in range(readers[0].pyramid.top_level + 1):
        for tile in readers[0].pyramid.tiles(level):
            a, b = (reader.read(tile) for reader in readers)
            assert (a.valid == b.valid).all(), tile
            assert (a.rgb == b.rgb).all(), tile


@pytest.fixture
def cog(make_tiled, texture):
    """Three bands with overviews of a half, a quarter and an eighth."""
    return make_tiled(texture(512, 640), overviews=(2, 4, 8))


def test_the_tree_is_a_pyramid_with_the_multiscales_convention(cog):
    tree = tree_of(cog)
    assert list(tree.children) == ["0", "1", "2", "3", "4"]
    sizes = [dict(tree[g].sizes) for g in tree.children]
    assert [(s["y"], s["x"]) for s in sizes] == [
        (512, 640), (256, 320), (128, 160), (64, 80), (32, 40)
    ]  # fmt: skip
    for group in tree.children:
        assert tree[group]["band_data"].dims == ("band", "y", "x")
        assert tree[group]["band_data"].dtype == np.uint8
    scales = tree.attrs["multiscales"]
    assert scales["resampling_method"] == "average"
    assert scales["layout"][0] == {"asset": "0"}
    assert scales["layout"][1] == {
        "asset": "1",
        "derived_from": "0",
        "transform": {"scale": [2.0, 2.0]},
    }
    assert [row["asset"] for row in scales["layout"]] == list(tree.children)


def test_pixels_are_rasterios_on_every_level_that_the_file_holds(cog):
    with rasterio.open(cog) as dataset:
        assert (dataset_of(cog)["band_data"].to_numpy() == dataset.read()).all()
    for level in (1, 2, 3):
        with rasterio.open(cog, overview_level=level - 1) as overview:
            assert (dataset_of(cog, level)["band_data"].to_numpy() == overview.read()).all()


def test_levels_that_the_file_lacks_are_averages(make_tiled, texture):
    image = texture(512, 256, 1, "uint16")
    path = make_tiled(image)
    for level, truth in enumerate(gdal_levels(make_tiled, image, (2, 4, 8)), 1):
        assert np.array_equal(dataset_of(path, level)["band_data"], truth)


SELECTIONS = [
    {"band": 0},
    {"y": slice(10, 300), "x": slice(630, 640)},
    {"band": [2, 0], "y": slice(None, None, 7)},
    {"y": slice(500, 20, -3), "x": 11},
    {"band": -1, "y": -1, "x": -1},
    {"x": [5, 3, 3, 600]},
    {"y": slice(4, 4)},
    {"band": slice(1, 1)},
    {"band": slice(None, None, -1), "x": slice(None, None, -1)},
]


@pytest.mark.parametrize("layout", ["tiled", "striped", "masked", "half of its overviews"])
def test_levels_that_a_large_file_lacks_come_from_level_files(
    make_tiled, texture, cache_folder, small_counts_as_large, layout
):
    array, options = texture(400, 600), {}
    if layout == "striped":
        options = {"tiled": False, "blockxsize": 600, "blockysize": 8}
    elif layout == "masked":
        options["mask"] = np.indices((400, 600)).sum(0) > 300
    truth = make_tiled(array, "truth.tif", overviews=(2, 4), **options)
    path = make_tiled(array, overviews=(2,) if "half" in layout else (), **options)
    tree = tree_of(path)
    assert np.array_equal(tree["0/band_data"].values, array)
    assert not cache_folder.exists()
    copy = pickle.loads(pickle.dumps(tree["2"].to_dataset()))
    for number in (1, 2):
        with rasterio.open(truth, overview_level=number - 1) as dataset:
            level = tree[f"{number}"].to_dataset()
            known = dataset.read_masks() > 0
            assert np.array_equal(level["band_data"].values[known], dataset.read()[known])
            assert level.rio.transform().almost_equals(dataset.transform)
    assert len([each for each in cache_folder.iterdir() if each.is_dir()]) == 1
    assert np.array_equal(copy["band_data"].values, tree["2/band_data"].values)
    assert_same_tiles(path, tree)


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_any_selection_is_numpys(cog, selection):
    with rasterio.open(cog) as dataset:
        truth = xr.DataArray(dataset.read(), dims=("band", "y", "x"))
    array = dataset_of(cog)["band_data"]
    np.testing.assert_array_equal(array.isel(selection), truth.isel(selection))


def test_random_windows_of_random_levels_are_rasterios(cog):
    rng = np.random.default_rng(3)
    tree = tree_of(cog)
    for _ in range(20):
        level = int(rng.integers(1, 4))
        with rasterio.open(cog, overview_level=level - 1) as overview:
            y0, x0 = int(rng.integers(0, overview.height)), int(rng.integers(0, overview.width))
            window = Window(x0, y0, min(50, overview.width - x0), min(40, overview.height - y0))
            rows, cols = slice(y0, y0 + 40), slice(x0, x0 + 50)
            part = tree[str(level)]["band_data"][:, rows, cols]
            assert (part.to_numpy() == overview.read(window=window)).all()


def test_rioxarray_finds_the_crs_the_place_and_the_resolution(cog):
    with rasterio.open(cog) as dataset:
        for level, group in tree_of(cog).children.items():
            array = group.to_dataset()["band_data"]
            assert array.rio.crs == dataset.crs
            assert array.rio.bounds() == pytest.approx(tuple(dataset.bounds))
            assert array.rio.resolution() == (0.5 * 2 ** int(level), -0.5 * 2 ** int(level))
    native = dataset_of(cog)["band_data"]
    left, _, _, top = native.rio.bounds()
    clipped = native.rio.clip_box(left + 10, top - 30, left + 50, top - 5)
    with rasterio.open(cog) as dataset:
        truth = dataset.read(window=Window(20, 10, 80, 50))
    assert (clipped.to_numpy() == truth).all()
    assert open_scene(clipped).transform == (0.5, 0, 500_010, 0, -0.5, 5_399_995)


def test_opening_reads_no_pixels_and_leaves_no_file_open(cog, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("no pixel may be read")

    monkeypatch.setattr("geofovea.tiling.lazy_array.LevelArray._read", refuse)
    tree = tree_of(cog, chunks={})
    repr(tree)
    tree["0"].to_dataset().isel(x=slice(0, 10))
    tree.close()


def test_chunks_follow_the_blocks_of_the_file(make_tiled, texture):
    path = make_tiled(texture(1400, 2200, 1), blockxsize=256, blockysize=128)
    chunked = dataset_of(path, chunks={})["band_data"]
    assert chunked.chunks == ((1,), (1024, 376), (1024, 1024, 152))
    with rasterio.open(path) as dataset:
        assert (chunked.compute(scheduler="threads").to_numpy() == dataset.read()).all()


def test_arrays_are_picklable_and_shared_by_threads(cog):
    lazy = dataset_of(cog)["band_data"]
    copy = pickle.loads(pickle.dumps(lazy))
    with rasterio.open(cog) as dataset:
        truth = dataset.read()
    wrong = []

    def work(array):
        for start in range(0, 512, 64):
            part = array[:, start : start + 64].to_numpy()
            if (part != truth[:, start : start + 64]).any():
                wrong.append(start)

    threads = [threading.Thread(target=work, args=(array,)) for array in (lazy, copy) * 2]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert wrong == []


def test_a_rotated_raster_has_a_transform_and_no_axes(make_tiled, texture):
    turned = Affine.translation(500_000, 5_400_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    path = make_tiled(texture(200, 300), transform=turned, overviews=(2,))
    tree = tree_of(path)
    for level, group in tree.children.items():
        array = group.to_dataset()["band_data"]
        assert not {"x", "y"} & set(array.coords)
        assert array.rio.transform() == pytest.approx(turned @ Affine.scale(2 ** int(level)))
    assert open_scene(tree).transform == open_scene(path).transform
    assert_same_tiles(path, tree)


def test_without_a_place_there_are_no_axes_and_no_crs(make_raster, texture):
    path = make_raster(texture(100, 120), "picture.png", driver="PNG")
    dataset = dataset_of(path)
    assert not {"x", "y"} & set(dataset.coords)
    assert dataset.rio.crs is None
    assert open_scene(dataset).georef == "none"


def test_nodata_is_declared_and_pixels_keep_their_type(make_tiled, texture):
    image = texture(100, 120, 1, "int16")
    image[:, :30] = -9999
    path = make_tiled(image, nodata=-9999)
    array = dataset_of(path)["band_data"]
    assert array.dtype == np.int16
    assert array.rio.nodata == -9999
    assert array.attrs["_FillValue"].dtype == np.int16
    assert_same_tiles(path, tree_of(path))


@pytest.mark.parametrize("kind", ["internal", "alpha", "nodata"])
@pytest.mark.parametrize("overviews", [(), (2, 4)])
def test_masked_files_give_the_same_tiles_through_xarray(make_tiled, texture, kind, overviews):
    y, x = np.mgrid[:300, :400]
    known = (x - 200) ** 2 + (y - 150) ** 2 > 75**2
    image = np.where(known, np.maximum(texture(300, 400), 60), 0).astype("uint8")
    options = {"overviews": overviews}
    if kind == "internal":
        options["mask"] = known
    elif kind == "nodata":
        options["nodata"] = 0
    else:
        image = np.concatenate([image, known[None].astype("uint8") * 255])
        names = ("red", "green", "blue", "alpha")
        options["colorinterp"] = tuple(ColorInterp[n] for n in names)
    path = make_tiled(image, **options)
    assert ("mask" in dataset_of(path).coords) == (kind == "internal")
    native = open_scene(dataset_of(path))
    assert native.mask_kind == kind
    if overviews:
        assert_same_tiles(path, tree_of(path, chunks={}), 128)


def test_palettes_are_carried_and_never_averaged(make_tiled):
    indexes = np.indices((256, 256)).sum(axis=0) % 2 * 200
    colormap = {0: (250, 0, 0, 255), 100: (0, 255, 0, 255), 200: (0, 0, 250, 255)}
    path = make_tiled(indexes[None].astype("uint8"), colormap=colormap)
    tree = tree_of(path)
    assert list(tree.children) == ["0"]
    assert_same_tiles(path, tree)


def test_control_points_are_carried(make_raster, texture):
    points = [
        rasterio.control.GroundControlPoint(row, col, 10 + col / 1000, 50 - row / 1000, 0)
        for row in (0, 100, 200)
        for col in (0, 150, 300)
    ]
    path = make_raster(texture(200, 300), gcps=(points, "EPSG:4326"), tiled=True)
    scene = open_scene(dataset_of(path))
    assert scene.georeference == open_scene(path).georeference
    assert scene.georef == "gcps"
    half = dataset_of(path, 1)["band_data"]
    assert {(p.row, p.col) for p in half.rio.get_gcps()} == {
        (row / 2, col / 2) for row in (0, 100, 200) for col in (0, 150, 300)
    }


def turned_raster(make_tiled, texture):
    turned = Affine.translation(500_000, 5_400_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    return make_tiled(texture(200, 300), transform=turned, crs="EPSG:32633")


def raster_by_points(make_raster, texture):
    points = [
        rasterio.control.GroundControlPoint(row, col, 10 + col / 1000, 50 - row / 1000, 0)
        for row in (0, 100, 200)
        for col in (0, 150, 300)
    ]
    return make_raster(texture(200, 300), "points.tif", gcps=(points, "EPSG:4326"))


def raster_by_rpcs(make_raster, texture):
    path = make_raster(texture(200, 300), "rpcs.tif")
    one, none = [1] + [0] * 19, [0] * 17
    with rasterio.open(path, "r+") as dataset:
        dataset.rpcs = rasterio.rpc.RPC(
            height_off=0, height_scale=100, lat_off=48, lat_scale=0.1, long_off=12, long_scale=0.1,
            line_off=100, line_scale=100, samp_off=150, samp_scale=150,
            line_num_coeff=[0, 0, -1, *none], line_den_coeff=one,
            samp_num_coeff=[0, 1, 0, *none], samp_den_coeff=one, err_bias=0, err_rand=0,
        )  # fmt: skip
    return path


@pytest.fixture(params=["turned", "gcps", "rpcs"])
def placed_by_numbers(request, make_tiled, make_raster, texture):
    """A raster whose place no coordinates of axes can hold."""
    if request.param == "turned":
        return turned_raster(make_tiled, texture)
    make = {"gcps": raster_by_points, "rpcs": raster_by_rpcs}[request.param]
    return make(make_raster, texture)


@pytest.mark.parametrize(
    ("cut", "grid_from_part"),
    [
        (lambda d: d.isel(x=slice(70, 210), y=slice(40, 130)), (70, 40, 1, 1)),
        (lambda d: d.isel(x=slice(70, 71), y=slice(40, 130)), (70, 40, 1, 1)),
        # pixels that are left keep their centers
        (lambda d: d.isel(x=slice(1, None, 3), y=slice(None, None, 2)), (0, -0.5, 3, 2)),
        (lambda d: d.isel(x=slice(None, None, -1)), (300, 0, -1, 1)),
        (lambda d: d.coarsen(x=4, y=2).mean(), (0, 0, 4, 2)),
        (lambda d: d.transpose("y", "x", "band").isel(y=slice(9, 99)), (0, 9, 1, 1)),
    ],
    ids=["window", "one column", "thinned", "mirrored", "means", "other order"],
)
def test_a_part_of_an_array_lies_where_it_lies_in_the_raster(
    placed_by_numbers, cut, grid_from_part
):
    whole, part = open_scene(placed_by_numbers), open_scene(cut(dataset_of(placed_by_numbers)))
    left, top, step_x, step_y = grid_from_part
    points_part = np.array([[0.0, 0.0], [0.5, 30.0], [40.0, 80.0]])
    points_grid = points_part * (step_x, step_y) + (left, top)
    found = part.georeference.lonlat_from_scene(points_part)
    expected = whole.georeference.lonlat_from_scene(points_grid)
    assert np.isfinite(expected).all()
    # a hundredth of a pixel of about 100 m; control points are fitted anew
    assert found == pytest.approx(expected, abs=1e-5)
    assert not [text for text in part.warnings if "isel()" in text]


def test_columns_that_are_not_evenly_spaced_have_no_place(placed_by_numbers):
    with pytest.raises(SceneError, match=r"\[0, 5, 6\] ... in its coordinate 'col', which"):
        open_scene(dataset_of(placed_by_numbers).isel(x=[0, 5, 6]))


def test_a_place_that_does_not_move_with_the_array_is_doubted(placed_by_numbers):
    bare = dataset_of(placed_by_numbers).drop_vars(["col", "row"])
    (doubt,) = [text for text in open_scene(bare).warnings if "isel()" in text]
    assert "cut it with rio.isel_window" in doubt


def test_no_control_points_place_nothing(make_raster, texture):
    dataset = dataset_of(raster_by_points(make_raster, texture))
    dataset["spatial_ref"].attrs["gcps"] = '{"type": "FeatureCollection", "features": []}'
    assert open_scene(dataset).georef == "none"


def test_a_window_that_rioxarray_cut_beside_control_points_lies_in_its_place(make_raster, texture):
    path = raster_by_points(make_raster, texture)
    array = rioxarray.open_rasterio(path)
    part = open_scene(array.rio.isel_window(Window(70, 40, 140, 90)))
    found = part.georeference.lonlat_from_scene(np.array([[10.0, 20.0]]))
    expected = open_scene(path).georeference.lonlat_from_scene(np.array([[80.0, 60.0]]))
    assert found == pytest.approx(expected, abs=1e-7)


def test_a_level_that_is_not_there_is_an_error_that_lists_them(cog):
    with pytest.raises(GeometryError, match=r"no level 9.*0, 1, 2, 3, 4"):
        dataset_of(cog, 9)


def test_names_are_as_safe_as_those_of_scenes(tmp_path, make_tiled, texture):
    with pytest.raises(SceneNotFoundError):
        dataset_of(tmp_path / "nothing.tif")
    with pytest.raises(SceneRefusedError, match="allow_remote"):
        tree_of("/vsicurl/http://127.0.0.1/scene.tif")
    (tmp_path / "scene.vrt").write_text("<VRTDataset/>")
    with pytest.raises(SceneError, match="allow_vrt"):
        dataset_of(tmp_path / "scene.vrt")


def test_variables_can_be_dropped(cog):
    assert "spatial_ref" not in dataset_of(cog, drop_variables="spatial_ref").coords
    assert "x" not in tree_of(cog, drop_variables=["x"])["1"].coords


def test_the_engine_is_declared_as_an_entry_point_and_never_guesses(cog):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"]["xarray.backends"]
    assert declared == {"geofovea": "geofovea.pipeline.session.xarray_accessor:GeoFoveaBackend"}
    assert not GeoFoveaBackend().guess_can_open(str(cog))


def test_every_reference_raster_is_the_same_scene_through_xarray(shared_raster):
    if shared_raster.name.startswith("corrupt"):
        pytest.skip("damaged on purpose; its errors are tested with the sources")
    scene = open_scene(shared_raster, allow_vrt=True)
    tree = tree_of(shared_raster, allow_vrt=True)
    again = open_scene(tree)
    for name in ("width", "height", "count", "colorinterp", "mask_kind", "description"):
        assert getattr(again, name) == getattr(scene, name), name
    assert again.crs_name == scene.crs_name
    assert again.georef == scene.georef
    if scene.transform is not None:
        assert again.transform == scene.transform
    readers = [TileReader(s, s.pyramid(224), plan_radiometry(s)) for s in (scene, again)]
    assert readers[0].radiometry.bands == readers[1].radiometry.bands
    a, b = (reader.read(readers[0].pyramid.overview) for reader in readers)
    assert np.array_equal(a.valid, b.valid)
    assert np.array_equal(a.rgb, b.rgb)


@pytest.mark.usefixtures("small_counts_as_large")
def test_levels_of_many_bands_are_built_for_the_bands_that_are_read(
    make_tiled, texture, cache_folder
):
    array = texture(400, 300, 8, "uint16")
    level = dataset_of(make_tiled(array), level=1)["band_data"]
    assert not cache_folder.exists()
    read = level.isel(band=[6, 2]).to_numpy()
    built = [folder for folder in cache_folder.iterdir() if folder.is_dir()]
    assert len(built) == 2
    mean = array.reshape(8, 200, 2, 150, 2).mean(axis=(2, 4))[[6, 2]]
    assert np.abs(read - mean).max() <= 0.5
