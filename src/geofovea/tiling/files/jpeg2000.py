"""The tiles of a JPEG 2000 file, which GDAL shows as blocks of 1024 pixels where they are larger.

Whoever decodes one such block reads all compressed bytes of the tile around it into memory, so a
file that is one tile costs its own size. The layout stands at the start of the codestream
(ISO/IEC 15444-1, annexes A.5.1 and I.4).
"""

from __future__ import annotations

import struct
from typing import Protocol

from geofovea.errors import SceneRefusedError

__all__ = ["MAX_TILE_BYTES", "check_tiles", "count_tiles"]

MAX_TILE_BYTES = 256 * 2**20
"""Most compressed bytes of a tile, on average over a file."""

_CODESTREAM = b"\xff\x4f\xff\x51"
_MOST_BOXES = 1000


class Seekable(Protocol):
    """A binary file."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes from here."""

    def seek(self, offset: int, /) -> int:
        """Go to a byte."""


def check_tiles(path: str, file: Seekable, size_bytes: int) -> None:
    """Refuse a file whose tiles are too large to be decoded one at a time.

    Args:
        path: Its name, for the message.
        file: The file, open.
        size_bytes: Its size.

    Raises:
        SceneRefusedError: With another way to the same pixels.
    """
    bytes_tile = size_bytes // max(1, count_tiles(file))
    if bytes_tile > MAX_TILE_BYTES:
        raise SceneRefusedError(
            f"{path!r} has tiles of about {bytes_tile >> 20} MiB compressed, more than the "
            f"{MAX_TILE_BYTES >> 20} MiB that are read for one look; rewrite it with smaller "
            "tiles: gdal_translate -of COG"
        )


def count_tiles(file: Seekable) -> int:
    """How many tiles a file has; 1 where it does not say."""
    start = _codestream_start(file)
    if start is None:
        return 1
    file.seek(start)
    head = file.read(40)
    if len(head) < 40 or not head.startswith(_CODESTREAM):
        return 1
    # marker, length and capabilities; then x and y of: the end of the image, its start, the size
    # of a tile, the start of the first
    x_end, y_end, _, _, width, height, x_tiles, y_tiles = struct.unpack(">8I", head[8:40])
    if not (width and height):
        return 1
    columns, rows = -(-(x_end - x_tiles) // width), -(-(y_end - y_tiles) // height)
    return int(max(1, columns) * max(1, rows))


def _codestream_start(file: Seekable) -> int | None:
    """Where the codestream begins: after boxes of other things, or at once."""
    position = 0
    for _ in range(_MOST_BOXES):
        file.seek(position)
        head = file.read(16)
        if head.startswith(_CODESTREAM):
            return position
        if len(head) < 8:
            return None
        (length,), kind = struct.unpack(">I", head[:4]), head[4:8]
        body = 8
        if length == 1 and len(head) == 16:
            (length,), body = struct.unpack(">Q", head[8:16]), 16
        if kind == b"jp2c":
            return position + body
        if length < body:
            return None
        position += length
    return None
