"""A level file whose bytes changed is noticed where it is read, and built again."""

import os
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geofovea.errors import SceneReadError
from geofovea.tiling import Tile, open_scene, prepare
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle
from geofovea.tiling.overviews import cache as cache_module
from geofovea.tiling.overviews import checks as level_checks

pytestmark = pytest.mark.usefixtures("small_counts_as_large")


@pytest.fixture
def builds(monkeypatch):
    """The scenes whose level files were built, in order."""
    paths = []
    real = cache_module.build_level_files

    def build(scene, *args):
        paths.append(scene.path)
        return real(scene, *args)

    monkeypatch.setattr(cache_module, "build_level_files", build)
    return paths


def change(path, places):
    """Invert bytes and leave size and time as they were."""
    status = path.stat()
    content = bytearray(path.read_bytes())
    for place in places:
        content[place] ^= 0xFF
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def tiles_of(reader):
    pyramid = reader.pyramid
    return [t for level in range(pyramid.top_level, -1, -1) for t in pyramid.tiles(level)]


def all_pixels(reader):
    return [(p.rgb, p.valid) for p in map(reader.read, tiles_of(reader))]


def same(one, other):
    return all(
        np.array_equal(a, b) and np.array_equal(v, w)
        for (a, v), (b, w) in zip(one, other, strict=True)
    )


LAYOUTS = {
    "tiled": {"tiled": True, "blockxsize": 64, "blockysize": 64},
    "striped": {},
    "bands": {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "band"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["uint8", "uint16", "many bands", "mask", "alpha", "nodata"])
def test_sound_files_are_believed(make_raster, texture, reader_of, builds, layout, kind):
    array = texture(500, 600, 6 if kind == "many bands" else 4 if kind == "alpha" else 3)
    options = {}
    if kind == "uint16":
        array = array.astype("uint16") * 100
    elif kind == "mask":
        options["mask"] = np.arange(600)[None] > np.arange(500)[:, None]
    elif kind == "alpha":
        array[3] = 255 * (np.arange(600)[None] > np.arange(500)[:, None])
    elif kind == "nodata":
        array[:, :200, :200] = 0
        options["nodata"] = 0
    path = make_raster(array, **LAYOUTS[layout], **options)
    truth = all_pixels(reader_of(path))
    again = reader_of(path)
    assert same(all_pixels(again), truth)
    assert len(builds) == 1
    assert again.notes == ()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("part", ["start", "middle", "end", "sums"])
def test_changed_bytes_are_noticed_and_the_files_built_again(
    make_raster, reader_of, builds, cache_folder, monkeypatch, layout, part
):
    noise = np.random.default_rng(3).integers(0, 255, (3, 500, 600)).astype("uint8")
    path = make_raster(noise, **LAYOUTS[layout])
    truth = all_pixels(reader_of(path))
    # as another process would find them
    monkeypatch.setattr(level_checks, "_images", OrderedDict())
    for file in cache_folder.glob("*/*.npy" if part == "sums" else "*/*.tif"):
        size = file.stat().st_size
        first = {"start": 0, "middle": size // 2, "end": size - 20, "sums": size - 5}[part]
        change(file, range(first, min(first + 20, size)))
    again = reader_of(path)
    assert same(all_pixels(again), truth)
    assert len(builds) == 2
    assert any("damaged" in note for note in again.notes)
    assert same(all_pixels(reader_of(path)), truth)
    assert len(builds) == 2


def test_a_changed_record_is_not_believed(make_tiled, texture, reader_of, builds, cache_folder):
    path = make_tiled(texture(300, 400))
    truth = all_pixels(reader_of(path))
    (record,) = cache_folder.glob("*/record.json")
    text = record.read_text()
    record.write_text(text.replace('"level_1.tif",\n   null', '"level_1.tif",\n   0'))
    assert record.read_text() != text
    assert same(all_pixels(reader_of(path)), truth)
    assert len(builds) == 2


def test_sums_are_forgotten_of_the_images_unused_for_longest(make_raster, texture, monkeypatch):
    monkeypatch.setattr(level_checks, "_images", OrderedDict())
    monkeypatch.setattr(level_checks, "_MOST_IMAGES", 2)
    first, second, third = prepare(open_scene(make_raster(texture(700, 800)))).images[:3]

    def sums_of(level):
        with gdal_settings():
            image = open_handle(level.source, level.overview)
            identity = level.source.identity
            return level_checks.load_checks(level.checks, image, identity, level.overview)

    used = sums_of(first)
    sums_of(second)
    assert sums_of(first) is used
    sums_of(third)
    assert sums_of(first) is used
    assert len(level_checks._images) == 2


def test_only_blocks_that_are_read_are_looked_at(
    make_raster, texture, reader_of, builds, cache_folder
):
    path = make_raster(
        texture(600, 2000), crs="EPSG:32633", transform=rasterio.Affine(2, 0, 5e5, 0, -2, 5e6)
    )
    reader = reader_of(path)
    first, last = Tile(0, 0, 0), list(reader.pyramid.tiles(0))[-1]
    truth = [reader.read(tile).rgb for tile in (first, last)]
    (native,) = cache_folder.glob("*/level_0.tif")
    with rasterio.open(native) as dataset:
        place = int(dataset.get_tag_item("BLOCK_OFFSET_7_2", "TIFF", bidx=1))
    change(native, range(place + 50, place + 80))
    again = reader_of(path)
    assert np.array_equal(again.read(first).rgb, truth[0])
    assert (len(builds), again.notes) == (1, ())
    assert np.array_equal(again.read(last).rgb, truth[1])
    assert len(builds) == 2


def test_files_that_cannot_be_built_again_are_an_error_and_never_other_pixels(
    make_tiled, texture, reader_of, cache_folder
):
    path = make_tiled(texture(300, 400))
    reader = reader_of(path)
    coarse = Tile(2, 0, 0)
    reader.read(coarse)
    for file in cache_folder.glob("*/*.tif"):
        change(file, range(file.stat().st_size // 2, file.stat().st_size // 2 + 40))
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SceneReadError):
        reader.read(coarse)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), count=st.integers(1, 300))
def test_no_change_of_any_bytes_shows_other_pixels(
    make_tiled, reader_of, monkeypatch, place, count
):
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("GEOFOVEA_CACHE_DIR", folder)
        noise = np.random.default_rng(5).integers(0, 255, (3, 300, 400)).astype("uint8")
        path = make_tiled(noise, "property.tif")
        truth = all_pixels(reader_of(path))
        for file in Path(folder).glob("levels/*/*.tif"):
            first = int(place * file.stat().st_size)
            change(file, range(first, min(first + count, file.stat().st_size)))
        assert same(all_pixels(reader_of(path)), truth)
        assert prepare(open_scene(path)).is_current


def test_blocks_that_another_thread_compared_meanwhile_are_not_compared_again(tmp_path, texture):
    path = tmp_path / "level.tif"
    shape = {"width": 320, "height": 256, "count": 3, "dtype": "uint8"}
    blocks = {"tiled": True, "blockxsize": 64, "blockysize": 64, "interleave": "pixel"}
    with rasterio.open(path, "w", "GTiff", **shape, **blocks) as dataset:
        dataset.write(texture(256, 320))

    class ReadByAnother:
        """An image whose blocks are all found sound elsewhere while the first row is read."""

        def __init__(self, image, sums):
            self._image, self._sums = image, sums
            self.reads = 0

        def __getattr__(self, name):
            return getattr(self._image, name)

        def read(self, *args, **options):
            self.reads += 1
            self._sums.is_sound[:] = True
            return self._image.read(*args, **options)

    with rasterio.open(path) as image:
        layout = level_checks._Layout.of(image)
        values = image.read()
        sums = np.array(
            [
                [
                    [
                        level_checks.sum_of_block(values[:, y : y + 64, x : x + 64].copy())
                        for x in range(0, 320, 64)
                    ]
                    for y in range(0, 256, 64)
                ]
            ]
        )
        assert sums.shape == layout.shape
        known = level_checks._ImageSums(sums)
        read = level_checks.CheckedImage(ReadByAnother(image, known), known).read()
        assert np.array_equal(read, values)
