"""The results of a batch as files, made from the journal: JSON lines, CSV and GeoParquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from geofovea.errors import MissingExtraError
from geofovea.pipeline.runs.batch_plan import PlannedRow
from geofovea.pipeline.runs.item import ItemKey
from geofovea.pipeline.runs.journal import Entry
from geofovea.pipeline.system.files import write_file, write_text
from geofovea.pipeline.system.tables import csv_table

__all__ = [
    "ANSWERS",
    "check_geoparquet",
    "point_of",
    "result_rows",
    "write_csv",
    "write_geoparquet",
    "write_jsonl",
]

ANSWERS = "answers.jsonl"
"""The file of results in the folder of a batch."""

_LONLAT = "OGC:CRS84"
_CSV = (
    *("id", "scene", "question", "region", "status", "answer", "confidence"),
    *("longitude", "latitude", "error", "warnings", "stopped"),
    *("tiles_encoded", "tokens_llm", "seconds", "crs", "model", "configuration"),
)


def result_rows(
    rows: Sequence[PlannedRow], entries: Mapping[ItemKey, Entry]
) -> list[dict[str, Any]]:
    """One object for each row that came to an end, in the order of the plan.

    Every one has the same fields: ``id``, ``scene``, ``question``, ``region``, ``status``
    (``answered`` or ``failed``), ``answer``, ``confidence``, ``evidence``, ``geometry`` (GeoJSON in
    lon/lat of the finest evidence, within the region), ``cost``, ``warnings``, ``stopped``,
    ``route``, ``scene_facts``, ``radiometry``, ``measurement``, ``error``, ``tries``,
    ``provenance``. What a failed row lacks is null.
    """
    results = []
    for row in rows:
        entry = entries.get(row.item.key)
        if row.problem:
            entry = Entry("failed", 0, None, row.problem, 0.0)
        if entry is not None and entry.state != "begun":
            results.append(_result_row(row, entry))
    return results


def _result_row(row: PlannedRow, entry: Entry) -> dict[str, Any]:
    """The object of one row that came to an end."""
    record = json.loads(entry.record) if entry.record else {}
    # an endpoint may not say how sure it is: that is no confidence of 0
    is_known = record.get("confidence_known", True)
    return {
        "id": row.id,
        "scene": row.scene,
        "question": row.question,
        "region": row.region,
        "status": entry.state,
        "answer": record.get("answer"),
        "confidence": record.get("confidence") if is_known else None,
        "evidence": record.get("evidence"),
        "geometry": record.get("geometry"),
        "cost": record.get("cost"),
        "warnings": record.get("warnings"),
        "stopped": record.get("stopped"),
        "route": record.get("route"),
        "scene_facts": record.get("scene"),
        "radiometry": record.get("radiometry"),
        "measurement": record.get("measurement"),
        "error": entry.error,
        "tries": entry.tries,
        "provenance": record.get("provenance"),
    }


def write_jsonl(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one object a line.

    Raises:
        OutputError: If the file cannot be written.
    """
    write_text(path, "\n".join(json.dumps(result) for result in results))


def write_csv(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one row a result, for spreadsheets and as points for any GIS.

    ``longitude`` and ``latitude`` are a point within the ``geometry`` of a result, in degrees. What
    a result lacks is an empty cell. The file begins with a byte order mark, without which Excel
    reads other letters than were written.

    Raises:
        OutputError: If the file cannot be written.
    """
    rows = [result | _figures(result) | _lonlat(result) for result in map(dict, results)]
    for row in rows:
        row["warnings"] = " | ".join(row["warnings"] or ())
    table = csv_table(_CSV, ([row[name] for name in _CSV] for row in rows))
    write_text(path, f"\ufeff{table}")


def point_of(result: Mapping[str, Any]) -> tuple[float, float] | None:
    """Longitude and latitude of a point within the geometry of a result, in degrees."""
    from shapely.geometry import shape

    if result.get("geometry") is None:
        return None
    point = shape(result["geometry"]).representative_point()
    return None if point.is_empty else (point.x, point.y)


def _lonlat(result: Mapping[str, Any]) -> dict[str, float | None]:
    """Columns of the point, to a centimeter."""
    point = point_of(result)
    if point is None:
        return {"longitude": None, "latitude": None}
    return {"longitude": round(point[0], 7), "latitude": round(point[1], 7)}


def _figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """What tables are sorted by, out of the nested fields; None where a result lacks it."""
    cost, provenance = result["cost"] or {}, result["provenance"] or {}
    return {
        "tiles_encoded": cost.get("tiles_encoded"),
        "tokens_llm": cost.get("tokens_llm"),
        "seconds": cost.get("seconds", {}).get("total"),
        "crs": (result["scene_facts"] or {}).get("crs"),
        "model": provenance.get("model"),
        "configuration": provenance.get("configuration"),
    }


def check_geoparquet() -> None:
    """Fail before the work where GeoParquet could not be written after it.

    Raises:
        MissingExtraError: If geopandas or pyarrow is not installed.
    """
    for package in ("geopandas", "pyarrow"):
        try:
            __import__(package)
        except ImportError as error:
            purpose = "GeoParquet (leave it out with --no-geoparquet)"
            raise MissingExtraError(package, "geo", purpose) from error


def write_geoparquet(results: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one row a result; the geometry is in lon/lat, whatever CRSs the scenes have.

    Nested fields (``evidence``, ``cost``, ``provenance``, ...) are JSON texts; the figures that
    tables are sorted by have columns of their own.

    Raises:
        OutputError: If the file cannot be written.
    """
    import geopandas
    from shapely.geometry import shape

    nested = (
        *("evidence", "cost", "route", "scene_facts", "radiometry", "measurement"),
        "provenance",
    )
    plain = ("id", "scene", "question", "region", "status", "answer", "stopped", "error", "tries")
    columns: dict[str, list[Any]] = {name: [r[name] for r in results] for name in plain}
    columns["confidence"] = [_number(r["confidence"]) for r in results]
    figures = [_figures(result) for result in results]
    for name in ("tiles_encoded", "tokens_llm", "seconds"):
        columns[name] = [_number(each[name]) for each in figures]
    for name in ("crs", "model", "configuration"):
        columns[name] = [each[name] for each in figures]
    columns["warnings"] = [list(r["warnings"] or ()) for r in results]
    columns |= {
        name: [None if r[name] is None else json.dumps(r[name]) for r in results] for name in nested
    }
    geometry = [None if r["geometry"] is None else shape(r["geometry"]) for r in results]
    frame = geopandas.GeoDataFrame(columns, geometry=geometry, crs=_LONLAT)
    write_file(path, frame.to_parquet)


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)
