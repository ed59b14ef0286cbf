"""How much decoding one read may cost, because a small file can claim any size."""

from __future__ import annotations

import shlex
from typing import Any

from geofovea.errors import SceneRefusedError
from geofovea.tiling.files.formats import drivers_where
from geofovea.tiling.files.progressive import bytes_held_whole
from geofovea.tiling.files.tiff_directories import directories

__all__ = [
    "MAX_BLOCK_BYTES",
    "MAX_READ_PIXELS",
    "MAX_SEQUENTIAL_PIXELS",
    "check_directories",
    "check_held_whole",
    "check_read",
    "check_sequential",
]

MAX_BLOCK_BYTES = 256 * 2**20
"""Most memory for what has to be decoded at once: a block, or a picture that is held whole."""

MAX_SEQUENTIAL_PIXELS = 2**31
"""Largest PNG or JPEG: every tile costs a decode of the rows above it."""

MAX_READ_PIXELS = 2**32
"""Most pixels per band that one tile may decode; about a minute of DEFLATE on one core."""

MAX_REDUCED_IMAGES = 128
"""Most overviews and masks in one TIFF: sides are halved at most some thirty times."""

MAX_DIRECTORIES = 8192
"""Most images of any kind in one TIFF; GDAL goes through all of them whenever it opens one."""

MAX_REMOTE_DIRECTORIES = 256
"""The same in a far-away file, where each may cost a request."""


def check_held_whole(path: str, driver: str, file: Any) -> None:
    """Refuse a picture that decoders hold whole, if that takes more memory than a block may.

    Args:
        path: Its name.
        driver: Its GDAL driver.
        file: The file, open at its start.

    Raises:
        SceneRefusedError: With the command that rewrites it.
    """
    decoded_bytes = bytes_held_whole(file, driver)
    if decoded_bytes is None:
        raise SceneRefusedError(
            f"{path!r} has too many segments before its picture to be a photograph; rewrite it: "
            f"gdal_translate -of COG {shlex.quote(path)} {_rewritten(path)}"
        )
    if decoded_bytes > MAX_BLOCK_BYTES:
        what = "an interlaced PNG" if driver == "PNG" else "a progressive JPEG"
        option = "" if driver == "PNG" else "--config GDAL_ALLOW_LARGE_LIBJPEG_MEM_ALLOC YES "
        raise SceneRefusedError(
            f"{path!r} is {what}, which can only be decoded whole: that takes "
            f"{decoded_bytes >> 20} MiB, more than the {MAX_BLOCK_BYTES >> 20} MiB allowed; "
            f"rewrite it: gdal_translate {option}-of COG {shlex.quote(path)} {_rewritten(path)}"
        )


def check_directories(path: str, file: Any, *, is_remote: bool = False) -> None:
    """Refuse a TIFF with more images than a pyramid has: GDAL holds all of them in memory.

    Args:
        path: Its name.
        file: The file.
        is_remote: Whether a look at each image may cost a request.

    Raises:
        SceneRefusedError: With the command that rewrites it.
    """
    most = MAX_REMOTE_DIRECTORIES if is_remote else MAX_DIRECTORIES
    reduced = 0
    for number, directory in enumerate(directories(file), 1):
        reduced += directory.is_reduced_or_mask
        if number > most or reduced > MAX_REDUCED_IMAGES:
            what = f"{most} images" if number > most else f"{MAX_REDUCED_IMAGES} overviews or masks"
            raise SceneRefusedError(
                f"{path!r} holds more than {what}; a pyramid has some thirty; rewrite it: "
                f"gdal_translate -of COG -co OVERVIEWS=IGNORE_EXISTING {shlex.quote(path)} "
                f"{_rewritten(path)}"
            )


def _rewritten(path: str) -> str:
    """A name for the file that a command writes, in the folder where it is run."""
    stem = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0] or "scene"
    return shlex.quote(f"{stem}.cog.tif")


def check_sequential(path: str, driver: str, width: int, height: int, bytes_pixel: int = 1) -> None:
    """Refuse a picture that has to be decoded from its top and is too large for that.

    Ten megabytes of PNG can claim 3.6 gigapixels.

    Raises:
        SceneRefusedError: With another way to the same pixels.
    """
    if driver in drivers_where("is_sequential") and width * height > MAX_SEQUENTIAL_PIXELS:
        raise SceneRefusedError(
            f"{path!r} is a {driver} of {width} x {height} pixels; at most "
            f"{MAX_SEQUENTIAL_PIXELS >> 20} Mpx are read from a format that has no tiles; convert "
            "it: gdal_translate -of COG"
        )
    rows = 256  # of blocks that a copy has
    if driver in drivers_where("is_sequential") and width * bytes_pixel * rows > MAX_BLOCK_BYTES:
        raise SceneRefusedError(
            f"{path!r} is a {driver} whose rows are {width} pixels long; {rows} of them, which are "
            f"decoded at once, take more than {MAX_BLOCK_BYTES >> 20} MiB; convert it: "
            f"gdal_translate -of COG {shlex.quote(path)} {_rewritten(path)}"
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
