"""Pictures that a program holds, as xarray: numpy arrays and PIL images.

Nothing is guessed. An array that could be read in two ways is refused, and the message shows the
line of code that makes it clear.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from geofovea.errors import SceneError
from geofovea.tiling.files.orientation import ORIENTATION, turned_warnings

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MOST_BANDS", "as_xarray", "picture_warnings"]

MOST_BANDS = 16
"""The longest axis of a numpy array that can be that of the bands."""

_COLORS = {
    "L": ("gray",),
    "LA": ("gray", "alpha"),
    "RGB": ("red", "green", "blue"),
    "RGBA": ("red", "green", "blue", "alpha"),
}
# one band of numbers each
_NUMBERS = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def as_xarray(picture: Any) -> Any:
    """A numpy array or a PIL image as a DataArray; anything else as it is.

    A numpy array has the shape ``(rows, columns)``, ``(rows, columns, bands)`` or ``(bands, rows,
    columns)``. The bands are the one of the first and the last axis that has at most 16 entries.
    Three bands are red, green and blue; others have no names. Its pixels are not copied. What a
    masked array masks is missing.

    A PIL image is shown as Pillow stores it. Where its EXIF says that it is to be turned,
    ``picture_warnings`` tells.

    Raises:
        SceneError: If it is not plain which axis is that of the bands, or a mode of Pillow has
            colors that take a decision.
    """
    if isinstance(picture, np.ndarray):
        return _of_numpy(picture)
    # whoever holds such an image has imported Pillow
    pillow = sys.modules.get("PIL.Image")
    if pillow is not None and isinstance(picture, pillow.Image):
        return _of_image(picture)
    return picture


def picture_warnings(picture: Any) -> tuple[str, ...]:
    """What a user should know about a picture that ``as_xarray`` has read."""
    pillow = sys.modules.get("PIL.Image")
    if pillow is None or not isinstance(picture, pillow.Image):
        return ()
    # Pillow turns a TIFF by itself, and then forgets the tag
    return turned_warnings(picture.getexif().get(ORIENTATION))


def _of_numpy(pixels: NDArray[Any]) -> xr.DataArray:
    dims = _dims(pixels.shape)
    coords: dict[str, Any] = {}
    if "band" in dims and pixels.shape[dims.index("band")] == 3:
        coords["band"] = list(_COLORS["RGB"])
    if isinstance(pixels, np.ma.MaskedArray):
        coords["mask"] = (dims, ~np.ma.getmaskarray(pixels))
        pixels = pixels.data
    return xr.DataArray(pixels, dims=dims, coords=coords, name="pixels")


def _dims(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the axes.

    Raises:
        SceneError: If they are not plain.
    """
    if len(shape) == 2:
        return ("y", "x")
    if len(shape) == 3:
        is_first, is_last = shape[0] <= MOST_BANDS, shape[2] <= MOST_BANDS
        if is_first != is_last:
            return ("band", "y", "x") if is_first else ("y", "x", "band")
        reason = (
            f"both its first and its last axis have at most {MOST_BANDS} entries"
            if is_first
            else f"neither its first nor its last axis has at most {MOST_BANDS} entries"
        )
        raise SceneError(
            f"a numpy array of shape {shape} does not say which axis is that of the bands: "
            f"{reason}; name the axes with xarray.DataArray(array, dims=('y', 'x', 'band')) or "
            "dims=('band', 'y', 'x')"
        )
    raise SceneError(
        f"a numpy array of shape {shape} is not one image; its axes must be (rows, columns), "
        "(rows, columns, bands) or (bands, rows, columns): take one image of it, such as array[0]"
    )


def _of_image(image: Image) -> xr.DataArray:
    if image.mode == "1":
        image = image.convert("L")
    # a color that stands for "transparent", and palettes, mean something to Pillow alone
    if image.mode in ("P", "PA", "L", "RGB"):
        is_transparent = "transparency" in image.info or image.mode == "PA"
        if is_transparent or image.mode == "P":
            image = image.convert("RGBA" if is_transparent else "RGB")
    if image.mode in _NUMBERS:
        return xr.DataArray(np.asarray(image), dims=("y", "x"), name="image")
    if image.mode not in _COLORS:
        raise SceneError(
            f"a PIL image of mode {image.mode!r} has no plain colors; convert it "
            f"with image.convert('RGB'), or use one of {', '.join((*_COLORS, 'P', '1', 'I', 'F'))}"
        )
    pixels = np.asarray(image)
    if pixels.ndim == 2:
        return xr.DataArray(pixels, dims=("y", "x"), name="image")
    names = list(_COLORS[image.mode])
    return xr.DataArray(pixels, dims=("y", "x", "band"), coords={"band": names}, name="image")
