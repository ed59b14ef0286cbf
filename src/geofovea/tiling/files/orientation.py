"""How a picture says that it is to be turned before it is looked at, which GDAL does not do.

Cameras store what the sensor saw, and a tag beside it says which way up it was held. Viewers turn
such a picture; its pixels, and all that is said of them here, are those that are stored.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from typing import Any

from geofovea.tiling.files.source import Source
from geofovea.tiling.files.tiff_directories import directory_of

__all__ = ["ORIENTATION", "orientation_of", "orientation_warnings", "turned_warnings"]

ORIENTATION = 274
"""The tag of TIFF and of EXIF."""

_TURNS = {
    2: "mirrored from left to right",
    3: "turned by 180 degrees",
    4: "mirrored from top to bottom",
    5: "mirrored along its diagonal from the top left",
    6: "turned clockwise by 90 degrees",
    7: "mirrored along its diagonal from the top right",
    8: "turned counterclockwise by 90 degrees",
}
_MOST_CHUNKS = 256
_MOST_EXIF_BYTES = 2**16


def orientation_of(source: Source, file: Any) -> int:
    """Which way up a TIFF or a PNG says that it was held, 1 to 8; 1 where nothing says it.

    Args:
        source: What is opened.
        file: The same as an open binary file.
    """
    if source.driver not in ("GTiff", "PNG"):
        return 1
    tiff = file if source.driver == "GTiff" else io.BytesIO(_exif_of_png(file))
    directory = directory_of(tiff, source.page)
    return 1 if directory is None else directory.number(ORIENTATION, 1)


def orientation_warnings(dataset: Any, source: Source, orientation: int) -> tuple[str, ...]:
    """What a reader should know of a file that viewers turn.

    Args:
        dataset: Its open dataset; GDAL tells the tag of a JPEG alone.
        source: What was opened.
        orientation: As `orientation_of` has it.
    """
    if source.driver == "JPEG":
        return turned_warnings(dataset.tags().get("EXIF_Orientation"))
    return turned_warnings(orientation)


def turned_warnings(orientation: Any) -> tuple[str, ...]:
    """The same from the number of the tag, 1 to 8; none for anything else."""
    turn = None
    with suppress(TypeError, ValueError):
        turn = _TURNS.get(int(orientation))
    if turn is None:
        return ()
    return (
        f"the picture is meant to be {turn} (its tag says orientation {int(orientation)}), and its "
        "pixels are shown as they are stored: top and left are those of the stored picture; turn "
        "it for good, for example with PIL.ImageOps.exif_transpose",
    )


def _exif_of_png(file: Any) -> bytes:
    """What stands in the chunk of EXIF before the pixels of a PNG; empty where there is none."""
    file.seek(8)
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return b""
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            return bytes(file.read(min(length, _MOST_EXIF_BYTES)))
        if kind in (b"IDAT", b"IEND"):
            return b""
        file.seek(length + 4, io.SEEK_CUR)
    return b""
