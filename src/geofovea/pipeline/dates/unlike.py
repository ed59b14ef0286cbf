"""What makes two dates of a place look different where nothing changed, as sentences.

Another number of bands, another pixel type, marks of missing pixels that only one date has, and a
band that shows nothing all look like a change of the place to a model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.reader import TilePixels, TileReader
from geofovea.tiling.scene import Scene

__all__ = ["unlike_dates"]

_COLORS = ("red", "green", "blue")


def unlike_dates(
    readers: Sequence[TileReader], overviews: Sequence[TilePixels], reference: int
) -> tuple[str, ...]:
    """What a careful reader should know of how each date is shown, beside the reference.

    Args:
        readers: Of each scene, in its own grid.
        overviews: The overview of each date on the grid of the reference, before its light is
            matched.
        reference: Number of the date that the others are compared with.
    """
    own = readers[reference]
    told: dict[str, None] = {}
    for number, (reader, pixels) in enumerate(zip(readers, overviews, strict=True)):
        if number == reference:
            continue
        name = reader.scene.path
        # those of the reference stand in each answer
        told |= dict.fromkeys(f"{name}: {w}" for w in reader.radiometry.warnings)
        told |= dict.fromkeys(_shown_otherwise(own, reader))
        told |= dict.fromkeys(_missing_otherwise(own.scene, reader.scene))
        told |= dict.fromkeys(_empty(own, reader, overviews[reference], pixels))
    return tuple(told)


def _shown_otherwise(reference: TileReader, other: TileReader) -> Iterator[str]:
    """Where two scenes are shown by other bands or in another way."""
    first, second = reference.radiometry, other.radiometry
    here, there = reference.scene, other.scene
    advice = "differences between the two may be those of the files and no change of the place"
    if _kind(first) != _kind(second):
        yield (
            f"{there.path} is shown as {_kind(second)} and {here.path} as {_kind(first)}: "
            f"{advice}; choose bands that both have with bands="
        )
    elif here.count != there.count and first.bands != second.bands:
        yield (
            f"{there.path} has {there.count} bands and shows {_listed(second)}, {here.path} has "
            f"{here.count} and shows {_listed(first)}: {advice}; choose them with bands="
        )
    if here.dtype != there.dtype and (first.stretch is None) != (second.stretch is None):
        yield (
            f"the pixels of {there.path} are {there.dtype} and those of {here.path} {here.dtype}, "
            f"and one of them was stretched to eight bits: {advice}"
        )


def _kind(radiometry: Radiometry) -> str:
    if radiometry.composite:
        return radiometry.composite
    if radiometry.palette:
        return "a palette"
    return "one gray band" if len(radiometry.bands) == 1 else "color"


def _listed(radiometry: Radiometry) -> str:
    return ", ".join(map(str, radiometry.bands))


def _missing_otherwise(reference: Scene, other: Scene) -> Iterator[str]:
    """Where one date says which pixels are missing and the other does not, or by another value."""
    marked, unmarked = (reference, other) if other.mask_kind == "none" else (other, reference)
    if marked.mask_kind != "none" and unmarked.mask_kind == "none":
        yield (
            f"{unmarked.path} marks no missing pixels and {marked.path} does: a border without "
            "data may look like a change; declare the value with nodata="
        )


def _empty(
    reference: TileReader, other: TileReader, own: TilePixels, pixels: TilePixels
) -> Iterator[str]:
    """Where a date shows nothing at all, or the same everywhere in one of its colors."""
    both = own.valid & pixels.valid
    names = reference.scene.path, other.scene.path
    for name, valid in zip(names, (own.valid, pixels.valid), strict=True):
        if not valid.any():
            yield f"{name} shows no valid pixel in its overview: nothing of it can be compared"
    if not both.any():
        return
    flat = [np.ptp(each.rgb[both].astype(int), axis=0) == 0 for each in (own, pixels)]
    for name, is_flat, is_flat_elsewhere in zip(names, flat, reversed(flat), strict=True):
        bands = [_COLORS[i] for i in range(3) if is_flat[i] and not is_flat_elsewhere[i]]
        if len(bands) == len(_COLORS):
            yield f"{name} has the same color everywhere that both dates show: it may hold no data"
        elif bands:
            yield (
                f"the band shown as {' and '.join(bands)} is the same everywhere in {name}: it may "
                "hold no data, and differences in it are no change of the place"
            )
