"""Scenes out of xarray: a DataArray, a Dataset with a band in each variable, a pyramid as DataTree.

Nothing is computed here; shapes, coordinates and attributes say all that a scene needs to know.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from geofovea.tiling.array_axes import Axis
from geofovea.tiling.array_bands import ArrayBands
from geofovea.tiling.array_georeference import read_georeference
from geofovea.tiling.array_images import ArrayImage, find_images
from geofovea.tiling.array_levels import ArrayLevels, Missing
from geofovea.tiling.array_overviews import levels_of_images
from geofovea.tiling.array_source import ARRAY_DRIVER, ArraySource
from geofovea.tiling.georeference import Georeference
from geofovea.tiling.scene import Scene

__all__ = ["MASK_COORD", "open_array"]

MASK_COORD = "mask"
"""Name of a coordinate over rows and columns that is 0 where pixels are missing."""

_COLORS = {"red": "red", "green": "green", "blue": "blue", "alpha": "alpha", "gray": "gray"}
_COLORS |= {"r": "red", "g": "green", "b": "blue", "grey": "gray", "nir": "nir"}
# keys under which files and other readers keep one value for missing pixels
_NODATA_KEYS = ("_FillValue", "missing_value", "fill_value", "nodata", "nodatavals")
_DESCRIPTIONS = ("description", "TIFFTAG_IMAGEDESCRIPTION")
_SMALLEST_LEVEL = 32


def open_array(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> Scene:
    """Look at an xarray object as a scene, without computing a pixel.

    * Dimensions may be in any order. Rows and columns are called ``y``, ``x`` (or ``lat``, ``lon``
      and the like); a third dimension is that of the bands, others must have length 1.
    * A Dataset has one two-dimensional variable per band, in their order; or one variable that is
      the image. A DataTree has such a Dataset in each group; the largest is the native level, and
      those of half its size, a quarter... with the same bands and ground are its overviews. What
      else the tree holds is left out, with a note.
    * The place on the ground comes from regular ``x`` and ``y`` coordinates in the unit that they
      name, else from ``GeoTransform``; the CRS from the grid mapping of CF (``spatial_ref``).
      Labels are those of pixel centres, unless their ``bounds`` or a transform say otherwise.
    * ``_FillValue`` (or ``nodata``), NaN, a band called alpha, and a coordinate ``mask`` over rows
      and columns (0 where missing) mark missing pixels.
    * Rows are shown as they are stored, like those of files: with rising ``y`` south is up.

    Raises:
        SceneError: If the object is not an image: the message says what is allowed.
    """
    images = find_images(obj)
    levels, left_out = levels_of_images(images, obj, lambda image: _georeference(image)[0])
    return _scene(levels, _name_of(obj), obj.attrs, left_out)


def _name_of(obj: xr.DataArray | xr.Dataset | xr.DataTree) -> str:
    given = getattr(obj, "name", None)
    return f"xarray:{given or type(obj).__name__}"


def _scene(
    images: Mapping[int, ArrayImage], name: str, attrs: Mapping[Any, Any], notes: tuple[str, ...]
) -> Scene:
    native = images[0]
    georeference, of_place = _georeference(native)
    bands, width, height = native.bands, *native.size
    colors = _colors(native)
    palette = _palette(native.obj.attrs)
    if palette:
        colors = ("palette", *colors[1:])
    missing = _missing(images, colors)
    # numbers that must not be averaged have the levels that somebody made, and no others
    is_averaged = not palette and bands.dtype.kind != "c"
    overview_levels = tuple(
        level
        for level in range(1, 32)
        if level in images or (is_averaged and max(width, height) >> (level - 1) > _SMALLEST_LEVEL)
    )
    levels = ArrayLevels({level: image.bands for level, image in images.items()}, missing)
    source = ArraySource(
        # arrays have no name that is theirs alone
        path=f"{name}#{uuid.uuid4().hex}",
        driver=ARRAY_DRIVER,
        levels=levels,
        overview_levels=overview_levels,
        palette=palette,
        names=native.names,
    )
    all_attrs = {str(k): v for k, v in (dict(attrs) | dict(native.obj.attrs)).items()}
    return Scene(
        path=name,
        source=source,
        width=width,
        height=height,
        count=bands.count,
        dtype=bands.dtype.name,
        nodata=missing.nodata,
        colorinterp=colors,
        block_shape=bands.block_shape,
        overviews=tuple(1 << level for level in overview_levels),
        overview_sizes=tuple(levels.size(level) for level in overview_levels),
        overview_blocks=tuple(
            images[level].bands.block_shape if level in images else bands.block_shape
            for level in overview_levels
        ),
        mask_kind=missing.kind,
        georeference=georeference,
        description=next((str(all_attrs[k]) for k in _DESCRIPTIONS if k in all_attrs), ""),
        notes=(*notes, *of_place),
    )


def _georeference(image: ArrayImage) -> tuple[Georeference, tuple[str, ...]]:
    y_dim, x_dim = image.bands.dims
    obj = image.obj
    attrs = {str(key): value for key, value in obj.attrs.items()}
    for code in ("epsg", "proj:epsg", "proj:code"):
        held = image.coord(code)
        if held is not None and held.ndim == 0 and held.dtype.kind in "uiUO":
            attrs.setdefault(code, held.to_numpy().item())
    given = obj.encoding.get("grid_mapping") or obj.attrs.get("grid_mapping")
    mapping = None
    if given:
        attrs["grid_mapping"] = name = _mapping_of(str(given), x_dim)
        mapping = image.coord(name)
    for usual in ("spatial_ref", "crs"):
        mapping = image.coord(usual) if mapping is None else mapping
    x, y = _axis(image, x_dim, "x"), _axis(image, y_dim, "y")
    of_mapping = None if mapping is None else mapping.attrs
    return read_georeference(image.bands.name, x, y, image.size, of_mapping, attrs)


def _mapping_of(given: str, x_dim: str) -> str:
    """The grid mapping of an axis: CF allows ``"name"`` and ``"name: x y other: lat lon"``."""
    names = given.split()
    chosen = current = names[0].rstrip(":")
    for word in names:
        if word.endswith(":"):
            current = word[:-1]
        elif word == x_dim:
            chosen = current
    return chosen


def _axis(image: ArrayImage, dim: str, called: str) -> Axis | None:
    found = image.coord(dim)
    if found is None:
        return None
    bounds = image.bounds.get(dim)
    return Axis(
        name=f"{image.bands.name}, {called},",
        dim=dim,
        labels=found.to_numpy(),
        attrs=found.attrs,
        bounds=None if bounds is None else bounds.to_numpy(),
    )


def _colors(image: ArrayImage) -> tuple[str, ...]:
    """What each band shows, by the names of the bands."""
    names = image.names or ("",) * image.bands.count
    return tuple(_COLORS.get(name.lower(), "undefined") for name in names)


def _palette(attrs: Mapping[Any, Any]) -> tuple[tuple[int, ...], ...]:
    """RGBA of each index, from a flat list of numbers under ``colormap``."""
    flat = np.asarray(attrs.get("colormap", ()))
    if flat.ndim != 1 or not len(flat) or len(flat) % 4 or flat.dtype.kind not in "ui":
        return ()
    return tuple(tuple(int(v) for v in rgba) for rgba in flat.reshape(-1, 4))


def _missing(images: Mapping[int, ArrayImage], colors: tuple[str, ...]) -> Missing:
    native = images[0]
    planes = {level: _mask_plane(image) for level, image in images.items()}
    if all(planes.values()):
        return Missing("internal", planes={n: plane for n, plane in planes.items() if plane})
    if "alpha" in colors and len(colors) > 1:
        return Missing("alpha", alpha=colors.index("alpha") + 1)
    nodata = _nodata(native)
    if nodata is None and native.bands.dtype.kind == "f":
        nodata = float("nan")
    return Missing() if nodata is None else Missing("nodata", nodata=nodata)


def _mask_plane(image: ArrayImage) -> ArrayBands | None:
    plane = image.coord(MASK_COORD)
    if plane is None or set(plane.dims) != set(image.bands.dims):
        return None
    return ArrayBands(f"the mask of {image.bands.name}", (plane,), image.bands.dims)


def _nodata(image: ArrayImage) -> float | None:
    """The declared value, if a pixel can have it."""
    dtype = image.bands.dtype
    if dtype.kind == "c":
        return None
    # what is under "encoding" was replaced by NaN when floats were decoded from it
    places = [image.obj.attrs] + ([image.obj.encoding] if dtype.kind in "ui" else [])
    for key in _NODATA_KEYS:
        for place in places:
            given = np.asarray(place[key]).ravel() if key in place else np.empty(0)
            if len(given) and given.dtype.kind in "uif":
                value = float(given[0])
                is_possible = dtype.kind == "f" or (
                    value.is_integer() and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max
                )
                return value if is_possible else None
    return None
