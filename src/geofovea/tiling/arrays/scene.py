"""Scenes made of arrays: a DataArray, a Dataset with a band per variable, a DataTree of levels.

Nothing is computed here. Shapes, coordinates and attributes say all that a scene needs to know.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from geofovea.tiling.arrays.axes import Axis
from geofovea.tiling.arrays.bands import ArrayBands
from geofovea.tiling.arrays.fill_values import fill_values, unusable_fill_values
from geofovea.tiling.arrays.georeference import read_georeference
from geofovea.tiling.arrays.grid_part import COL, ROW
from geofovea.tiling.arrays.images import ArrayImage, find_images
from geofovea.tiling.arrays.levels import ArrayLevels, ArrayMask
from geofovea.tiling.arrays.overviews import levels_of_images
from geofovea.tiling.arrays.packing import band_packings
from geofovea.tiling.arrays.pictures import as_xarray, picture_warnings
from geofovea.tiling.arrays.source import ARRAY_DRIVER, ArraySource
from geofovea.tiling.arrays.valid_range import valid_ranges
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.scene import MaskKind, Scene

__all__ = ["MASK_COORD", "open_array"]

MASK_COORD = "mask"
"""Name of a coordinate over rows and columns that is 0 where pixels are missing."""

_COLORS = {"red": "red", "green": "green", "blue": "blue", "alpha": "alpha", "gray": "gray"}
_COLORS |= {"r": "red", "g": "green", "b": "blue", "grey": "gray", "nir": "nir"}
_DESCRIPTIONS = ("description", "TIFFTAG_IMAGEDESCRIPTION")
_SMALLEST_LEVEL = 32


def open_array(picture: object) -> Scene:
    """Describe an xarray object as a scene, without computing a pixel.

    A numpy array or a PIL image becomes a DataArray first; see ``as_xarray``.

    * Dimensions may be in any order. Rows and columns are called ``y``, ``x`` (or ``lat``, ``lon``
      and the like). A third dimension is that of the bands. All others must have length 1.
    * A Dataset has one two-dimensional variable per band, in their order, or one variable that is
      the image. A DataTree has such a Dataset in each group. The largest is the native level;
      those of 1/2, 1/4, ... of its size, with the same bands and ground, are its overviews.
      Whatever else the tree holds is left out, with a note.
    * The place on the ground comes from regular ``x`` and ``y`` coordinates in the unit that they
      name, or else from ``GeoTransform``. The CRS comes from the CF grid mapping
      (``spatial_ref``). Labels are those of pixel centers, unless their ``bounds`` or a transform
      say otherwise.
    * ``_FillValue`` (or ``nodata``), NaN, what lies outside of ``valid_range`` (or ``valid_min``
      and ``valid_max``), a band called alpha, and a coordinate ``mask`` over rows and columns (0
      where missing) mark missing pixels.
    * Rows are shown in the order in which they are stored, as those of files are: if ``y`` rises,
      south is up.

    Raises:
        SceneError: If the object is not an image: the message says what is allowed.
    """
    obj = as_xarray(picture)
    images = find_images(obj)
    levels, left_out = levels_of_images(images, obj, lambda image: _georeference(image)[0])
    # an attribute of a Dataset may be one of its variables
    is_named = not isinstance(obj, xr.Dataset) and obj.name
    name = obj.name if is_named else type(obj).__name__
    # a picture that was no xarray object is known by its own kind
    package = "xarray" if obj is picture else type(picture).__module__.partition(".")[0]
    notes = (*left_out, *picture_warnings(picture))
    return _scene(levels, f"{package}:{name}", obj.attrs, notes)


def _scene(
    images: Mapping[int, ArrayImage], name: str, attrs: Mapping[Any, Any], notes: tuple[str, ...]
) -> Scene:
    """The scene of images by level; ``notes`` are those about what was left out."""
    native = images[0]
    georeference, of_place = _georeference(native)
    bands, width, height = native.bands, *native.size
    colors = _colors(native)
    palette = _palette(native.obj.attrs)
    if palette:
        colors = ("palette", *colors[1:])
    missing = _missing(images, colors)
    # indexes and complex numbers must not be averaged
    overview_levels = _overview_levels(images, averaged=not palette and bands.dtype.kind != "c")
    levels = ArrayLevels({level: image.bands for level, image in images.items()}, missing)
    source = ArraySource(
        # arrays have no unique name of their own
        path=f"{name}#{uuid.uuid4().hex}",
        driver=ARRAY_DRIVER,
        levels=levels,
        overview_levels=overview_levels,
        palette=palette,
        names=native.names,
        packings=band_packings(native),
    )
    all_attrs = {str(k): v for k, v in (dict(attrs) | dict(native.obj.attrs)).items()}
    return Scene(
        path=name,
        source=source,
        width=width,
        height=height,
        count=bands.count,
        dtype=bands.dtype.name,
        nodata=_first_nodata(missing, bands.dtype),
        colorinterp=colors,
        block_shape=bands.block_shape,
        overviews=tuple(1 << level for level in overview_levels),
        overview_sizes=tuple(levels.size(level) for level in overview_levels),
        overview_blocks=tuple(
            images[level].bands.block_shape if level in images else bands.block_shape
            for level in overview_levels
        ),
        mask_kind=_mask_kind(missing, bands.dtype),
        georeference=georeference,
        description=next((str(all_attrs[k]) for k in _DESCRIPTIONS if k in all_attrs), ""),
        nodata_bands=missing.nodata,
        packings=source.packings,
        warnings=(
            *notes,
            *native.notes,
            *of_place,
            *unusable_fill_values(native),
            *valid_ranges(native)[1],
        ),
        is_min_white=str(all_attrs.get("photometric", "")).lower() == "miniswhite",
    )


def _overview_levels(images: Mapping[int, ArrayImage], *, averaged: bool) -> tuple[int, ...]:
    """The levels that somebody made and, where pixels may be averaged, all others down to a few."""
    long_side = max(images[0].size)
    return tuple(
        level
        for level in range(1, 32)
        if level in images or (averaged and long_side >> (level - 1) > _SMALLEST_LEVEL)
    )


def _first_nodata(missing: ArrayMask, dtype: np.dtype[Any]) -> float | None:
    """The nodata value of the scene as a whole: that of the first band with one, else NaN."""
    nodata = next((value for value in missing.nodata if value is not None), None)
    if nodata is None:
        return float("nan") if dtype.kind == "f" else None
    return float(nodata)


def _georeference(image: ArrayImage) -> tuple[Georeference, tuple[str, ...]]:
    """Where an image lies on the ground, and what a reader should know of that."""
    y_dim, x_dim = image.bands.dims
    obj = image.obj
    attrs = {str(key): value for key, value in obj.attrs.items()}
    for code in ("epsg", "proj:epsg", "proj:code"):
        code_coord = image.coord(code)
        if code_coord is not None and code_coord.ndim == 0 and code_coord.dtype.kind in "uiUO":
            attrs.setdefault(code, code_coord.to_numpy().item())
    mapping_name = obj.encoding.get("grid_mapping") or obj.attrs.get("grid_mapping")
    mapping = None
    if mapping_name:
        attrs["grid_mapping"] = name = _mapping_of(str(mapping_name), x_dim)
        mapping = image.coord(name)
    for usual in ("spatial_ref", "crs"):
        mapping = image.coord(usual) if mapping is None else mapping
    x, y = _axis(image, x_dim, "x"), _axis(image, y_dim, "y")
    of_mapping = None if mapping is None else mapping.attrs
    placed, notes = read_georeference(
        image.bands.name, x, y, image.size, of_mapping, attrs, _grid_numbers(image)
    )
    if placed.kind == "none" and (names := _places_of_pixels(image)):
        notes = (
            *notes,
            f"the coordinates {' and '.join(map(repr, names))} give each pixel a place of its own, "
            "which is not used, so there is no lon/lat; resample to a regular grid for one",
        )
    return placed, notes


def _grid_numbers(image: ArrayImage) -> tuple[Any, Any] | None:
    """The numbers of its columns and rows in the grid that it was cut from, where it has both."""
    y_dim, x_dim = image.bands.dims
    cols, rows = image.coord(COL), image.coord(ROW)
    if cols is None or rows is None or (cols.dims, rows.dims) != ((x_dim,), (y_dim,)):
        return None
    return cols.to_numpy(), rows.to_numpy()


def _places_of_pixels(image: ArrayImage) -> tuple[str, ...]:
    """Names of longitude and latitude of each pixel, as swaths and curvilinear grids have them."""
    dims = set(image.bands.dims)
    names = [str(name) for name, coord in image.obj.coords.items() if set(coord.dims) == dims]
    found = [next((n for n in names if word in n.lower()), "") for word in ("lon", "lat")]
    return tuple(found) if all(found) else ()


def _mapping_of(attribute: str, x_dim: str) -> str:
    """The grid mapping of an axis: CF allows ``"name"`` and ``"name: x y other: lat lon"``."""
    names = attribute.split()
    of_axis = current = names[0].rstrip(":")
    for word in names:
        if word.endswith(":"):
            current = word[:-1]
        elif word == x_dim:
            of_axis = current
    return of_axis


def _axis(image: ArrayImage, dim: str, called: str) -> Axis | None:
    labels = image.coord(dim)
    if labels is None:
        return None
    bounds = image.bounds.get(dim)
    return Axis(
        name=f"{image.bands.name}, {called},",
        dim=dim,
        labels=labels.to_numpy(),
        attrs=labels.attrs,
        bounds=None if bounds is None else bounds.to_numpy(),
    )


def _colors(image: ArrayImage) -> tuple[str, ...]:
    """What each band shows, by the names of the bands."""
    names = image.names or ("",) * image.bands.count
    colors = tuple(_COLORS.get(name.lower(), "undefined") for name in names)
    if image.bands.dtype.kind == "c":
        # a wave is neither opaque nor transparent
        return tuple("undefined" if color == "alpha" else color for color in colors)
    return colors


def _palette(attrs: Mapping[Any, Any]) -> tuple[tuple[int, ...], ...]:
    """RGBA of each index, from a flat list of numbers under ``colormap``."""
    flat = np.asarray(attrs.get("colormap", ()))
    if flat.ndim != 1 or not len(flat) or len(flat) % 4 or flat.dtype.kind not in "ui":
        return ()
    return tuple(tuple(int(v) for v in rgba) for rgba in flat.reshape(-1, 4))


def _missing(images: Mapping[int, ArrayImage], colors: tuple[str, ...]) -> ArrayMask:
    """All that marks missing pixels: nodata of each band, alpha, and planes beside the bands."""
    planes = {level: _mask_plane(image) for level, image in images.items()}
    has_alpha = "alpha" in colors and len(colors) > 1
    numbers = {level: fill_values(image) for level, image in images.items()}
    ranges = {level: valid_ranges(image)[0] for level, image in images.items()}
    return ArrayMask(
        numbers[0],
        colors.index("alpha") + 1 if has_alpha else 0,
        {n: plane for n, plane in planes.items() if plane} if all(planes.values()) else None,
        {level: values for level, values in numbers.items() if values and values != numbers[0]},
        {level: of_bands for level, of_bands in ranges.items() if of_bands},
    )


def _mask_kind(missing: ArrayMask, dtype: np.dtype[Any]) -> MaskKind:
    """The mark that decides how bands are joined; others count besides."""
    if missing.ranges and dtype.kind != "f":
        # a number beyond a range is no color, as nodata may be: it makes the pixel missing
        return "internal"
    has_nodata = bool(missing.numbers or missing.own_numbers)
    if has_nodata or (dtype.kind == "f" and missing.planes is None and not missing.alpha):
        return "nodata"
    if missing.planes is not None:
        return "internal"
    return "alpha" if missing.alpha else "none"


def _mask_plane(image: ArrayImage) -> ArrayBands | None:
    plane = image.coord(MASK_COORD)
    if plane is None or not set(image.bands.dims) <= set(plane.dims):
        return None
    others = [dim for dim in plane.dims if dim not in image.bands.dims]
    name = f"the mask of {image.bands.name}"
    if not others:
        return ArrayBands(name, (plane,), image.bands.dims)
    is_by_band = others == [image.bands.band_dim] and plane.sizes[others[0]] == image.bands.count
    return ArrayBands(name, (plane,), image.bands.dims, others[0]) if is_by_band else None
