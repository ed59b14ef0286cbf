"""Which scenes a name stands for: a file, a folder, a glob, a manifest, a STAC item collection."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from geofovea.datasets.inputs.manifest import (
    MANIFEST_SUFFIXES,
    ManifestRow,
    check_ids,
    read_manifest,
)
from geofovea.datasets.inputs.manifest_columns import ManifestColumns
from geofovea.datasets.inputs.scene_folders import RASTER_SUFFIXES, find_rasters
from geofovea.datasets.inputs.stac import STAC_SUFFIXES, stac_rows
from geofovea.errors import DataError
from geofovea.tiling.files.source import split_page
from geofovea.tiling.machine.paths import is_file, is_folder
from geofovea.tiling.machine.system_errors import reason_of
from geofovea.tiling.remote.names import is_remote_name, without_secrets

__all__ = ["RASTER_SUFFIXES", "list_scenes"]

# tables and lists of other programs, which people give in place of a manifest
_OTHER_TABLES = (
    *(".xlsx", ".xls", ".xlsm", ".ods", ".numbers", ".txt", ".lst", ".feather", ".arrow", ".orc"),
    *(".csv.gz", ".tsv.gz", ".jsonl.gz", ".ndjson.gz", ".csv.bz2", ".csv.zst", ".csv.zip"),
)


def list_scenes(
    sources: list[str], *, asset: str | None = None, columns: ManifestColumns | None = None
) -> list[ManifestRow]:
    """The rows that some names stand for, in their order; each file of folders and globs once.

    Args:
        sources: Raster files and URLs; folders, searched with all below them for names that end
            like a raster's; globs (``**`` goes into folders); manifests; STAC item collections.
        asset: Which asset of STAC items is the scene; by default ``visual``, ``data`` or
            ``image``, or the only raster among them.
        columns: Which columns of manifests are meant, where their names do not say so.

    Raises:
        DataError: If a name stands for nothing, two rows have one id, a file is malformed, or
            something is given that none of the sources has a use for.
    """
    _check_meant(sources, asset, columns)
    rows: list[ManifestRow] = []
    listed: set[str] = set()
    for source in sources:
        for row in _rows_of(source, asset, columns):
            # only what people listed themselves may be meant twice
            if row.question is None and not row.origin:
                place = row.name if is_remote_name(row.scene) else os.path.realpath(row.scene)
                if place in listed:
                    continue
                listed.add(place)
            rows.append(row)
    rows = _with_collections(rows)
    check_ids(rows)
    return rows


def _check_meant(sources: list[str], asset: str | None, columns: ManifestColumns | None) -> None:
    """Refuse what is said of sources of a kind that none of them is of."""
    if asset is not None and not any(map(_is_stac, sources)):
        raise DataError(
            f"asset={asset!r} chooses among the assets of STAC items, and none of the sources is a "
            "STAC item or item collection (.json); leave out asset="
        )
    named = {} if columns is None else {"scene": columns.scene, "question": columns.question}
    for what, name in named.items():
        if name is not None and not any(map(_is_manifest, sources)):
            raise DataError(
                f"{what}_column={name!r} is a column of a manifest, and none of the sources is one "
                f"({', '.join(MANIFEST_SUFFIXES)}); leave out {what}_column="
            )


def _is_manifest(source: str) -> bool:
    # a folder may be one, too: a table in parts, as Spark and Dask write it
    is_table = Path(source).suffix.lower() in MANIFEST_SUFFIXES
    return is_table and (is_file(source) or is_folder(source))


def _is_stac(source: str) -> bool:
    return Path(source).suffix.lower() in STAC_SUFFIXES and is_file(source)


def _with_collections(rows: list[ManifestRow]) -> list[ManifestRow]:
    """Rows whose ids are unique: those of STAC are so within a collection, whose name is added."""
    times = Counter(row.id for row in rows)
    return [
        replace(row, id=f"{row.collection}/{row.id}")
        if times[row.id] > 1 and row.collection
        else row
        for row in rows
    ]


def _rows_of(
    source: str, asset: str | None, columns: ManifestColumns | None
) -> Iterator[ManifestRow]:
    """The rows that one name stands for: a file, URL, table, folder, STAC file or pattern."""
    if not source.strip():
        raise DataError("an empty name stands for no scene; give '.' for the folder you are in")
    if is_remote_name(source):
        yield ManifestRow(id=source, scene=source)
        return
    path = Path(source)
    try:
        exists = path.exists()
    except OSError as error:
        raise DataError(f"{source!r:.200} cannot be read: {reason_of(error)}") from error
    suffix = path.suffix.lower()
    if not exists:
        yield from _rows_of_pattern_or_page(source)
    elif suffix in MANIFEST_SUFFIXES:
        # a folder is a table in parts here, as Spark and Dask write it
        yield from read_manifest(path, columns)
    elif path.is_dir():
        yield from _rows_of_folder(path)
    elif suffix in STAC_SUFFIXES:
        yield from stac_rows(path, asset)
    elif source.lower().endswith(_OTHER_TABLES):
        raise DataError(
            f"{source!r} is a list or table of a kind that is not read; save it as CSV with a "
            f"column 'scene', or give one of {', '.join(MANIFEST_SUFFIXES)}"
        )
    else:
        yield ManifestRow(id=path.as_posix(), scene=source)


def _rows_of_pattern_or_page(source: str) -> Iterator[ManifestRow]:
    """Rows of a name that is not itself a file: a glob, or a page ``GTIFF_DIR:2:scene.tif``."""
    if glob.has_magic(source):
        names = sorted(glob.glob(source, recursive=True))  # noqa: PTH207  (absolute patterns too)
        files = [name for name in names if not Path(name).is_dir()]
        if not files:
            raise DataError(f"the pattern {source!r} matches no file; put it in quotes")
        for name in files:
            yield ManifestRow(id=Path(name).as_posix(), scene=name)
    elif Path(split_page(source)[1]).exists():
        yield ManifestRow(id=Path(source).as_posix(), scene=source)
    else:
        raise DataError(
            f"there is no {without_secrets(source)!r}: give raster files, folders, globs, "
            f"manifests ({', '.join(MANIFEST_SUFFIXES)}) or STAC item collections (.json)"
        )


def _rows_of_folder(folder: Path) -> Iterator[ManifestRow]:
    files, unread = find_rasters(folder)
    if not files and not unread:
        raise DataError(
            f"the folder {folder} holds no file that ends in {', '.join(RASTER_SUFFIXES)}"
        )
    for file in files:
        yield ManifestRow(id=file.as_posix(), scene=str(file))
    for unreadable in unread:
        # what could not be searched is not passed over
        problem = f"the folder {unreadable} cannot be read; check its permissions"
        yield ManifestRow(id=unreadable.as_posix(), scene=str(unreadable), problem=problem)
