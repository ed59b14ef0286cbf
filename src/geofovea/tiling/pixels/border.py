"""Turns a declaration of missing pixels into a value; ``"auto"`` looks for a constant border."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.features import rasterize, shapes

from geofovea._arguments import is_number, shown
from geofovea.errors import SceneError
from geofovea.tiling.cache.findings import measured_once
from geofovea.tiling.files.handles import open_handle
from geofovea.tiling.files.layout import band_colors
from geofovea.tiling.files.source import Source
from geofovea.tiling.marks import Number, is_missing_part, out_of_type
from geofovea.tiling.nodata import DeclaredMissing, DeclaredNodata

__all__ = ["declare_missing", "declared_number"]

_COARSE_SIDE = 256
# the least share of the scene's outline that a border color takes, so that a lake does not count
_LEAST_OUTLINE = 0.1
# how far the pixels of a constant border stray after lossy compression, in eight-bit steps
_LOSSY_TOLERANCE = 8.0
_LOSSY = ("JPEG", "YCBCR", "WEBP", "LERC")


def declare_missing(
    source: Source, dataset: Any, nodata: DeclaredNodata, overviews: int
) -> DeclaredMissing:
    """Turn a caller's declaration of missing pixels into a value.

    Args:
        source: The raster.
        dataset: The same, open.
        nodata: A number (NaN is possible), or ``"auto"``: the constant color, if there is one,
            that is connected to the border. That reads a coarse picture of the scene, and without
            overviews, for that, the whole file once; what it finds is kept for the next opening.
        overviews: How many overviews, from the finest, may be read.

    Raises:
        SceneError: If it is neither.
    """
    if not isinstance(nodata, str) or nodata != "auto":
        number = declared_number(nodata)
        values = (number,) * dataset.count
        whole = not is_missing_part(number, dataset.dtypes[0])
        return DeclaredMissing(
            values, all_bands=whole, warnings=_declared_warnings(dataset, number)
        )
    pixels = dataset.width * dataset.height
    border = measured_once(
        source, pixels, "border", lambda: _find_border(source, dataset, overviews).to_json()
    )
    return DeclaredMissing.from_json(border)


def declared_number(nodata: Any) -> Number:
    """A declared value; whole numbers of 64 bits keep all their digits.

    Raises:
        SceneError: If it is not a number.
    """
    if isinstance(nodata, (int, np.integer)) and not isinstance(nodata, bool):
        if not is_number(nodata):
            raise SceneError(f"nodata={shown(nodata)} is more than any pixel holds")
        return int(nodata)
    try:
        return float(nodata)
    except (TypeError, ValueError) as error:
        raise SceneError(
            f"nodata={shown(nodata)} is neither a number nor 'auto'; give the value that marks "
            "missing pixels"
        ) from error


def _declared_warnings(dataset: Any, number: Number) -> tuple[str, ...]:
    # complex_int16 is the one type that numpy does not know
    dtypes = {np.dtype(name) for name in dataset.dtypes if not name.startswith("complex")}
    reasons = {out_of_type(number, dtype) for dtype in dtypes} if dtypes else {""}
    if "" in reasons:
        return _overview_warning(dataset)
    return tuple(sorted(reasons))


def _overview_warning(dataset: Any) -> tuple[str, ...]:
    if not dataset.overviews(1):
        return ()
    return (
        "the overviews in the file were made without knowing the nodata given here: around missing "
        "areas they may hold a rim of mixed pixels",
    )


def _find_border(source: Source, dataset: Any, overviews: int) -> DeclaredMissing:
    bands = [b for b, color in enumerate(band_colors(dataset), 1) if color.name != "alpha"]
    picture = _coarse_picture(source, dataset, bands, overviews)
    is_complex = np.iscomplexobj(picture)
    if is_complex:
        picture = np.abs(picture)
    color, share = _commonest_at_the_border(picture)
    tolerance = _LOSSY_TOLERANCE if _is_lossy(dataset) else 0.0
    # of radar only what has no power is missing: a magnitude says nothing of the phase
    if share < _LEAST_OUTLINE or not np.isfinite(color).all() or (is_complex and color.any()):
        return DeclaredMissing(
            (), warnings=("nodata='auto' found no constant color at the border of the scene",)
        )
    matches = (np.abs(picture.astype(np.float64) - color[:, None, None]) <= tolerance).all(axis=0)
    outline = _touching_the_border(matches)
    color_text = ", ".join(f"{value:g}" for value in color)
    warning = (
        f"nodata='auto' is a guess: the color ({color_text}) where it is connected to the border, "
        f"{outline.mean():.0%} of the scene, counts as missing"
    )
    values = np.full(dataset.count, np.nan)
    values[np.array(bands) - 1] = color
    return DeclaredMissing(
        tuple(values.tolist()),
        tolerance,
        outline=np.packbits(_widened(outline)).tobytes(),
        outline_shape=(outline.shape[0], outline.shape[1]),
        warnings=(warning, *_overview_warning(dataset)),
    )


def _commonest_at_the_border(picture: NDArray[np.generic]) -> tuple[NDArray[Any], float]:
    """The commonest color of the outermost pixels, ``(bands,)``, and which share of them has it.

    Args:
        picture: ``(bands, rows, columns)``.
    """
    ring = np.concatenate(
        [picture[:, 0], picture[:, -1], picture[:, :, 0], picture[:, :, -1]], axis=1
    )
    colors, counts = np.unique(ring, axis=1, return_counts=True)
    return colors[:, counts.argmax()], float(counts.max() / ring.shape[1])


def _is_lossy(dataset: Any) -> bool:
    """Whether the compression may have changed a constant color."""
    kind = str(dataset.tags(ns="IMAGE_STRUCTURE").get("COMPRESSION", dataset.driver)).upper()
    return any(name in kind for name in _LOSSY) and dataset.dtypes[0] == "uint8"


def _coarse_picture(
    source: Source, dataset: Any, bands: list[int], overviews: int
) -> NDArray[np.generic]:
    """Stored pixels on a coarse grid, at most 256 a side, from the smallest overview that does."""
    scale = min(1.0, _COARSE_SIDE / max(dataset.width, dataset.height))
    rows, cols = (max(1, round(side * scale)) for side in (dataset.height, dataset.width))
    usable = enumerate(dataset.overviews(1)[:overviews])
    factors = [(f, k) for k, f in usable if dataset.width // f >= cols]
    handle = open_handle(source, max(factors)[1] if factors else None)
    picture: NDArray[np.generic] = handle.read(
        bands, out_shape=(len(bands), rows, cols), resampling=Resampling.nearest
    )
    return picture


def _touching_the_border(matches: NDArray[np.bool_]) -> NDArray[np.bool_]:
    rows, cols = matches.shape
    touching = []
    for geometry, _ in shapes(matches.astype(np.uint8), mask=matches):
        x, y = np.array(geometry["coordinates"][0]).T
        if x.min() == 0 or y.min() == 0 or x.max() == cols or y.max() == rows:
            touching.append(geometry)
    if not touching:
        return np.zeros_like(matches)
    return np.asarray(rasterize(touching, out_shape=matches.shape), dtype=bool)


def _widened(picture: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """One pixel more on all sides: the true edge lies somewhere between two coarse pixels."""
    padded = np.pad(picture, 1)
    rows, cols = picture.shape
    moved = [padded[i : i + rows, j : j + cols] for i in range(3) for j in range(3)]
    return np.asarray(np.any(moved, axis=0))
