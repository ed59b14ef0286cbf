"""From stored numbers to eight-bit RGB: which bands, and one stretch for the whole scene.

A stretch per tile would make neighbours differ and hide what is bright or dark in the scene, so it
is measured once, on a fixed sample of native pixels, and is a value like the scene itself.

Scale and offset tags do not matter to a stretch, which is measured on stored numbers and would
undo them; an index such as NDVI is made of what they stand for, so it applies them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofovea.errors import SceneError
from geofovea.tiling.cache.findings import found_once
from geofovea.tiling.files.handles import gdal_settings, open_dataset, open_handle, read_errors
from geofovea.tiling.pixels.bands import BandChoice, choose_bands
from geofovea.tiling.pixels.sample import sample_windows
from geofovea.tiling.pixels.validity import read_band_masks, read_valid
from geofovea.tiling.scene import Scene

__all__ = ["FILL", "Radiometry", "describe_radiometry", "plan_radiometry", "read_valid"]

FILL = 128
"""The grey of padding and of missing pixels. Black would look like water or shadow."""

_PERCENTILES = (2.0, 98.0)
# so few numbers that a stretch is looked up
_TABLE_DTYPES = (np.uint8, np.uint16)


@dataclass(frozen=True)
class Radiometry:
    """How the pixels of one scene become RGB.

    Attributes:
        bands: One or three band indexes, counted from 1; one band is shown as grey. Two are the
            plus and the minus of an index, ``(plus - minus) / (plus + minus)``.
        stretch: ``(low, high)`` per shown band, shown as 0 and 255; None leaves eight bits
            untouched.
        palette: RGBA of each index of a palette image.
        is_complex: Pixels are complex (radar) and are shown as magnitude in decibels.
        scaling: ``(scale, offset)`` per band, which lead from stored numbers to those of an index.
        composite: Name of the composite that was asked for, or None.
        is_inverted: Zero is white: what the stretch makes black is shown white.
        has_declared_nodata: Some stored numbers are missing by the caller's word alone.
        reason: In plain words, why these bands and this stretch.
        warnings: What a reader of the results should know.

    Raises:
        SceneError: If there are not one to three bands, a stretch is empty, or an index has no
            stretch.
    """

    bands: tuple[int, ...]
    stretch: tuple[tuple[float, float], ...] | None = None
    palette: tuple[tuple[int, int, int, int], ...] | None = None
    is_complex: bool = False
    scaling: tuple[tuple[float, float], ...] = ()
    composite: str | None = None
    is_inverted: bool = False
    has_declared_nodata: bool = False
    reason: str = ""
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= len(self.bands) <= 3 or min(self.bands) < 1:
            raise SceneError(f"bands must be one or three numbers from 1 up, got {self.bands}")
        if self.is_index and (self.stretch is None or self.palette or self.is_complex):
            raise SceneError("an index of two bands needs a stretch and plain numbers")
        shown = 1 if self.is_index else len(self.bands)
        if self.stretch is not None and (
            len(self.stretch) != shown or any(not lo < hi for lo, hi in self.stretch)
        ):
            raise SceneError(f"a stretch needs low < high for each band, got {self.stretch}")

    @property
    def is_index(self) -> bool:
        """Whether two bands are shown as one normalised difference."""
        return len(self.bands) == 2

    def to_json(self) -> dict[str, Any]:
        """What an answer records: bands, stretch, composite and reason."""
        return {
            "bands": list(self.bands),
            "stretch": None if self.stretch is None else [list(pair) for pair in self.stretch],
            "composite": self.composite,
            "reason": self.reason,
        }

    @property
    def needs_expansion(self) -> bool:
        """Whether stored numbers may not be averaged.

        They may not where they are palette indexes or phases of radar, nor where only the caller
        knows which of them are missing: GDAL would mix those into their neighbours.
        """
        return self.palette is not None or self.is_complex or self.has_declared_nodata

    def expand(
        self, array: NDArray[np.generic], valid: NDArray[np.bool_]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Turn stored numbers ``(bands, h, w)`` into ones that may be averaged.

        Palette indexes become RGB, complex numbers become power. Pixels that are not finite, have
        a transparent palette entry or no power at all are not valid in the result.
        """
        if self.palette is not None:
            table = np.array(self.palette, dtype=np.uint8)
            rgba = table[np.clip(array[0].astype(np.intp), 0, len(table) - 1)]
            return np.moveaxis(rgba[..., :3], -1, 0), valid & (rgba[..., 3] > 0)
        if self.is_complex:
            power = np.square(np.abs(array), dtype=np.float64)
            return power, valid & np.isfinite(power).all(axis=0) & (power > 0).any(axis=0)
        if np.issubdtype(array.dtype, np.floating):
            valid = valid & np.isfinite(array).all(axis=0)
        if self.is_index:
            plus, minus = self._unscaled(array)
            # where both are dark, or noise below zero, a ratio of them says nothing
            valid = valid & (plus + minus > 0)
        return array, valid

    def finish(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Stretch expanded values ``(bands, h, w)`` into RGB ``(h, w, 3)``, missing ones grey."""
        if self._stretch_tables is not None and values.dtype in _TABLE_DTYPES:
            tables = self._stretch_tables
            shown = [table[band] for table, band in zip(tables, values, strict=True)]
        else:
            shown = self._eight_bits(values, valid)
        rgb = np.empty((*valid.shape, 3), dtype=np.uint8)
        for channel in range(3):
            # band by band, which numpy does three times as fast as for all axes at once
            rgb[..., channel] = shown[min(channel, len(shown) - 1)]
        if self.is_inverted:
            np.subtract(255, rgb, out=rgb)
        if not valid.all():
            rgb[~valid] = FILL
        return rgb

    def _eight_bits(self, values: NDArray[np.generic], valid: NDArray[np.bool_]) -> Any:
        """Expanded values, stretched: ``(bands, h, w)`` of eight bits."""
        shown = to_decibels(values) if self.is_complex else values
        if self.is_index:
            plus, minus = self._unscaled(values)
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                shown = ((plus - minus) / (plus + minus))[None]
        if self.stretch is not None:
            shown = _stretched(shown, np.array(self.stretch, dtype=np.float64))
        if shown.dtype != np.uint8:
            shown = np.rint(np.clip(np.where(valid, shown, 0), 0, 255)).astype(np.uint8)
        return shown

    @cached_property
    def _stretch_tables(self) -> list[NDArray[np.uint8]] | None:
        """What each number of sixteen bits is shown as, by band; None for other radiometries."""
        if self.stretch is None or self.is_complex or self.is_index:
            return None
        numbers = np.arange(2**16)[None, None]
        stretched = _stretched(numbers, np.array(self.stretch, dtype=np.float64))
        return list(np.rint(np.clip(stretched, 0, 255)).astype(np.uint8)[:, 0])

    def apply(self, array: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Show stored numbers ``(bands, h, w)`` as RGB ``(h, w, 3)``; invalid pixels are grey."""
        return self.finish(*self.expand(array, valid))

    def _unscaled(self, array: NDArray[np.generic]) -> NDArray[np.float64]:
        """What stored numbers ``(bands, h, w)`` stand for."""
        scale, offset = np.array(self.scaling or [(1.0, 0.0)] * len(array)).T[:, :, None, None]
        return np.asarray(array * scale + offset, dtype=np.float64)


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
            by their colour interpretation, else the first three (with a warning), else the first.
        composite: A named composite instead, such as ``"false-colour"`` or ``"ndvi"``.
        band_map: Which band plays which role in it, such as ``{"red": 3, "nir": 8}``, where the
            file does not say.

    Raises:
        SceneError: If a band, a composite or the band of a role does not exist.
        SceneReadError: If the sample cannot be read.
    """
    choice = choose_bands(scene, bands, composite, band_map)
    planned = _without_stretch(scene, choice)
    if planned is not None:
        return planned
    chosen, warnings = choice.bands, _warnings(scene, choice)
    with gdal_settings(), read_errors(scene.source):
        is_complex = _is_complex(open_handle(scene.source, for_pixels=False), chosen)
    measured = found_once(
        scene.source,
        scene.width * scene.height,
        "stretch",
        lambda: _measure_stretch(scene, chosen, is_complex),
        {
            "bands": chosen,
            "mask": scene.mask_kind,
            "nodata": repr(scene.nodata),
            "missing": "" if scene.missing is None else scene.missing.key,
        },
    )
    stretch = tuple((low, high) for low, high in measured["stretch"])
    if not measured["has_valid_pixels"]:
        warnings = (*warnings, "no valid pixel in the sample of the scene; contrast is arbitrary")
    return Radiometry(
        chosen,
        stretch=stretch,
        is_complex=is_complex,
        is_inverted=scene.is_min_white,
        composite=choice.composite_name,
        has_declared_nodata=scene.missing is not None,
        reason=_stretch_reason(scene, choice),
        warnings=warnings,
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
    chosen, warnings = choice.bands, _warnings(scene, choice)
    declared = scene.missing is not None
    name = choice.composite_name
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source, for_pixels=False)
        if choice.composite is not None and choice.composite.is_index:
            if _is_complex(handle, chosen):
                raise SceneError(f"{name} is no index of complex (radar) bands; choose bands=")
            # a handle of one image shows no scales
            with open_dataset(scene.source) as dataset:
                scaling = [(dataset.scales[b - 1], dataset.offsets[b - 1]) for b in chosen]
            return Radiometry(
                chosen,
                stretch=((-1.0, 1.0),),
                scaling=tuple(scaling),
                composite=name,
                has_declared_nodata=declared,
                reason=f"{choice.reason}, computed from stored numbers with their scale and "
                "offset, grey from -1 (black) to 1 (white)",
                warnings=warnings,
            )
        if len(chosen) == 1 and scene.colorinterp[chosen[0] - 1] == "palette":
            entries = handle.colormap(chosen[0])
            palette = tuple(tuple(entries.get(i, (0, 0, 0, 0))) for i in range(max(entries) + 1))
            return Radiometry(
                chosen,
                palette=palette,
                has_declared_nodata=declared,
                reason=f"{choice.reason}, shown by its palette",
                warnings=warnings,
            )
        if any(handle.dtypes[band - 1] != "uint8" for band in chosen):
            return None
        bits = [handle.tags(band, ns="IMAGE_STRUCTURE").get("NBITS", "8") for band in chosen]
        stretch, shown = None, "eight bits untouched"
        if any(count != "8" for count in bits):
            # a mask of one bit would be black on black
            stretch = tuple((0.0, 2.0 ** int(count) - 1) for count in bits)
            shown = f"{', '.join(bits)} bits stretched to eight"
        return Radiometry(
            chosen,
            stretch=stretch,
            is_inverted=scene.is_min_white,
            composite=name,
            has_declared_nodata=declared,
            reason=f"{choice.reason}, {shown}{_inverted(scene)}",
            warnings=warnings,
        )


def _is_complex(handle: Any, bands: tuple[int, ...]) -> bool:
    return any(handle.dtypes[band - 1].startswith("complex") for band in bands)


def _stretch_reason(scene: Scene, choice: BandChoice) -> str:
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source, for_pixels=False)
        dtype = handle.dtypes[choice.bands[0] - 1]
        unit = "magnitude in decibels" if _is_complex(handle, choice.bands) else dtype
    return (
        f"{choice.reason}, {unit} stretched from percentile 2 to 98 of valid native pixels"
        f"{_inverted(scene)}"
    )


def _inverted(scene: Scene) -> str:
    return ", inverted because the file says that zero is white" if scene.is_min_white else ""


def _warnings(scene: Scene, choice: BandChoice) -> tuple[str, ...]:
    declared = scene.missing.warnings if scene.missing else ()
    return (*choice.warnings, *declared, *scene.warnings)


def _stretched(values: NDArray[np.generic], stretch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values ``(bands, h, w)`` as shares of 255 between the low and the high of their band."""
    low, high = stretch.T[:, :, None, None]
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((values.astype(np.float64) - low) * (255.0 / (high - low)))


def to_decibels(power: NDArray[np.generic]) -> NDArray[np.float64]:
    """``10·log10`` of a power, which is ``20·log10`` of its magnitude."""
    return np.asarray(10 * np.log10(np.maximum(power, np.finfo(np.float64).tiny)))


def _measure_stretch(scene: Scene, bands: tuple[int, ...], is_complex: bool) -> dict[str, Any]:
    """``stretch``: ``(low, high)`` of each band; ``has_valid_pixels``: whether any counted."""
    probe = Radiometry(bands, is_complex=is_complex)
    samples: list[list[NDArray[np.float64]]] = [[] for _ in bands]
    with gdal_settings(), read_errors(scene.source):
        handle = open_handle(scene.source)
        for window in sample_windows(scene.width, scene.height, scene.block_shape):
            array = handle.read(list(bands), window=window)
            masks = read_band_masks(handle, scene, bands, window=window)
            valid = read_valid(handle, scene, bands, window=window)
            whole = np.ones(array.shape[1:], bool) if valid is None else valid
            values, whole = probe.expand(array, whole)
            if is_complex:
                values = to_decibels(values)
            for i, sample in enumerate(samples):
                # a number that is missing in this band alone would pull its stretch
                known = whole if masks is None else whole & masks[i]
                sample.append(values[i][known].astype(np.float64))
    known_values = [np.concatenate(sample) for sample in samples]
    return {
        "stretch": [
            _widened(*np.percentile(values, _PERCENTILES)) if len(values) else (0.0, 1.0)
            for values in known_values
        ],
        "has_valid_pixels": any(len(values) for values in known_values),
    }


def _widened(low: float, high: float) -> tuple[float, float]:
    # a scene of one value is shown as mid grey, not as black
    margin = 0.0 if low < high else max(1.0, abs(low)) / 2
    return float(low - margin), float(high + margin)
