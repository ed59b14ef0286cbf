"""Verifies the checksums and the pixels of a PNG, which GDAL does not check.

Every chunk of a PNG carries a checksum. GDAL inflates the pixels by itself when a file is decoded
whole, and shows what comes out: a PNG that lost or gained a few bytes gives pixels without an
error, and rows that are not there are black.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Protocol

__all__ = ["damage_in_png"]

_SIGNATURE_BYTES = 8
_PIECE_BYTES = 2**20
_HEADER = struct.Struct(">IIBBBBB")
# numbers per pixel by color type
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# first column, first row, steps of each pass of an interlaced image
_INTERLACED = (
    (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)
)  # fmt: skip


class Readable(Protocol):
    """A binary file at its start."""

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes from here."""


def damage_in_png(file: Readable) -> str:
    """What is wrong with a PNG, by its chunks and the number of its pixels; empty if nothing.

    Chunks that pixels do not depend on are not looked at, and neither is what follows the last.
    The file is read once from start to end, in pieces of a megabyte.
    """
    file.read(_SIGNATURE_BYTES)
    has_pixels = False
    pixels: _Pixels | None = None
    while True:
        header = file.read(8)
        if len(header) < 8:
            return "it ends before its last chunk"
        (length,), kind = struct.unpack(">I", header[:4]), header[4:]
        checksum = zlib.crc32(kind)
        if kind == b"IHDR" and length == _HEADER.size:
            head = file.read(length)
            checksum, length = zlib.crc32(head, checksum), length - len(head)
            pixels = _Pixels(head) if len(head) == _HEADER.size else None
        for piece in _pieces(file, length):
            if not piece:
                return "it ends within a chunk"
            checksum = zlib.crc32(piece, checksum)
            if kind == b"IDAT" and pixels is not None:
                pixels.take(piece)
        # a capital first letter: the pixels cannot be understood without the chunk
        matters = kind[:1].isupper() or kind == b"tRNS"
        if file.read(4) != struct.pack(">I", checksum) and matters:
            return f"the checksum of a {kind.decode('latin-1')} chunk is wrong"
        has_pixels = has_pixels or kind == b"IDAT"
        if pixels is not None and pixels.is_broken:
            return "its pixels cannot be inflated"
        if kind == b"IEND":
            if not has_pixels:
                return "it holds no pixels"
            return "" if pixels is None else pixels.finish()


def _pieces(file: Readable, length: int) -> Iterator[bytes]:
    """The next bytes of a file in pieces; an empty one where it ends before the length."""
    while length > 0:
        piece = file.read(min(length, _PIECE_BYTES))
        yield piece
        if not piece:
            return
        length -= len(piece)


class _Pixels:
    """Counts the bytes that the pixels of a PNG inflate to, up to as many as they must be."""

    def __init__(self, header: bytes) -> None:
        """Take the content of the header chunk."""
        self.expected_bytes = _pixel_bytes(*_HEADER.unpack(header))
        self.inflated_bytes = 0
        self.is_broken = False
        self._stream = zlib.decompressobj()

    def take(self, piece: bytes) -> None:
        """Count a piece of the stream; it is broken from where it is no such stream."""
        while piece and self.inflated_bytes < self.expected_bytes and not self._stream.eof:
            try:
                self.inflated_bytes += len(self._stream.decompress(piece, _PIECE_BYTES))
            except zlib.error:
                self.is_broken = True
                return
            piece = self._stream.unconsumed_tail

    def finish(self) -> str:
        """Count what is still in the stream; what is wrong with it then, empty if nothing."""
        if self.inflated_bytes < self.expected_bytes:
            self.inflated_bytes += len(self._stream.flush())
        if self.inflated_bytes >= self.expected_bytes:
            return ""
        share = self.inflated_bytes / self.expected_bytes
        return f"its pixels end early: it holds {share:.1%} of the bytes that its size needs"


def _pixel_bytes(
    width: int, height: int, bits: int, color: int, _method: int, _filter: int, interlace: int
) -> int:
    """How many bytes all rows have, each with the byte that names its filter."""
    bits_pixel = bits * _CHANNELS.get(color, 0)
    if not bits_pixel:
        return 0
    grids = _INTERLACED if interlace else ((0, 0, 1, 1),)
    total = 0
    for x, y, step_x, step_y in grids:
        cols, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if cols > 0 and rows > 0:
            total += rows * (1 + -(-cols * bits_pixel // 8))
    return total
