"""Pieces of a build are bounded, cover the image once, and leave out what is not stored."""

from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from exact_levels import box_levels
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.windows import Window

from geofovea.tiling import open_scene
from geofovea.tiling.files.tiff_directories import stored_blocks
from geofovea.tiling.overviews.build import build_level_files
from geofovea.tiling.overviews.level_files import LevelImage, level_files_of
from geofovea.tiling.overviews.strips import pieces_to_copy, pieces_to_halve

MIB = 2**20


def image(width, height, block, count=3, dtype="uint8"):
    """What the pieces want to know of an open image."""
    return SimpleNamespace(
        width=width, height=height, count=count, dtypes=(dtype,) * count, block_shapes=[block]
    )


def half(source):
    return LevelImage(1, -(-source.width // 2), -(-source.height // 2))


@pytest.mark.parametrize(
    ("width", "height", "block"),
    [
        (131_072, 131_072, (512, 512)),
        (131_000, 131_000, (4096, 4096)),
        (30_000, 30_000, (30_000, 16)),
        (30_001, 30_000, (30_000, 16)),
        (30_000, 30_001, (16, 30_000)),
        (40_000, 40_000, (40_000, 16)),
        (2_000_000, 4000, (1, 2_000_000)),
        (4000, 2_000_000, (2_000_000, 16)),
        (100_000, 100_000, (1, 100_000)),
        (65_535, 65_535, (8192, 8192)),
    ],
)
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(("count", "dtype"), [(3, "uint8"), (4, "float64")])
def test_no_piece_is_larger_than_a_bound_whatever_the_blocks(
    width, height, block, count, dtype, sparse
):
    source = image(width, height, block, count, dtype)
    size = np.dtype(dtype).itemsize * count
    pixels = 0
    for window_source, window in pieces_to_halve(source, half(source), is_sparse=sparse):
        assert window.width * window.height * size <= 64 * MIB
        assert window_source.width * window_source.height * size <= 257 * MIB
        assert window.col_off % 256 == window.row_off % 256 == 0
        pixels += window.width * window.height
    assert pixels == half(source).width * half(source).height
    copied = list(pieces_to_copy(source))
    assert max(w.width * w.height * size for w in copied) <= 256 * MIB
    assert sum(w.width * w.height for w in copied) == width * height


sides = st.integers(1, 3000)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.tuples(st.integers(1, 3000), st.integers(1, 3000)), st.booleans())
def test_pieces_cover_every_pixel_once(width, height, block, sparse):
    source = image(width, height, block)
    level = half(source)
    seen = np.zeros((level.height, level.width), np.uint8)
    for window_source, window in pieces_to_halve(source, level, is_sparse=sparse):
        seen[window.toslices()] += 1
        assert window_source.col_off + window_source.width <= width + 1e-6
        assert window_source.row_off + window_source.height <= height + 1e-6
    assert (seen == 1).all()


def written(path, array, stored, block=64, **profile):
    """A TIFF of which only some blocks ``(rows, cols)`` are stored."""
    bands, height, width = array.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": array.dtype}
    profile |= {"crs": "EPSG:32633", "transform": rasterio.Affine(2, 0, 5e5, 0, -2, 5e6)}
    tiles = {"tiled": True, "blockxsize": block, "blockysize": block, "sparse_ok": True}
    with rasterio.open(path, "w", driver="GTiff", **shape, **tiles, **profile) as dataset:
        for row, col in zip(*np.nonzero(stored), strict=True):
            x, y = col * block, row * block
            part = array[:, y : y + block, x : x + block]
            window = Window(x, y, part.shape[2], part.shape[1])
            dataset.write(part, window=window)
    return path


@pytest.mark.parametrize("size", [(700, 900), (701, 900), (700, 901), (701, 901)])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", None), ("uint8", 7), ("int16", -5)])
@pytest.mark.usefixtures("small_counts_as_large")
def test_levels_of_a_sparse_file_are_averages_of_what_is_known(
    tmp_path, size, interleave, dtype, nodata
):
    array = np.random.default_rng(2).integers(1, 250, (3, *size)).astype(dtype)
    stored = np.zeros((-(-size[0] // 64), -(-size[1] // 64)), bool)
    stored[2:4, 1:3] = stored[9:, 12:] = stored[5, 8] = True
    path = written(tmp_path / "s.tif", array, stored, nodata=nodata, interleave=interleave)
    scene = open_scene(path)
    (tmp_path / "levels").mkdir()
    built = build_level_files(scene, level_files_of(scene), tmp_path / "levels", lambda share: None)
    with rasterio.open(path) as dataset:
        values, known = dataset.read(), dataset.read_masks() > 0
    truths = box_levels(values, len(built), known)
    for (truth, mask), level in zip(truths, built, strict=True):
        with rasterio.open(tmp_path / "levels" / level.name) as found:
            assert np.array_equal(found.read()[mask], truth[mask])
            assert np.array_equal(found.read_masks() > 0, mask)


@pytest.mark.usefixtures("small_counts_as_large")
def test_an_empty_file_costs_next_to_nothing(tmp_path):
    nothing = np.zeros((3, 20_000, 20_000), "uint8")
    path = written(tmp_path / "s.tif", nothing, np.zeros((40, 40), bool), block=512)
    scene = open_scene(path)
    (tmp_path / "levels").mkdir()
    build_level_files(scene, level_files_of(scene), tmp_path / "levels", lambda share: None)
    assert sum(p.stat().st_size for p in (tmp_path / "levels").glob("*.tif")) < 200_000


@pytest.mark.parametrize("big", ["YES", "NO"])
@pytest.mark.parametrize("endian", ["LITTLE", "BIG"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_stored_blocks_are_those_that_were_written(tmp_path, big, endian, interleave):
    stored = np.random.default_rng(1).random((5, 7)) > 0.5
    array = np.ones((2, 300, 420), "uint8")
    profile = {"bigtiff": big, "endianness": endian, "interleave": interleave}
    path = written(tmp_path / "s.tif", array, stored, **profile)
    with path.open("rb") as file:
        found, block = stored_blocks(file)
    assert np.array_equal(found, stored)
    assert block == (64, 64)


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=400), head=st.sampled_from([b"II*\0", b"MM\0*", b"II+\0"]))
def test_any_bytes_are_read_as_directories_without_an_error(content, head):
    import io

    found = stored_blocks(io.BytesIO(head + content))
    assert found is None or found[0].ndim == 2
