"""Pictures whose decoders hold them whole: progressive JPEGs, interlaced PNGs, and their like.

A decoder of a plain picture holds some rows of it. One whose passes or scans each cover the whole
picture has to keep all of it until the last, and some hundred bytes can claim gigapixels of that.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["bytes_held_whole"]

_PNG_HEADER = struct.Struct(">8xI4sIIBBBBB")
# channels by color type; libvips makes colors of palette indexes
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}

_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# of one scan after the other, with Huffman's or arithmetic coding
_SEQUENTIAL = frozenset({0xC0, 0xC1, 0xC3, 0xC9, 0xCB})
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN, _END = 0xDA, 0xD9
_MOST_SEGMENTS = 65536
_PIECE_BYTES = 4096
_BLOCK_SIDE, _BYTES_COEFFICIENT = 8, 2


def bytes_held_whole(file: Any, driver: str) -> int | None:
    """How many bytes of a picture every decoder has to hold at once; 0 where it needs some rows.

    Args:
        file: The file, open at its start.
        driver: ``PNG`` or ``JPEG``; other formats are 0.

    Returns:
        The bytes; None where so much stands before the picture that nobody looked to its end.
    """
    if driver == "PNG":
        return _of_png(file)
    return _of_jpeg(file) if driver == "JPEG" else 0


def _of_png(file: Any) -> int:
    head = file.read(_PNG_HEADER.size)
    if len(head) < _PNG_HEADER.size:
        return 0
    _, kind, width, height, depth, color, _, _, is_interlaced = _PNG_HEADER.unpack(head)
    if kind != b"IHDR" or not is_interlaced:
        return 0
    return int(width * height * _PNG_CHANNELS.get(color, 4) * max(1, depth // 8))


def _of_jpeg(file: Any) -> int | None:
    """Bytes of all coefficients, if there is more than one scan of the picture."""
    file.read(2)
    frame, coefficient_bytes = None, 0
    for _ in range(_MOST_SEGMENTS):
        marker = _next_marker(file)
        if marker in (None, _END):
            return 0
        if marker in _ALONE:
            continue
        length = int.from_bytes(file.read(2), "big") - 2
        if marker in _FRAMES:
            frame = file.read(max(0, length))
            coefficient_bytes = _coefficients(frame)
            if marker not in _SEQUENTIAL:
                return coefficient_bytes
        elif marker == _SCAN:
            in_scan, in_frame = file.read(1), frame[5:6] if frame else b""
            return coefficient_bytes if in_scan < in_frame else 0
        else:
            file.seek(max(0, length), 1)
    return None


def _next_marker(file: Any) -> int | None:
    """The code of the next segment, after whatever stands before it; None at the end."""
    is_after_mark = False
    while piece := file.read(_PIECE_BYTES):
        at = 0
        while at < len(piece):
            if not is_after_mark:
                at = piece.find(b"\xff", at) + 1 or len(piece) + 1
                is_after_mark = at <= len(piece)
                continue
            # any number of fill bytes, and a zero after data that looks like a mark
            at += len(piece) - at - len(piece[at:].lstrip(b"\xff"))
            if at < len(piece):
                if piece[at]:
                    file.seek(at + 1 - len(piece), 1)
                    return int(piece[at])
                is_after_mark = False
    return None


def _coefficients(frame: bytes) -> int:
    """Bytes of the coefficients of a frame, whose components may have fewer samples than pixels."""
    if len(frame) < 6 or len(frame) < 6 + 3 * frame[5]:
        return 0
    height, width = struct.unpack(">HH", frame[1:5])
    factors = [(frame[at] >> 4, frame[at] & 15) for at in range(7, 6 + 3 * frame[5], 3)]
    if not factors or min(map(min, factors)) < 1:
        return 0
    across, down = (max(values) for values in zip(*factors, strict=True))
    blocks = sum(
        -(-width * h // (across * _BLOCK_SIDE)) * -(-height * v // (down * _BLOCK_SIDE))
        for h, v in factors
    )
    return int(blocks * _BLOCK_SIDE**2 * _BYTES_COEFFICIENT)
