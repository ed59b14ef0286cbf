"""The checksums of a PNG, which GDAL does not look at.

Every chunk of a PNG carries one. GDAL inflates the pixels by itself when a file is decoded whole,
and shows what comes out, so a PNG that lost or gained a few bytes gives pixels without an error.
"""

from __future__ import annotations

import struct
import zlib
from typing import Protocol

__all__ = ["damage_in_png"]

_SIGNATURE_BYTES = 8
_PIECE_BYTES = 2**20


class Readable(Protocol):
    """A binary file at its start."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes from here."""


def damage_in_png(file: Readable) -> str:
    """What is wrong with a PNG, by the lengths and checksums of its chunks; empty if nothing.

    Chunks that pixels do not depend on are not looked at, and neither is what follows the last.
    The file is read once from start to end, in pieces of a megabyte.
    """
    file.read(_SIGNATURE_BYTES)
    has_pixels = False
    while True:
        header = file.read(8)
        if len(header) < 8:
            return "it ends before its last chunk"
        (length,) = struct.unpack(">I", header[:4])
        kind = header[4:]
        checksum = zlib.crc32(kind)
        while length > 0:
            piece = file.read(min(length, _PIECE_BYTES))
            if not piece:
                return "it ends within a chunk"
            checksum = zlib.crc32(piece, checksum)
            length -= len(piece)
        # a capital first letter: the pixels cannot be understood without the chunk
        matters = kind[:1].isupper() or kind == b"tRNS"
        if file.read(4) != struct.pack(">I", checksum) and matters:
            return f"the checksum of a {kind.decode('latin-1')} chunk is wrong"
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"IEND":
            return "" if has_pixels else "it holds no pixels"
