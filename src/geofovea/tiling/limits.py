"""How much decoding one read may ask for; what a file claims costs its writer nothing."""

from __future__ import annotations

from geofovea.errors import SceneRefusedError

__all__ = ["MAX_READ_PIXELS", "MAX_SEQUENTIAL_PIXELS", "check_read", "check_sequential"]

MAX_SEQUENTIAL_PIXELS = 2**31
"""Largest PNG or JPEG: every tile costs a decode of the rows above it."""

MAX_READ_PIXELS = 2**32
"""Most pixels per band that one tile may decode; about a minute of DEFLATE on one core."""


def check_sequential(path: str, driver: str, width: int, height: int) -> None:
    """Refuse a picture that has to be decoded from its top and is too large for that.

    Ten megabytes of PNG can claim 3.6 gigapixels.

    Raises:
        SceneRefusedError: With another way to the same pixels.
    """
    if driver in ("PNG", "JPEG") and width * height > MAX_SEQUENTIAL_PIXELS:
        raise SceneRefusedError(
            f"{path!r} is a {driver} of {width} x {height} pixels; at most "
            f"{MAX_SEQUENTIAL_PIXELS >> 20} Mpx are read from a format that has no tiles; convert "
            "it: gdal_translate -of COG"
        )


def check_read(path: str, decoded_pixels: int) -> None:
    """Refuse a read that would decode a scene without overviews for hours.

    A file of some hundred kilobytes can claim a million by a million pixels.

    Raises:
        SceneRefusedError: With what makes the read cheap.
    """
    if decoded_pixels > MAX_READ_PIXELS:
        raise SceneRefusedError(
            f"one tile of {path!r} would decode {decoded_pixels >> 20} Mpx per band, more than the "
            f"{MAX_READ_PIXELS >> 20} Mpx allowed; build overviews: gdaladdo -r average"
        )
