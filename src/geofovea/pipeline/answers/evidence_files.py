"""Files that a GIS opens: GeoJSON with a style beside it, GeoPackage with it inside, GeoParquet."""

from __future__ import annotations

import json
import os
import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from geofovea.errors import MissingExtraError
from geofovea.pipeline.answers.qgis_style import qgis_style
from geofovea.pipeline.system.files import write_file, write_text
from geofovea.tiling.machine.system_errors import room_error
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import geopandas

__all__ = ["LAYER", "as_shown_by_a_gis", "write_geojson", "write_geopackage", "write_geoparquet"]

LAYER = "evidence"
_MOST_OF_A_REASON = 200
_SUFFIXES = (".geojson", ".json")
_STYLES = """\
CREATE TABLE layer_styles (
  id INTEGER PRIMARY KEY AUTOINCREMENT, f_table_catalog TEXT, f_table_schema TEXT,
  f_table_name TEXT, f_geometry_column TEXT, styleName TEXT, styleQML TEXT, styleSLD TEXT,
  useAsDefault BOOLEAN, description TEXT, owner TEXT, ui TEXT,
  update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
"""


def write_geojson(
    path: str | os.PathLike[str], collection: Mapping[str, Any], *, column: str = "attention"
) -> None:
    """Write a FeatureCollection, and beside it the style that QGIS takes for it.

    A style that is there already may be somebody's own work and stays. Into a pipe, or under a name
    that QGIS would not open, the collection is written alone.

    Args:
        path: Where it is written.
        collection: The features.
        column: The property that colors them.

    Raises:
        OutputError: If a file cannot be written.
    """
    write_text(path, json.dumps(collection, indent=1))
    file = Path(path)
    style = file.with_suffix(".qml")
    if file.suffix.lower() in _SUFFIXES and file.is_file() and not style.exists():
        values = [feature["properties"][column] for feature in collection["features"]]
        write_text(style, qgis_style(values, column))


def as_shown_by_a_gis(frame: geopandas.GeoDataFrame, scene: Scene) -> geopandas.GeoDataFrame:
    """The frame where a GIS shows the scene: without georeference y goes up, so it is negative."""
    if frame.crs is not None:
        return frame
    flipped = frame.copy()
    if scene.georef == "affine" and scene.transform is not None:
        a, b, c, d, e, f = scene.transform
        flipped.geometry = frame.geometry.affine_transform([a, b, d, e, c, f])
    else:
        flipped.geometry = frame.geometry.affine_transform([1, 0, 0, -1, 0, 0])
    return flipped


def write_geopackage(
    path: str | os.PathLike[str],
    frame: geopandas.GeoDataFrame,
    *,
    layer: str = LAYER,
    column: str = "attention",
) -> None:
    """Write a frame as one layer of a GeoPackage, with its default style for QGIS.

    Args:
        path: Where it is written.
        frame: The rows.
        layer: What the layer is called.
        column: What colors the rows.

    Raises:
        OutputError: If the file cannot be written.
    """
    style = qgis_style(list(frame[column]), column)

    def write(aside: Path) -> None:
        # the driver makes its own file, and knows it by its suffix
        whole = aside.with_name(f"{aside.stem}-layer.gpkg")
        try:
            with warnings.catch_warnings():
                # a picture without georeference has no CRS, and that is no mistake
                warnings.filterwarnings("ignore", "'crs' was not provided", UserWarning)
                frame.to_file(whole, driver="GPKG", layer=layer, engine="pyogrio")
            _add_style(whole, style, layer, column)
            whole.replace(aside)
        except (ValueError, RuntimeError, sqlite3.Error) as error:
            # a driver quotes all that it sent to the database
            reason = shorten(str(error), _MOST_OF_A_REASON, placeholder=" ...")
            raise room_error(aside.parent) or OSError(reason) from error
        finally:
            whole.unlink(missing_ok=True)

    write_file(path, write)


def _add_style(path: Path, style: str, layer: str, column: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(_STYLES)
        database.execute(
            "INSERT INTO gpkg_contents (table_name, data_type, identifier) "
            "VALUES ('layer_styles', 'attributes', 'layer_styles')"
        )
        database.execute(
            "INSERT INTO layer_styles (f_table_catalog, f_table_schema, f_table_name, "
            "f_geometry_column, styleName, styleQML, styleSLD, useAsDefault, description) "
            "VALUES ('', '', ?, 'geom', ?, ?, '', 1, ?)",
            (layer, column, style, f"{column} of the model"),
        )


def write_geoparquet(path: str | os.PathLike[str], frame: geopandas.GeoDataFrame) -> None:
    """Write a frame as GeoParquet, which keeps its CRS.

    Raises:
        MissingExtraError: If pyarrow is not installed.
        OutputError: If the file cannot be written.
    """
    try:
        import pyarrow.parquet  # noqa: F401 geopandas would name no extra
    except ImportError as error:
        raise MissingExtraError("pyarrow", "geo", "to_geoparquet()") from error
    write_file(path, frame.to_parquet)
