"""The formats of raster files that are opened, and what each of them can do: one table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

__all__ = ["ALLOWED_FORMATS", "FORMATS", "RasterFormat", "drivers_where"]


@dataclass(frozen=True, slots=True)
class RasterFormat:
    """One format.

    Attributes:
        driver: Name of the only GDAL driver that opens it.
        title: The name that people use.
        magics: First bytes of its files.
        end_mark: What a whole file ends with, where GDAL returns the pixels of one that was cut
            short without an error; empty for others.
        is_sequential: Whether it is decoded from its top, so that a small window costs most of it.
        can_build_levels: Whether levels that a file lacks are built once, in a file of their own.
        claims_blocks: Whether its structure is looked at before GDAL makes room for what it claims.
    """

    driver: str
    title: str
    magics: tuple[bytes, ...]
    end_mark: bytes = b""
    is_sequential: bool = False
    can_build_levels: bool = True
    claims_blocks: bool = True


FORMATS = {
    each.driver: each
    for each in (
        RasterFormat("GTiff", "GeoTIFF/COG", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
        RasterFormat("PNG", "PNG", (b"\x89PNG\r\n\x1a\n",), b"IEND\xaeB`\x82", is_sequential=True),
        RasterFormat("JPEG", "JPEG", (b"\xff\xd8\xff",), b"\xff\xd9", is_sequential=True),
        RasterFormat(
            "JP2OpenJPEG",
            "JPEG 2000",
            (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
            can_build_levels=False,
            claims_blocks=False,
        ),
    )
}
"""By driver."""

ALLOWED_FORMATS = ", ".join(each.title for each in FORMATS.values())


@cache
def drivers_where(trait: str) -> frozenset[str]:
    """Drivers of the formats that have a trait, such as ``is_sequential``."""
    return frozenset(driver for driver, each in FORMATS.items() if getattr(each, trait))
