"""Scenes out of a STAC item, or out of a collection of items (STAC 1.0 and 1.1)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from geofovea.datasets.inputs.manifest import ManifestRow
from geofovea.datasets.inputs.scene_folders import RASTER_SUFFIXES
from geofovea.datasets.tables.list_files import read_json
from geofovea.errors import DataError
from geofovea.tiling.remote.names import is_remote_name, without_secrets

__all__ = ["STAC_SUFFIXES", "stac_rows"]

STAC_SUFFIXES = (".json", ".geojson")
_MEDIA_TYPES = ("image/tiff", "image/vnd.stac.geotiff", "image/png", "image/jpeg", "image/jp2")
_PREFERRED = ("visual", "data", "image")


def stac_rows(file: Path, asset: str | None) -> Iterator[ManifestRow]:
    """A row for each item; an item whose scene is unclear becomes a row that fails.

    Args:
        file: The JSON file.
        asset: Which asset is the scene; None for the usual names, or the only raster.

    Raises:
        DataError: If the file is not a STAC item or item collection.
    """
    content = read_json(file)
    kind = content.get("type") if isinstance(content, dict) else None
    if kind not in ("FeatureCollection", "Feature"):
        raise DataError(
            f"{file} is not a STAC item collection: its type is {kind!r:.60}; give STAC items, or "
            "write rows as JSON lines (.jsonl), one object on each line"
        )
    items = content.get("features") if kind == "FeatureCollection" else [content]
    if not isinstance(items, list) or not items:
        raise DataError(
            f"{file} has no features: give STAC items as scenes; polygons go with regions="
        )
    for number, item in enumerate(items, 1):
        row = _row_of(item, f"{file}, item {number}")
        # a file that holds one item is that item, wherever it was published
        links = item.get("links") if kind == "FeatureCollection" else None
        yield _with_scene(row, item["assets"], asset, file, links)


def _row_of(item: Any, origin: str) -> ManifestRow:
    """The row of an item, still without its scene.

    Raises:
        DataError: If it is not a STAC item with an id and assets.
    """
    if not isinstance(item, dict) or not isinstance(item.get("assets"), dict):
        raise DataError(
            f"{origin}, field 'assets': is not there, so this is not a STAC item; "
            "polygons go with regions="
        )
    if not isinstance(item.get("id"), str) or not item["id"]:
        raise DataError(f"{origin}, field 'id': {item.get('id')!r:.60} is not text")
    collection = item.get("collection")
    return ManifestRow(
        item["id"],
        origin,
        origin=origin,
        collection=collection if isinstance(collection, str) else "",
    )


def _place_of(links: Any, file: Path) -> str:
    """Where an item is: by its link ``self``, else in the file that lists it."""
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("rel") == "self":
            href = link.get("href")
            if isinstance(href, str) and href and "\0" not in href:
                return _resolved(href, str(file))
    return str(file)


def _with_scene(
    row: ManifestRow, assets: Mapping[str, Any], asset: str | None, file: Path, links: Any
) -> ManifestRow:
    try:
        href = _href(row.origin, assets, asset)
        return replace(row, scene=_resolved(href, _place_of(links, file)))
    except DataError as error:
        return replace(row, problem=str(error))


def _resolved(href: str, base: str) -> str:
    """A reference as seen from the file or URL that it stands in.

    Raises:
        DataError: If it is no reference.
    """
    try:
        parts = urlsplit(href)
    except ValueError as error:
        raise DataError(
            f"the reference {without_secrets(href)!r:.80} is neither a path nor a URL ({error}); "
            "correct it in the STAC item"
        ) from error
    if parts.scheme == "file":
        return unquote(parts.path)
    if is_remote_name(href):
        return href
    if is_remote_name(base):
        return _joined(base, href)
    path = Path(base).parent / href
    # a reference is a URL, where a space is %20; some writers put names there as they are
    decoded = Path(base).parent / unquote(href)
    # these say no to what no file can be called
    is_as_written = os.path.exists(path) or not os.path.exists(decoded)  # noqa: PTH110
    return str(path if is_as_written else decoded)


def _joined(base: str, href: str) -> str:
    """``urljoin``, for schemes that it does not know as well."""
    scheme, rest = base.split("://", 1) if "://" in base else ("", base)
    if not scheme:
        return str(Path(base).parent / href)
    joined = urljoin(f"https://{rest}", href)
    return f"{scheme}://{joined.removeprefix('https://')}"


def _href(origin: str, assets: Mapping[str, Any], asset: str | None) -> str:
    rasters = [key for key, value in assets.items() if _is_raster_asset(value)]
    if asset is not None:
        names = [asset] if asset in assets else []
    else:
        names = [key for key in _PREFERRED if key in rasters][:1] or rasters
    if len(names) != 1:
        raise DataError(
            f"{origin}, field 'assets': there is "
            + (f"no {asset!r}" if asset else f"not one raster but {len(names)}")
            + f" among {', '.join(map(repr, assets)) or 'none'}; choose with asset="
        )
    entry = assets[names[0]]
    href = entry.get("href") if isinstance(entry, dict) else None
    if not isinstance(href, str) or not href or "\0" in href:
        reference = without_secrets(repr(href))
        raise DataError(f"{origin}, field 'assets.{names[0]}.href': {reference:.60} is not a path")
    return href


def _is_raster_asset(asset: Any) -> bool:
    if not isinstance(asset, dict):
        return False
    roles = asset.get("roles")
    listed = roles if isinstance(roles, list) else ()
    if "thumbnail" in listed or "overview" in listed:
        return False
    media = str(asset.get("type") or "").split(";")[0].strip().lower()
    if media:
        return media in _MEDIA_TYPES
    href = str(asset.get("href"))
    # without what may follow the path of a URL
    return Path(re.split("[?#]", href)[0]).suffix.lower() in RASTER_SUFFIXES
