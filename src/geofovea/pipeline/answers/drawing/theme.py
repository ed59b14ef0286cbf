"""Colors, fonts and sizes of the picture: paper, ink, one hue for levels and one for evidence.

The page is twice as wide as a README shows it, so 22 pixels here are 11 there.
"""

from __future__ import annotations

import functools
import math
from bisect import bisect_right

from PIL import ImageFont

__all__ = [
    "BODY", "EVIDENCE", "FAINT", "FIGURE", "GAP", "GAUGE", "INK", "MARGIN", "PAGE_WIDTH", "PAPER",
    "RGB", "SMALL", "TITLE", "WARNING", "WARNING_PAPER", "WEDGE", "WHITE", "Font", "fitted", "font",
    "font_for", "level_color", "wrapped",
]  # fmt: skip

RGB = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PAGE_WIDTH = 1660
MARGIN = 40
GAP = 36

SMALL, BODY, TITLE, FIGURE = 22, 26, 30, 54

WHITE: RGB = (255, 255, 255)
PAPER: RGB = (252, 252, 250)
INK: RGB = (31, 36, 48)
FAINT: RGB = (93, 100, 115)
GAUGE: RGB = (222, 225, 231)
WEDGE: RGB = (235, 237, 242)
EVIDENCE: RGB = (255, 176, 32)
WARNING: RGB = (138, 75, 20)
WARNING_PAPER: RGB = (253, 243, 228)

_COARSE: RGB = (204, 232, 240)
_FINE: RGB = (46, 134, 193)
# scripts that the font of Pillow does not have, where a system has one that does
_OTHER_FONTS = ("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "msgothic.ttc")
_NO_LETTER = "\uffff"


def level_color(rank: int, ranks: int) -> RGB:
    """One hue for all levels: pale for the coarsest (rank 0), deep for the finest."""
    share = 1.0 if ranks < 2 else rank / (ranks - 1)
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(_COARSE, _FINE, strict=True))
    return red, green, blue


@functools.lru_cache(maxsize=64)
def font(size: int, *, other: bool = False) -> Font:
    """The font of Pillow, which every system has; or one of the system for other scripts."""
    for name in _OTHER_FONTS if other else ():
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def font_for(text: str, size: int) -> Font:
    """A font that can write a text, where the system has one."""
    return font(size, other=any(_is_missing(c) for c in text if not c.isspace()))


@functools.lru_cache(maxsize=4096)
def _is_missing(character: str) -> bool:
    """Whether the font of Pillow draws the box that stands for a letter it does not have."""
    face = font(SMALL)
    return bytes(face.getmask(character)) == bytes(face.getmask(_NO_LETTER))


def fitted(text: str, size: int, room: float) -> str:
    """The text on one line, cut with an ellipsis where it is wider than ``room`` pixels."""
    face, text = font_for(text, size), " ".join(text.split())
    if face.getlength(text) <= room:
        return text
    fits = bisect_right(
        range(len(text)), room, key=lambda n: math.ceil(face.getlength(text[:n] + "…"))
    )
    return text[: max(0, fits - 1)].rstrip() + "…"


def wrapped(text: str, size: int, room: float, most: int) -> list[str]:
    """The text on at most ``most`` lines of ``room`` pixels; the last is cut where it must be."""
    face, words, lines = font_for(text, size), text.split(), list[str]()
    while words and len(lines) < most - 1:
        count = 1
        while count < len(words) and face.getlength(" ".join(words[: count + 1])) <= room:
            count += 1
        lines.append(fitted(" ".join(words[:count]), size, room))
        words = words[count:]
    return [*lines, fitted(" ".join(words), size, room)] if words else lines
