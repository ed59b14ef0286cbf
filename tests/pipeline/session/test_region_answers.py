"""A question about a polygon is answered from the polygon alone."""

import pytest
import rasterio
import shapely
from pipeline_toys import QUESTION, texture
from rasterio.transform import Affine
from rasterio.warp import transform

import geofovea as gf
from geofovea.errors import GeometryError, ModelError
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.region import Region, region_from_crs
from geofovea.tiling.opening import open_scene

FEW = Budget(tiles=14, tokens=60)
TRIANGLE = shapely.Polygon([(1100, 300), (1500, 900), (900, 800)])


@pytest.mark.parametrize("focus", ["attention", "uniform"])
def test_all_that_is_looked_at_lies_in_the_region(make_session, focus):
    answer = make_session().ask(QUESTION, budget=FEW, focus=focus, region=Region(TRIANGLE))
    for look in answer.looks:
        assert all(shapely.box(*box).intersection(TRIANGLE).area > 0 for box in look.token_boxes)
    assert answer.evidence
    boxes = [shapely.box(*item.box_scene.as_tuple()) for item in answer.evidence]
    assert all(box.intersection(TRIANGLE).area > 0 for box in boxes)
    assert answer.cost.tiles_encoded <= FEW.tiles
    if focus == "attention":
        assert answer.looks[-1].level == 0


def test_the_whole_scene_as_a_region_changes_nothing(make_session):
    session = make_session()
    whole = Region(shapely.box(0, 0, 2048, 2048))
    plain, restricted = (session.ask(QUESTION, budget=FEW, region=r) for r in (None, whole))
    assert plain.evidence.to_json() == restricted.evidence.to_json()
    assert (plain.text, plain.confidence) == (restricted.text, restricted.confidence)


def test_a_region_leaves_nothing_behind_for_the_next_question(make_session):
    session = make_session()
    session.ask(QUESTION, budget=FEW, region=Region(TRIANGLE))
    after = session.ask(QUESTION, budget=FEW).evidence.to_json()
    assert after == make_session().ask(QUESTION, budget=FEW).evidence.to_json()


def test_a_region_smaller_than_a_token_is_still_looked_at(make_session):
    dot = shapely.box(1000.2, 1000.2, 1000.4, 1000.4)
    answer = make_session().ask(QUESTION, budget=FEW, region=Region(dot))
    assert [look.level for look in answer.looks] == [5, 4, 3, 2, 1, 0]
    assert all(len(look.token_boxes) == 1 for look in answer.looks)
    assert answer.evidence[0].tile.level == 0


def test_the_published_descent_knows_no_region(make_session):
    with pytest.raises(ModelError, match="looks at whole images"):
        make_session().ask(QUESTION, descent="published", focus="rfm", region=Region(TRIANGLE))


def test_a_polygon_comes_from_lonlat_to_the_pixels_it_covers(scene_path):
    scene = open_scene(scene_path)
    a, _, c, _, e, f = scene.transform
    xs, ys = TRIANGLE.exterior.xy
    lon, lat = transform(scene.crs, "EPSG:4326", [c + a * x for x in xs], [f + e * y for y in ys])
    region = region_from_crs(scene, shapely.Polygon(zip(lon, lat, strict=True)), "OGC:CRS84")
    assert region.geometry.symmetric_difference(TRIANGLE).area < 1e-3 * TRIANGLE.area
    native = shapely.Polygon([(c + a * x, f + e * y) for x, y in zip(xs, ys, strict=True)])
    same = region_from_crs(scene, native, scene.crs)
    assert same.geometry.symmetric_difference(TRIANGLE).area < 1e-6 * TRIANGLE.area


def test_a_polygon_is_cut_at_the_edge_of_the_scene(scene_path):
    scene = open_scene(scene_path)
    region = region_from_crs(scene, shapely.box(-50, -50, 10, 20), None)
    assert region.geometry.equals(shapely.box(0, 0, 10, 20))


@pytest.mark.parametrize(
    ("geometry", "crs", "words"),
    [
        (shapely.box(-50, -50, 0, 20), None, "outside the scene"),
        (shapely.box(0, 0, 1, 1), "EPSG:4326", "outside"),
        # meters in a file that says degrees
        (shapely.box(500_000, 5_400_000, 500_100, 5_400_100), "EPSG:4326", "check its CRS"),
        (shapely.box(0, 0, 1, 1), "EPSG:0", "not understood"),
        (shapely.Point(5, 5), None, "a polygon with an area"),
        (shapely.LineString([(0, 0), (9, 9)]), None, "a polygon with an area"),
        (shapely.Polygon([(0, 0), (9, 9), (9, 0), (0, 5)]), None, "not valid"),
        (None, None, "a polygon with an area"),
    ],
)
def test_what_is_no_polygon_on_the_scene_is_a_geometry_error(scene_path, geometry, crs, words):
    with pytest.raises(GeometryError, match=words):
        region_from_crs(open_scene(scene_path), geometry, crs)


def test_a_polygon_on_the_map_needs_a_scene_on_the_map(make_tiff):
    bare = open_scene(make_tiff(texture(80, 80), crs=None, transform=None))
    with pytest.raises(GeometryError, match="no georeference"):
        region_from_crs(bare, shapely.box(0, 0, 9, 9), "EPSG:4326")
    assert region_from_crs(bare, shapely.box(0, 0, 9, 9), None).geometry.area == 81


def test_an_answer_from_beyond_its_map_says_that_geometries_are_cut(make_session, tmp_path):
    path = tmp_path / "mercator.tif"
    place = Affine.translation(20037508.34 - 2000, 1e6) @ Affine.scale(10, -10)
    shape = {"width": 400, "height": 400, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:3857", transform=place, **shape) as dataset:
        dataset.write(texture(400, 400))
    answer = make_session(path).ask(QUESTION)
    assert any("off the map of EPSG:3857" in warning for warning in answer.warnings)


@pytest.mark.parametrize("verb", ["ask", "find", "count"])
def test_a_polygon_in_the_place_of_a_region_is_refused_with_the_way_to_one(make_session, verb):
    phrase = QUESTION if verb == "ask" else "truck"
    with pytest.raises(GeometryError, match=r"Region\.from_crs\(scene, polygon, crs\)"):
        getattr(make_session(), verb)(phrase, region=TRIANGLE)


def test_one_call_asks_within_a_polygon_of_a_map(tiny_host, scene_path):
    scene = open_scene(scene_path)
    to_map = Affine.from_gdal(*rasterio.open(scene_path).transform.to_gdal())
    on_map = shapely.transform(TRIANGLE, lambda xy: [to_map @ tuple(point) for point in xy])
    region = gf.Region.from_crs(scene, on_map, scene.crs_wkt)
    answer = gf.ask(scene, QUESTION, model=tiny_host, budget=FEW, region=region)
    boxes = [shapely.box(*item.box_scene.as_tuple()) for item in answer.evidence]
    assert boxes
    assert all(box.intersection(TRIANGLE).area > 0 for box in boxes)
