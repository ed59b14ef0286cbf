"""Which scenes a name stands for: a file, a folder, a glob, a manifest, a STAC item collection."""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from geofovea.datasets.manifest import (
    MANIFEST_SUFFIXES,
    ManifestRow,
    check_ids,
    place_scene,
    read_manifest,
)
from geofovea.errors import DataError
from geofovea.tiling.source import split_page

__all__ = ["RASTER_SUFFIXES", "list_scenes"]

RASTER_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".jp2", ".j2k", ".j2c")
_STAC_SUFFIXES = (".json", ".geojson")
_MEDIA_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/png", "image/jpeg", "image/jp2")
_PREFERRED = ("visual", "data", "image")


def list_scenes(sources: list[str], *, asset: str | None = None) -> list[ManifestRow]:
    """The rows that some names stand for, in their order; each file of folders and globs once.

    Args:
        sources: Raster files and URLs; folders, searched with all below them for names that end
            like a raster's; globs (``**`` goes into folders); manifests; STAC item collections.
        asset: Which asset of STAC items is the scene; by default ``visual``, ``data`` or
            ``image``, or the only raster among them.

    Raises:
        DataError: If a name stands for nothing, two rows have one id, or a file is malformed.
    """
    rows: list[ManifestRow] = []
    listed: set[str] = set()
    for source in sources:
        for row in _rows_of(source, asset):
            # only what people listed themselves may be meant twice
            if row.question is None and not row.origin:
                if os.path.realpath(row.scene) in listed:
                    continue
                listed.add(os.path.realpath(row.scene))
            rows.append(row)
    check_ids(rows)
    return rows


def _rows_of(source: str, asset: str | None) -> Iterator[ManifestRow]:
    path = Path(source)
    suffix = path.suffix.lower()
    if "://" in source or source.startswith("/vsi"):
        yield ManifestRow(id=source, scene=source)
    elif path.is_dir():
        found = sorted(p for p in path.rglob("*") if _looks_like_raster(p))
        if not found:
            raise DataError(
                f"the folder {path} holds no file that ends in {', '.join(RASTER_SUFFIXES)}"
            )
        for file in found:
            yield ManifestRow(id=file.as_posix(), scene=str(file))
    elif path.exists() and suffix in MANIFEST_SUFFIXES:
        yield from read_manifest(path)
    elif path.exists() and suffix in _STAC_SUFFIXES:
        yield from _stac_rows(path, asset)
    elif glob.has_magic(source) and not path.exists():
        names = sorted(glob.glob(source, recursive=True))  # noqa: PTH207  (absolute patterns too)
        files = [name for name in names if not Path(name).is_dir()]
        if not files:
            raise DataError(f"the pattern {source!r} matches no file; put it in quotes")
        for name in files:
            yield ManifestRow(id=Path(name).as_posix(), scene=name)
    elif path.exists() or Path(split_page(source)[1]).exists():
        yield ManifestRow(id=path.as_posix(), scene=source)
    else:
        raise DataError(
            f"there is no {source!r}: give raster files, folders, globs, manifests "
            f"({', '.join(MANIFEST_SUFFIXES)}) or STAC item collections (.json)"
        )


def _looks_like_raster(path: Path) -> bool:
    is_hidden = path.name.startswith(".")
    # a link to nowhere has a row too: it fails with its reason, instead of being passed over
    return path.suffix.lower() in RASTER_SUFFIXES and not is_hidden and not path.is_dir()


def _stac_rows(file: Path, asset: str | None) -> Iterator[ManifestRow]:
    """Rows of a STAC ItemCollection, or of one Item (STAC 1.0 and 1.1)."""
    try:
        read = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read as JSON: {error}") from error
    kind = read.get("type") if isinstance(read, dict) else None
    if kind not in ("FeatureCollection", "Feature"):
        raise DataError(f"{file} is no STAC item collection: its type is {kind!r}")
    items = read.get("features") if kind == "FeatureCollection" else [read]
    if not isinstance(items, list) or not items:
        raise DataError(f"{file} is a STAC item collection without items")
    for number, item in enumerate(items, 1):
        origin = f"{file}, item {number}"
        assets = item.get("assets") if isinstance(item, dict) else None
        if not isinstance(assets, dict):
            raise DataError(f"{origin}, field 'assets': is not there; is this GeoJSON of STAC?")
        if not isinstance(item.get("id"), str) or not item["id"]:
            raise DataError(f"{origin}, field 'id': {item.get('id')!r:.60} is no text")
        href = _href(origin, assets, asset)
        yield ManifestRow(item["id"], place_scene(href, file.parent), origin=origin)


def _href(origin: str, assets: Mapping[str, Any], wanted: str | None) -> str:
    rasters = [key for key, value in assets.items() if _is_raster_asset(value)]
    if wanted is not None:
        chosen = [wanted] if wanted in assets else []
    else:
        chosen = [key for key in _PREFERRED if key in rasters][:1] or rasters
    if len(chosen) != 1:
        raise DataError(
            f"{origin}, field 'assets': there is "
            + (f"no {wanted!r}" if wanted else f"not one raster but {len(chosen)}")
            + f" among {', '.join(map(repr, assets)) or 'none'}; choose with --asset"
        )
    given = assets[chosen[0]]
    href = given.get("href") if isinstance(given, dict) else None
    if not isinstance(href, str) or not href or "\0" in href:
        raise DataError(f"{origin}, field 'assets.{chosen[0]}.href': {href!r:.60} is no path")
    parts = urlsplit(href)
    return unquote(parts.path) if parts.scheme == "file" else href


def _is_raster_asset(asset: Any) -> bool:
    if not isinstance(asset, dict) or {"thumbnail", "overview"} & set(asset.get("roles") or ()):
        return False
    media = str(asset.get("type") or "").split(";")[0].strip().lower()
    if media:
        return media in _MEDIA_TYPES
    return Path(urlsplit(str(asset.get("href"))).path).suffix.lower() in RASTER_SUFFIXES
