"""The layout of an open dataset: blocks, colors, masks, and where it lies."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, MaskFlags

from geofovea.errors import SceneRefusedError
from geofovea.tiling.files.faults import is_damage
from geofovea.tiling.files.limits import MAX_BLOCK_BYTES
from geofovea.tiling.files.source import Source
from geofovea.tiling.files.tiff_directories import directory_of
from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.geo.georeference import Georeference
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning
from geofovea.tiling.marks import out_of_type
from geofovea.tiling.remote.sidecars import read_world_file

__all__ = [
    "MaskKind",
    "band_colors",
    "block_place",
    "bytes_pixel",
    "check_mask_file",
    "checked_block",
    "color_names",
    "gap_warnings",
    "has_block",
    "mask_file_warnings",
    "mask_kind",
    "nodata_by_band",
    "nodata_tag_warnings",
    "nodata_text",
    "nodata_warnings",
    "packings",
    "palette_of",
    "placed",
    "structure",
]

MaskKind = Literal["none", "nodata", "alpha", "internal", "declared"]

_NODATA_TAG = 42113
# looked at for gaps, about 10 microseconds each
_MOST_BLOCKS = 4096


def placed(dataset: Any, source: Source) -> Georeference:
    """How its pixels relate to the ground, by the file itself or by a world file beside it."""
    georeference = Georeference.from_dataset(dataset)
    if source.remote is None or georeference.kind != "none":
        return georeference
    transform = read_world_file(source.remote)
    return replace(georeference, kind="affine", transform=transform) if transform else georeference


def bytes_pixel(dataset: Any) -> int:
    """Bytes of all bands of one pixel of an open image."""
    # complex_int16 is the one type that numpy does not know
    return sum(4 if t == "complex_int16" else np.dtype(t).itemsize for t in dataset.dtypes)


def checked_block(dataset: Any, source: Source) -> tuple[int, int]:
    """The block shape of the first band, if a block fits into memory comfortably.

    A TIFF of 400 bytes can claim a block of a gigabyte, which GDAL allocates for one pixel.
    """
    height_block, width_block = (int(side) for side in dataset.block_shapes[0])
    size = bytes_pixel(dataset)
    if height_block * width_block * size > MAX_BLOCK_BYTES:
        raise SceneRefusedError(
            f"{source.path!r} has blocks of {width_block} x {height_block} pixels with "
            f"{size} bytes each, more than the {MAX_BLOCK_BYTES >> 20} MiB allowed; rewrite "
            "it with smaller tiles: gdal_translate -co TILED=YES"
        )
    return height_block, width_block


def structure(dataset: Any, key: str) -> str:
    """What it says of the structure of its image; empty where it says nothing."""
    return str(dataset.tags(ns="IMAGE_STRUCTURE").get(key, ""))


def band_colors(dataset: Any) -> tuple[ColorInterp, ...]:
    """What each band of an open dataset shows, by GDAL's enumeration.

    Raises:
        CPLE_BaseError: If GDAL has said that pixels are damaged.
    """
    try:
        return tuple(dataset.colorinterp)
    except GDAL_ERRORS as error:
        # Rasterio takes the number of a color for a failure. It then raises what GDAL said last,
        # such as that a tag of the header has no known value, and has forgotten it by that.
        if is_damage(str(error)):
            raise
    return tuple(dataset.colorinterp)


def color_names(dataset: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What each band shows, and warnings about it."""
    names, warnings = [], []
    for band, color in enumerate(band_colors(dataset), start=1):
        name = str(ColorInterp(color).name) if color in set(ColorInterp) else "undefined"
        if name == "alpha" and dataset.dtypes[band - 1].startswith("complex"):
            name = "undefined"  # a wave is neither opaque nor transparent
        if name == "palette" and not _has_palette(dataset, band):
            name = "gray"
            warnings.append(
                f"band {band} is a palette image without its table of colors, so its stored "
                "numbers are shown as gray"
            )
        names.append(name)
    return tuple(names), tuple(warnings)


def _has_palette(dataset: Any, band: int) -> bool:
    try:
        return bool(dataset.colormap(band))
    except ValueError:
        return False


def palette_of(dataset: Any, band: int) -> tuple[tuple[int, int, int, int], ...]:
    """RGBA of each index of a palette band; what its table leaves out is transparent."""
    entries = dataset.colormap(band)
    return tuple(tuple(entries.get(i, (0, 0, 0, 0))) for i in range(max(entries) + 1))


def packings(dataset: Any) -> tuple[tuple[tuple[float, float], ...], tuple[str, ...]]:
    """``(scale, offset)`` of each band, empty where all are ``(1, 0)``; and warnings about them.

    A band whose scale decodes nothing has ``(1, 0)``, and a warning.
    """
    found, warnings = [], []
    for band, (scale, offset) in enumerate(zip(dataset.scales, dataset.offsets, strict=True), 1):
        if scale and math.isfinite(scale) and math.isfinite(offset):
            found.append((float(scale), float(offset)))
            continue
        found.append((1.0, 0.0))
        warnings.append(
            f"band {band} says scale {scale:g} and offset {offset:g}, which decode nothing, so its "
            "stored numbers are taken as they are; correct the file with gdal_edit.py -scale"
        )
    return (tuple(found) if set(found) != {(1.0, 0.0)} else ()), tuple(warnings)


def nodata_by_band(dataset: Any) -> tuple[float | None, ...]:
    """The nodata value of each band; empty where all have the same."""
    # NaN differs from itself
    return tuple(dataset.nodatavals) if len({repr(v) for v in dataset.nodatavals}) > 1 else ()


def nodata_warnings(dataset: Any) -> tuple[str, ...]:
    """Nodata values of the file that no pixel can have."""
    reasons = {
        out_of_type(value, np.dtype(dtype))
        for value, dtype in zip(dataset.nodatavals, dataset.dtypes, strict=True)
        if value is not None and not dtype.startswith("complex")
    }
    return tuple(f"the file says {reason}" for reason in sorted(filter(None, reasons)))


def nodata_text(source: Source, file: Any) -> str:
    """The nodata value as a TIFF writes it; empty where it writes none.

    Args:
        source: What is opened.
        file: The same as an open binary file.
    """
    directory = directory_of(file, source.page) if source.driver == "GTiff" else None
    return "" if directory is None else directory.text(_NODATA_TAG, file)


def nodata_tag_warnings(dataset: Any, text: str) -> tuple[str, ...]:
    """A nodata value of a TIFF that GDAL passes over, or takes for another number than it is.

    It stands there as text. GDAL reads ``none`` as 0, and of ``1e+18`` the first digit alone where
    pixels have 64 bits. A number that no pixel can hold is None to rasterio.

    Args:
        dataset: Its open dataset.
        text: As `nodata_text` has it.
    """
    value = dataset.nodatavals[0]
    if not text or _is_number(text, value):
        return ()
    if value is None:
        return (f"the file says nodata={text:.40}, which marks nothing: no pixel can hold it",)
    return (
        f"the file writes its nodata value as {text!r:.40}, which GDAL reads as {value:.17g}; "
        "declare the right one with nodata=, or correct the file with gdal_edit.py -a_nodata",
    )


def _is_number(text: str, value: float | None) -> bool:
    """Whether a text says a number, up to the digits that writers leave out; NaN is None, too."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        # some compilers write 1.#QNAN and -1.#INF
        return value is not None and not math.isfinite(value)
    if value is None or math.isnan(value):
        return math.isnan(number)
    return number == value or math.isclose(number, value, rel_tol=1e-5)


def check_mask_file(dataset: Any, source: Source) -> None:
    """Refuse a mask beside the file that is of another picture; GDAL lays its corner on the scene.

    Raises:
        SceneRefusedError: If it has another size.
    """
    name = f"{source.path}.msk"
    is_used = any(MaskFlags.per_dataset in of_band for of_band in dataset.mask_flag_enums)
    if source.stamp is None or not is_used or not Path(name).is_file():
        return
    with without_georeference_warning(), rasterio.open(name, driver="GTiff") as mask:
        size = (mask.width, mask.height)
    if size != (dataset.width, dataset.height):
        raise SceneRefusedError(
            f"{name!r} has {size[0]} x {size[1]} pixels and the scene {dataset.width} x "
            f"{dataset.height}, so it masks another picture; remove it, or make it again"
        )


def mask_file_warnings(dataset: Any, source: Source) -> tuple[str, ...]:
    """Warns of a mask beside the file that GDAL ignores, because it does not say what it masks."""
    name = f"{source.path}.msk"
    if source.stamp is None or not Path(name).is_file():
        return ()
    # a mask without these flags shows none at all
    marks = {flag for of_band in dataset.mask_flag_enums for flag in of_band}
    if MaskFlags.per_dataset in marks:
        return ()
    return (
        f"the mask {name!r} is not used, because its tag INTERNAL_MASK_FLAGS_1 is not there or is "
        "not 2; set it with gdal_edit.py -mo INTERNAL_MASK_FLAGS_1=2 FILE",
    )


def gap_warnings(dataset: Any, source: Source) -> tuple[str, ...]:
    """Blocks of a TIFF that were never written, where nothing marks them as missing.

    GDAL shows them as zeros, and so do writers mean them who leave out what is empty. A writer that
    died leaves the same.
    """
    marks = {flag for of_band in dataset.mask_flag_enums for flag in of_band}
    if source.driver != "GTiff" or source.remote is not None or marks != {MaskFlags.all_valid}:
        return ()
    height_block, width_block = dataset.block_shapes[0]
    rows, cols = -(-dataset.height // height_block), -(-dataset.width // width_block)
    looked_at = np.unique(np.linspace(0, rows * cols - 1, _MOST_BLOCKS).astype(int))
    empty = sum(not has_block(dataset, *divmod(int(number), cols)) for number in looked_at)
    if not empty:
        return ()
    return (
        f"about {empty / len(looked_at):.1%} of the blocks of the file were never written and show "
        "as zeros; if it was cut short, make it again; if they are empty, declare it with nodata=",
    )


def block_place(
    dataset: Any, row: int, col: int, band: int = 1, **overview: int
) -> tuple[int, int]:
    """Offset and length in bytes of a block of a TIFF or of an overview (``ovr``), 0 if missing."""
    offset, length = (
        dataset.get_tag_item(f"BLOCK_{what}_{col}_{row}", "TIFF", bidx=band, **overview)
        for what in ("OFFSET", "SIZE")
    )
    return int(offset or 0), int(length or 0)


def has_block(dataset: Any, row: int, col: int, **overview: int) -> bool:
    """Whether a block of the first band of a TIFF, or of an overview (``ovr``), has bytes."""
    return min(block_place(dataset, row, col, **overview)) > 0


def mask_kind(dataset: Any, *, is_declared: bool) -> MaskKind:
    """What marks missing pixels; other marks may count besides (``validity``)."""
    flags = {flag for of_band in dataset.mask_flag_enums for flag in of_band}
    if MaskFlags.alpha in flags:
        return "alpha"
    if MaskFlags.per_dataset in flags:
        return "internal"
    if is_declared:
        return "declared"
    if MaskFlags.nodata in flags:
        return "nodata"
    # GDAL makes no mask of alpha that is not of eight or sixteen bits
    has_alpha = dataset.count > 1 and "alpha" in color_names(dataset)[0]
    return "alpha" if has_alpha else "none"
