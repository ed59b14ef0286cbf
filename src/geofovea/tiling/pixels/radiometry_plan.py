"""Which bands of a scene are shown, and how, from its metadata and from a measured stretch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from geofovea.errors import SceneError
from geofovea.tiling.cache.findings import measured_once
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_handle, read_errors
from geofovea.tiling.files.layout import palette_of
from geofovea.tiling.pixels.bands import BandChoice, choose_bands
from geofovea.tiling.pixels.hidden_nodata import hidden_nodata_warnings
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.pixels.stretch import measure_stretch
from geofovea.tiling.scene import Scene

__all__ = ["describe_radiometry", "plan_radiometry"]


def plan_radiometry(
    scene: Scene,
    bands: tuple[int, ...] | None = None,
    *,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
) -> Radiometry:
    """Choose bands and measure the stretch of a scene; reads a bounded, fixed sample, once.

    Args:
        scene: What to show.
        bands: One or three band indexes, counted from 1. By default the red, green and blue bands
            by their color interpretation, else the first three (with a warning), else the first.
        composite: A named composite instead, such as ``"false-color"`` or ``"ndvi"``.
        band_map: Which band plays which role in it, such as ``{"red": 3, "nir": 8}``, where the
            file does not say.

    Raises:
        SceneError: If a band, a composite or the band of a role does not exist.
        SceneReadError: If the sample cannot be read.
    """
    choice = choose_bands(scene, bands, composite, band_map)
    planned = _without_stretch(scene, choice)
    hidden_nodata = hidden_nodata_warnings(scene, choice.bands)
    if planned is not None:
        return replace(planned, warnings=(*planned.warnings, *hidden_nodata))
    band_numbers = choice.bands
    with gdal_settings(), read_errors(scene.source):
        is_complex = _is_complex(open_handle(scene.source, for_pixels=False), band_numbers)
    sample = _stretch_sample(scene, band_numbers, is_complex=is_complex)
    return Radiometry(
        band_numbers,
        stretch=tuple((low, high) for low, high in sample["stretch"]),
        is_complex=is_complex,
        inverted=() if is_complex else _inverted_bands(scene, band_numbers),
        composite=choice.composite_name,
        has_declared_nodata=scene.missing is not None,
        reason=_stretch_reason(scene, choice),
        warnings=(
            *_warnings(scene, choice),
            *_sample_warnings(scene, sample, is_complex=is_complex),
            *hidden_nodata,
        ),
    )


def _stretch_sample(
    scene: Scene, band_numbers: tuple[int, ...], *, is_complex: bool
) -> Mapping[str, Any]:
    """What ``measure_stretch`` says of some bands, measured once for all who open the scene."""
    sample: Mapping[str, Any] = measured_once(
        scene.source,
        scene.width * scene.height,
        "stretch",
        lambda: measure_stretch(scene, band_numbers, is_complex),
        {
            "bands": band_numbers,
            "mask": scene.mask_kind,
            "nodata": repr(scene.nodata),
            "missing": "" if scene.missing is None else scene.missing.key,
        },
    )
    return sample


def _sample_warnings(scene: Scene, sample: Mapping[str, Any], *, is_complex: bool) -> Iterator[str]:
    """What the measured sample says about the contrast; see ``measure_stretch``."""
    if not sample["has_valid_pixels"]:
        yield "no valid pixel in the sample of the scene; contrast is arbitrary"
    if sample["fill"] is not None and not is_complex:
        # as short as its type allows: 1e+20 of float32 has many more digits as a float64
        fill = str(np.dtype(scene.dtype).type(sample["fill"]))
        yield (
            f"many pixels hold {fill}, far from all others, and spoil the contrast; if that value "
            f"means missing, declare it with {scene.source.nodata_name}={fill}"
        )


def describe_radiometry(
    scene: Scene,
    bands: tuple[int, ...] | None = None,
    *,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
) -> tuple[str, tuple[str, ...]]:
    """The reason and the warnings that ``plan_radiometry`` would give; reads no pixels.

    Raises:
        SceneError: As there.
        SceneReadError: If the file cannot be opened.
    """
    choice = choose_bands(scene, bands, composite, band_map)
    planned = _without_stretch(scene, choice)
    if planned is not None:
        return planned.reason, planned.warnings
    return _stretch_reason(scene, choice), _warnings(scene, choice)


def _without_stretch(scene: Scene, choice: BandChoice) -> Radiometry | None:
    """The radiometry, where it follows from metadata alone."""
    band_numbers, warnings = choice.bands, _warnings(scene, choice)
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source, for_pixels=False)
        _check_types(scene, handle, band_numbers)
        if choice.composite is not None and choice.composite.is_index:
            if _is_complex(handle, band_numbers):
                raise SceneError(
                    f"{choice.composite_name} is not an index of complex (radar) bands; "
                    "choose bands="
                )
            return _index_radiometry(scene, choice, warnings)
        if len(band_numbers) == 1 and scene.colorinterp[band_numbers[0] - 1] == "palette":
            return Radiometry(
                band_numbers,
                palette=palette_of(handle, band_numbers[0]),
                has_declared_nodata=scene.missing is not None,
                reason=f"{choice.reason}, shown by its palette",
                warnings=warnings,
            )
        if any(handle.dtypes[band - 1] != "uint8" for band in band_numbers):
            return None
        return _byte_radiometry(scene, choice, handle, warnings)


def _byte_radiometry(
    scene: Scene, choice: BandChoice, handle: Any, warnings: tuple[str, ...]
) -> Radiometry:
    """Bands of uint8 as they are; those of fewer bits stretched to eight."""
    bits = [handle.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", "8") for band in choice.bands]
    stretch, treatment = None, "eight bits untouched"
    if any(count != "8" for count in bits):
        # a mask of one bit would be black on black
        stretch = tuple((0.0, 2.0 ** int(count) - 1) for count in bits)
        treatment = f"{', '.join(bits)} bits stretched to eight"
    return Radiometry(
        choice.bands,
        stretch=stretch,
        inverted=_inverted_bands(scene, choice.bands),
        composite=choice.composite_name,
        has_declared_nodata=scene.missing is not None,
        reason=f"{choice.reason}, {treatment}{_inverted(scene, choice.bands)}",
        warnings=warnings,
    )


def _index_radiometry(scene: Scene, choice: BandChoice, warnings: tuple[str, ...]) -> Radiometry:
    """The radiometry of an index such as NDVI, which is made of physical values."""
    return Radiometry(
        choice.bands,
        stretch=((-1.0, 1.0),),
        scaling=scene.packings_of(choice.bands),
        composite=choice.composite_name,
        has_declared_nodata=scene.missing is not None,
        reason=f"{choice.reason}, computed from stored numbers with their scale and offset, gray "
        "from -1 (black) to 1 (white)",
        warnings=warnings,
    )


def _check_types(scene: Scene, handle: Any, bands: tuple[int, ...]) -> None:
    """Refuse bands of several pixel types, which only virtual rasters have.

    Raises:
        SceneError: If they are not all of one type.
    """
    types = {band: str(handle.dtypes[band - 1]) for band in bands}
    if len(set(types.values())) > 1:
        listed = ", ".join(f"band {band} is {dtype}" for band, dtype in types.items())
        raise SceneError(
            f"the bands that would be shown of {scene.path!r} have different pixel types "
            f"({listed}); choose bands of one type with bands=, or give all one type with "
            "gdal_translate -ot Float32"
        )


def _is_complex(handle: Any, bands: tuple[int, ...]) -> bool:
    return any(handle.dtypes[band - 1].startswith("complex") for band in bands)


def _stretch_reason(scene: Scene, choice: BandChoice) -> str:
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source, for_pixels=False)
        is_complex = _is_complex(handle, choice.bands)
        unit = "magnitude in decibels" if is_complex else handle.dtypes[choice.bands[0] - 1]
    inverted = "" if is_complex else _inverted(scene, choice.bands)
    return (
        f"{choice.reason}, {unit} stretched from percentile 2 to 98 of valid native pixels"
        f"{inverted}"
    )


def _inverted_bands(scene: Scene, bands: tuple[int, ...]) -> tuple[bool, ...]:
    """Which bands are shown as their negatives; empty where none is."""
    inverted = tuple((scale < 0) != scene.is_min_white for scale, _ in scene.packings_of(bands))
    return inverted if any(inverted) else ()


def _inverted(scene: Scene, bands: tuple[int, ...]) -> str:
    """Which bands are shown as their negatives, and why, in words that follow a reason."""
    inverted = _inverted_bands(scene, bands)
    if not inverted:
        return ""
    if scene.is_min_white:
        return ", inverted because the file says that zero is white"
    of = (
        ""
        if all(inverted)
        else " in band "
        + ", ".join(
            str(band) for band, is_inverted in zip(bands, inverted, strict=True) if is_inverted
        )
    )
    return f", inverted{of} because the scale of its numbers is below zero"


def _warnings(scene: Scene, choice: BandChoice) -> tuple[str, ...]:
    declared = scene.missing.warnings if scene.missing else ()
    return (*choice.warnings, *declared, *scene.warnings)
