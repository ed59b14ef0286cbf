"""A file of polygons whose CRS is not understood is not one without a CRS."""

import json
import sqlite3

import geopandas
import numpy as np
import pyarrow.parquet
import pytest
import rasterio
import shapely

import geofovea as gf
from geofovea.datasets.inputs.region_files import NamedRegion, read_regions
from geofovea.errors import DataError, GeometryError
from geofovea.tiling.geo.region import Region

BOX = shapely.box(10, 10, 30, 30)
SITE_GRID = (
    'LOCAL_CS["site grid",LOCAL_DATUM["x",0],UNIT["metre",1],AXIS["E",EAST],AXIS["N",NORTH]]'
)


def shapefile(folder, prj):
    """A shapefile with such a text beside it; its own half of a CRS for ``CUT``."""
    path = folder / "r.shp"
    frame().to_file(path)
    whole = path.with_suffix(".prj").read_text()
    path.with_suffix(".prj").write_text(whole[: len(whole) // 2] if prj == "CUT" else prj)
    return path


def geopackage(folder, srs_id, definition=None):
    """A GeoPackage whose one layer has such an id, which may be defined otherwise."""
    path = folder / "r.gpkg"
    frame().to_file(path)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gpkg_geometry_columns SET srs_id = ?", (srs_id,))
        if definition:
            query = "UPDATE gpkg_spatial_ref_sys SET definition = ?, organization = 'x'"
            database.execute(f"{query} WHERE srs_id = ?", (definition, srs_id))
    database.close()
    return path


def parquet(folder, crs):
    """A GeoParquet file whose metadata hold such a CRS."""
    path = folder / "r.parquet"
    frame().to_parquet(path)
    table = pyarrow.parquet.read_table(path)
    geo = json.loads(table.schema.metadata[b"geo"])
    geo["columns"]["geometry"]["crs"] = crs
    metadata = table.schema.metadata | {b"geo": json.dumps(geo).encode()}
    pyarrow.parquet.write_table(table.replace_schema_metadata(metadata), path)
    return path


def scene_in(folder, crs):
    """A scene of 40 pixels of a meter, whose lower left corner is the origin."""
    shape = {"width": 40, "height": 40, "count": 1, "dtype": "uint8"}
    place = rasterio.Affine(1, 0, 0, 0, -1, 40)
    with rasterio.open(folder / "s.tif", "w", crs=crs, transform=place, **shape) as dataset:
        dataset.write(np.ones((1, 40, 40), np.uint8))
    return gf.open_scene(folder / "s.tif")


def frame():
    return geopandas.GeoDataFrame({"name": ["a"]}, geometry=[BOX], crs="EPSG:32633")


@pytest.mark.parametrize(
    ("make", "stated", "cure"),
    [
        (shapefile, ("CUT",), r"mend r\.prj, or delete it and state the CRS with crs="),
        (shapefile, ("no such CRS",), r"mend r\.prj, or delete it"),
        (shapefile, ("\0\1\2",), r"mend r\.prj, or delete it"),
        (geopackage, (7,), r"srs_id 7 .* state the CRS with crs="),
        (geopackage, (32633, "no such CRS"), r"srs_id 32633 "),
        (parquet, ("no such CRS",), "write the file again with a known CRS"),
        (parquet, ("EPSG:99999",), "write the file again"),
        (parquet, ({"type": "GeographicCRS", "name": "x"},), "write the file again"),
    ],
)
def test_a_crs_that_is_not_understood_is_refused_in_the_name_of_its_file(
    tmp_path, recwarn, make, stated, cure
):
    path = make(tmp_path, *stated)
    with pytest.raises(DataError, match=cure) as error:
        read_regions(path)
    assert str(error.value).startswith(f"{path} names a CRS that is not understood")
    assert not list(recwarn)


@pytest.mark.parametrize(
    ("make", "stated"),
    [(shapefile, (" \n",)), (geopackage, (-1,)), (parquet, (None,))],
)
def test_a_crs_that_is_said_to_be_unknown_is_none(tmp_path, make, stated):
    assert read_regions(make(tmp_path, *stated))[0].crs is None


def test_a_geopackage_written_without_a_crs_has_none(tmp_path):
    path = tmp_path / "none.gpkg"
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        geopandas.GeoDataFrame(geometry=[BOX]).to_file(path)
    assert read_regions(path)[0].crs is None


def test_what_is_stated_goes_before_an_id_that_nothing_defines(tmp_path):
    assert read_regions(geopackage(tmp_path, 7), crs="EPSG:32633")[0].crs == "EPSG:32633"


def test_a_cure_that_a_message_names_works(tmp_path):
    path = shapefile(tmp_path, "CUT")
    path.with_suffix(".prj").unlink()
    assert read_regions(path, crs="EPSG:32633")[0].crs == "EPSG:32633"


def test_what_cannot_be_placed_is_named_by_its_file_and_row(tmp_path):
    scene = scene_in(tmp_path, "EPSG:32633")
    (row,) = read_regions(shapefile(tmp_path, SITE_GRID))
    with pytest.raises(GeometryError, match=r"r\.shp, row 1: .* grid of its own"):
        row.on(scene)
    (row,) = read_regions(shapefile(tmp_path, ""))
    with pytest.raises(GeometryError, match=r"r\.shp, row 1: the polygon has no CRS"):
        row.on(scene)
    far = NamedRegion("1", shapely.box(1, 60, 19, 79), None, "r.shp, row 1")
    (caution,) = far.cautions(scene, Region(BOX))
    assert caution.startswith("r.shp, row 1: the polygon has no CRS")


def test_a_grid_of_its_own_has_the_places_of_a_scene_in_the_same_grid(tmp_path):
    scene = scene_in(tmp_path, SITE_GRID)
    row = NamedRegion("1", BOX, scene.crs_wkt, "r.shp, row 1")
    assert row.on(scene).geometry.bounds == (10, 10, 30, 30)
