"""Tiles of one scene on the grid of another agree with GDAL's warped raster of the same grid."""

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform as warp_points

from geofovea.errors import AlignmentError, GeometryError
from geofovea.tiling import Box, Tile, TileReader, open_scene, plan_radiometry
from geofovea.tiling.aligned_reader import AlignedReader
from geofovea.tiling.geo.alignment import align

TILE = 64
UTM = "EPSG:32633"
# one place on the ground, in UTM 33N
X, Y = 400_000.0, 5_200_000.0


def waves(crs, transform, width, height, period=40.0):
    """A picture of ground waves: what it shows at a place depends on the place alone."""
    cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x, y = transform @ (cols.ravel(), rows.ravel())
    x, y = (
        np.array(v) for v in warp_points(CRS.from_user_input(crs), CRS.from_user_input(UTM), x, y)
    )
    bands = [
        127.5 + 110 * np.sin(2 * np.pi * (x - X) / period),
        127.5 + 110 * np.sin(2 * np.pi * (y - Y) / period),
        127.5 + 110 * np.sin(2 * np.pi * (x - X + y - Y) / (2 * period)),
    ]
    return np.round(np.array(bands)).astype(np.uint8).reshape(3, height, width)


@pytest.fixture
def write(tmp_path):
    def write(name, crs, transform, width, height, pixels=None, overviews=(), **more):
        path = tmp_path / f"{name}.tif"
        pixels = waves(crs, transform, width, height) if pixels is None else pixels
        placed = {"crs": crs, "transform": transform} if crs else {}
        profile = {"driver": "GTiff", "width": width, "height": height, "count": 3}
        profile |= {"dtype": "uint8", "tiled": True, "blockxsize": 64, "blockysize": 64}
        with rasterio.open(path, "w", **profile, photometric="RGB", **placed, **more) as out:
            out.write(pixels)
            if overviews:
                out.build_overviews(list(overviews), Resampling.average)
        return path

    return write


def aligned(reference_path, other_path):
    reference, other = open_scene(reference_path), open_scene(other_path)
    alignment = align(reference, other)
    reader = TileReader(other, other.pyramid(TILE), plan_radiometry(other))
    return AlignedReader(reader, alignment, reference.pyramid(TILE)), reference


def around(crs, degrees=0.0, pixel=1.0, side=300, shift=(0.0, 0.0)):
    """An affine of a CRS whose scene of ``side`` pixels is centered at the place, and rotated."""
    x, y = warp_points(CRS.from_user_input(UTM), CRS.from_user_input(crs), [X], [Y])
    return (
        Affine.translation(x[0] + shift[0], y[0] + shift[1])
        @ Affine.rotation(degrees)
        @ Affine.scale(pixel, -pixel)
        @ Affine.translation(-side / 2, -side / 2)
    )


DEGREE = 1 / 111_320
PAIRS = {
    "same grid": (UTM, around(UTM), UTM, around(UTM)),
    "shifted by a fraction": (UTM, around(UTM), UTM, around(UTM, shift=(3.37, -7.81))),
    "rotated": (UTM, around(UTM), UTM, around(UTM, 27)),
    "rotated reference": (UTM, around(UTM, -40), UTM, around(UTM, 12)),
    "twice as fine": (UTM, around(UTM, pixel=2), UTM, around(UTM, pixel=1, side=600)),
    "twice as coarse": (UTM, around(UTM), UTM, around(UTM, pixel=2, side=150)),
    "other zone": (UTM, around(UTM), "EPSG:32632", around("EPSG:32632")),
    "Web Mercator": (UTM, around(UTM), "EPSG:3857", around("EPSG:3857", pixel=1.48)),
    "degrees": (UTM, around(UTM), "EPSG:4326", around("EPSG:4326", pixel=DEGREE, side=400)),
    "degrees reference": (
        "EPSG:4326",
        around("EPSG:4326", pixel=DEGREE),
        UTM,
        around(UTM, 8, side=420),
    ),
    "conic": ("EPSG:3035", around("EPSG:3035", 5), UTM, around(UTM)),
}


def warped(path, crs, transform, width, height):
    """What GDAL makes of a raster on a grid: pixels ``(3, h, w)`` and which are valid."""
    with (
        rasterio.open(path) as dataset,
        WarpedVRT(
            dataset,
            crs=crs,
            transform=transform,
            width=width,
            height=height,
            resampling=Resampling.bilinear,
            add_alpha=True,
            tolerance=0.01,
        ) as vrt,
    ):
        pixels = vrt.read()
    return pixels[:3].astype(float), pixels[3] == 255


@pytest.mark.parametrize("name", PAIRS)
def test_native_tiles_are_those_of_a_warped_vrt(write, name):
    crs, transform, crs_other, transform_other = PAIRS[name]
    side_other = {"twice as fine": 600, "twice as coarse": 150, "degrees": 400}.get(name, 300)
    side_other = 420 if name == "degrees reference" else side_other
    reference = write("reference", crs, transform, 300, 300)
    other = write("other", crs_other, transform_other, side_other, side_other)
    reader, scene = aligned(reference, other)
    expected, valid = warped(other, crs, transform, 300, 300)
    # the outermost pixels of a scene are half missing, and GDAL interpolates them in its own way
    inner = np.pad(valid, 1)
    inner = np.all([inner[i : i + 300, j : j + 300] for i in range(3) for j in range(3)], axis=0)
    off = []
    for tile in scene.pyramid(TILE).tiles(0):
        pixels = reader.read(tile)
        box = scene.pyramid(TILE).box_scene(tile)
        y, x = slice(int(box.y0), int(box.y1)), slice(int(box.x0), int(box.x1))
        height, width = y.stop - y.start, x.stop - x.start
        ours, ours_valid = pixels.rgb[:height, :width], pixels.valid[:height, :width]
        assert (ours_valid != valid[y, x]).mean() < 0.06
        both = ours_valid & inner[y, x]
        off.append(np.abs(ours.transpose(2, 0, 1) - expected[:, y, x])[:, both].ravel())
    off = np.concatenate(off)
    # waves of 40 m change by 17 levels a meter at most: 4 is a quarter of a pixel
    assert np.percentile(off, 99) <= 4.5
    assert np.median(off) <= 1.5
    assert len(off) > 60_000


@pytest.mark.parametrize("degrees", [0, 33])
@pytest.mark.parametrize("pixel", [1.0, 0.5, 3.0])
def test_coarse_tiles_show_the_ground_where_it_is(write, degrees, pixel):
    """By the ground itself: what a pixel shows is the mean of the waves over its square."""
    side = int(1200 / pixel)
    period = 160.0
    reference = write("reference", UTM, around(UTM, side=800), 800, 800)
    transform = around(UTM, degrees, pixel, side)
    pixels = waves(UTM, transform, side, side, period)
    other = write("other", UTM, transform, side, side, pixels, overviews=(2, 4, 8))
    reader, scene = aligned(reference, other)
    pyramid = scene.pyramid(TILE)
    for tile in pyramid.tiles(3):
        shown = reader.read(tile)
        cols, rows = shown.valid_size
        centers = Affine.translation(*pyramid.box_scene(tile).as_tuple()[:2]) @ Affine.scale(8)
        coarse = around(UTM, side=800) @ centers
        truth = waves(UTM, coarse, cols, rows, period)
        # a mean over 8 m of a wave of 160 m is lower by half a percent
        both = shown.valid[:rows, :cols]
        off = np.abs(shown.rgb[:rows, :cols].transpose(2, 0, 1).astype(float) - truth)[:, both]
        # half a pixel of 8 m would be 17 levels
        assert both.mean() > 0.95
        assert np.percentile(off, 99) <= 9
        assert np.median(off) <= 3


def test_a_scene_that_covers_a_part_is_valid_there_alone(write):
    reference = write("reference", UTM, around(UTM), 300, 300)
    other = write("other", UTM, around(UTM, shift=(150, 0)), 300, 300)
    reader, scene = aligned(reference, other)
    assert reader.alignment.overlap == pytest.approx(0.5)
    _, valid = reader.read_box(scene.box, (300, 300))
    assert not valid[:, :149].any()
    assert valid[:, 151:].all()


def test_what_is_missing_in_the_other_scene_is_missing_here(write):
    reference = write("reference", UTM, around(UTM), 300, 300)
    pixels = waves(UTM, around(UTM), 300, 300)
    pixels[:, 100:200, 50:150] = 0
    other = write("other", UTM, around(UTM, 0), 300, 300, pixels, nodata=0)
    reader, scene = aligned(reference, other)
    _, valid = reader.read_box(scene.box, (300, 300))
    assert not valid[101:199, 51:149].any()
    assert valid[:98].mean() > 0.97


def test_scenes_of_two_places_are_refused(write):
    reference = write("reference", UTM, around(UTM), 300, 300)
    other = write("other", UTM, around(UTM, shift=(5000, 0)), 300, 300)
    with pytest.raises(AlignmentError, match="share no ground"):
        align(open_scene(reference), open_scene(other))


def test_without_georeference_one_size_is_taken_pixel_by_pixel_with_a_warning(write):
    reference = write("reference", UTM, around(UTM), 300, 300)
    other = write("other", None, around(UTM), 300, 300, waves(UTM, around(UTM), 300, 300))
    reader, scene = aligned(reference, other)
    assert reader.alignment.by == "pixels"
    assert "same size" in reader.alignment.warnings[0]
    with rasterio.open(other) as dataset:
        expected = dataset.read()
    rgb, valid = reader.read_box(scene.box, (300, 300))
    assert valid.all()
    np.testing.assert_array_equal(rgb.transpose(2, 0, 1), expected)


def test_without_georeference_two_sizes_are_refused(write):
    reference = write("reference", UTM, around(UTM), 300, 300)
    pixels = waves(UTM, around(UTM), 280, 300)
    other = write("other", None, around(UTM), 280, 300, pixels)
    with pytest.raises(AlignmentError, match="different sizes"):
        align(open_scene(reference), open_scene(other))


def test_control_points_place_a_scene_as_an_affine_does(write):
    reference = write("reference", UTM, around(UTM), 300, 300)
    transform = around(UTM, 10)
    points = [
        GroundControlPoint(r, c, *(transform @ (c, r)))
        for r in (0, 150, 300)
        for c in (0, 150, 300)
    ]
    pixels = waves(UTM, transform, 300, 300)
    by_affine = write("affine", UTM, transform, 300, 300, pixels)
    by_points = write("points", None, transform, 300, 300, pixels)
    with rasterio.open(by_points, "r+") as dataset:
        dataset.gcps = (points, CRS.from_user_input(UTM))
    box, shape = Box(0, 0, 300, 300), (300, 300)
    first, valid = aligned(reference, by_affine)[0].read_box(box, shape)
    second, valid_second = aligned(reference, by_points)[0].read_box(box, shape)
    both = valid & valid_second
    assert both.mean() > 0.8
    assert np.abs(first[both].astype(int) - second[both]).max() <= 2


def test_scenes_across_the_antimeridian_meet_whichever_way_their_longitudes_count(write):
    """One counts on beyond 180, the other begins at -180: they are one place."""
    east = Affine(0.001, 0, 179.9, 0, -0.001, 10.0)
    west = Affine(0.001, 0, -180.0, 0, -0.001, 10.0)
    pixels = np.full((3, 200, 200), 90, np.uint8)
    reference = write("reference", "EPSG:4326", east, 200, 200, pixels)
    other = write("other", "EPSG:4326", west, 200, 200, pixels)
    reader, scene = aligned(reference, other)
    assert reader.alignment.overlap == pytest.approx(0.5, abs=0.01)
    _, valid = reader.read_box(scene.box, (200, 200))
    assert valid[:, 101:].all()
    assert not valid[:, :99].any()


def test_a_tile_decodes_no_more_than_its_proportion(write, monkeypatch):
    """The overview of a large scene is read from an overview and not from native pixels."""
    side = 2048
    reference = write("reference", UTM, around(UTM), 300, 300)
    transform = around(UTM, 30, 0.25, side)
    pixels = np.zeros((3, side, side), np.uint8)
    other = write("other", UTM, transform, side, side, pixels, overviews=(2, 4, 8, 16))
    reader, scene = aligned(reference, other)
    shapes = []
    plain = TileReader.read_box
    monkeypatch.setattr(
        TileReader,
        "read_box",
        lambda self, box, shape: shapes.append(shape) or plain(self, box, shape),
    )
    for level in range(scene.pyramid(TILE).top_level + 1):
        for tile in scene.pyramid(TILE).tiles(level):
            reader.read(tile)
    assert shapes
    assert max(rows * cols for rows, cols in shapes) <= 16 * TILE * TILE


def test_a_tile_off_the_grid_is_refused(write):
    path = write("reference", UTM, around(UTM), 300, 300)
    reader, _ = aligned(path, path)
    for ask in (reader.read, reader.prepare):
        with pytest.raises(GeometryError, match="outside level"):
            ask(Tile(0, 99, 0))


def test_the_box_of_the_other_scene_holds_what_the_reference_shows(write):
    reference = open_scene(write("reference", UTM, around(UTM), 300, 300))
    other = open_scene(write("other", UTM, around(UTM, pixel=2, side=150), 150, 150))
    box = align(reference, other).box_of_other(Box(100, 60, 200, 90))
    np.testing.assert_allclose(box.as_tuple(), (50, 30, 100, 45), atol=1e-6)
    assert align(reference, other).box_of_other(Box(0, 0, 300, 300)) == other.box
