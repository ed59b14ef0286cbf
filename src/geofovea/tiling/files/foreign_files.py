"""What a file or folder is that cannot be a scene, and what to do about it.

It is inspected only to give helpful advice. Nothing in it is opened.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["advice_on_bytes", "advice_on_folder", "advice_on_name"]

_UNPACK = "extract it (unzip, tar -xf, gunzip, 7z x) and give the path of the raster in it"
_ARRAY = (
    "open it with xarray and pass the array, as in geofovea.open_scene(xarray.open_dataset(PATH)), "
    "or copy the subdataset that you need into a GeoTIFF with gdal_translate"
)
_STORE = "open it with xarray and pass the array, as in geofovea.open_scene(xarray.open_zarr(PATH))"
_TRANSLATE = "convert it to a GeoTIFF with gdal_translate"
_SAVE_AS = "save it as a TIFF or PNG with the program that it comes from"

_HDF5 = b"\x89HDF\r\n\x1a\n"
_BY_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a git-LFS pointer, not the file itself", "run git lfs pull"),
    (b"/annex/objects/", "a git-annex pointer, not the file itself", "run git annex get on it"),
    (b"PK\x03\x04", "a zip archive", _UNPACK),
    (b"PK\x05\x06", "an empty zip archive", "pack or download it again"),
    (b"\x1f\x8b", "compressed with gzip", _UNPACK),
    (b"BZh", "compressed with bzip2", _UNPACK),
    (b"\xfd7zXZ\0", "compressed with xz", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", _UNPACK),
    (_HDF5, "an HDF5 or netCDF file", _ARRAY),
    (b"CDF\x01", "a netCDF file", _ARRAY),
    (b"CDF\x02", "a netCDF file", _ARRAY),
    (b"CDF\x05", "a netCDF file", _ARRAY),
    (b"\x0e\x03\x13\x01", "an HDF4 file", _ARRAY),
    (b"GRIB", "a GRIB file", _ARRAY),
    (b"%PDF", "a PDF document", "export the picture in it as a TIFF or PNG"),
    (b"SQLite format 3\0", "a database, such as a GeoPackage or MBTiles", _TRANSLATE),
    (b"\xff\x0a", "a JPEG XL picture", _SAVE_AS),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture", _SAVE_AS),
    (b"8BPS", "a Photoshop document", _SAVE_AS),
    (b"GIF8", "a GIF picture", _TRANSLATE),
    (b"BM", "a BMP picture", _TRANSLATE),
    (b"EHFA_HEADER_TAG", "an Erdas Imagine file", _TRANSLATE),
    (b"NITF", "a NITF file", _TRANSLATE),
    (b"NSIF", "a NITF file", _TRANSLATE),
    (b"SIMPLE  =", "a FITS file", _TRANSLATE),
)
_ARCHIVES = re.compile(
    r"/vsi(?:zip|tar|gzip|7z|rar|subfile|sparse|crypt)\b|(?:zip|tar|gzip)(?:\+\w+)?://",
    re.IGNORECASE,
)
_STORES = (".zgroup", ".zarray", ".zmetadata", ".zattrs", "zarr.json")


def advice_on_bytes(head: bytes) -> str:
    """What a file is by its first bytes, and what to do; empty where that is not known.

    Args:
        head: At least 1024 bytes, or the whole file.
    """
    for magic, what, help_ in _BY_MAGIC:
        if head.startswith(magic):
            return f"is {what}; {help_}"
    if head[512:520] == _HDF5:
        return f"is an HDF5 file with a block of its owner before it; {_ARRAY}"
    if head[257:262] == b"ustar":
        return f"is a tar archive; {_UNPACK}"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return f"is a WebP picture; {_TRANSLATE}"
    if head[4:8] == b"ftyp":
        return f"is a HEIF or AVIF picture; {_SAVE_AS}"
    return _advice_on_text(head.lstrip(b"\xef\xbb\xbf \t\r\n").lower())


def _advice_on_text(text: bytes) -> str:
    again = "look into it with a text editor, and download the raster again, signed in if need be"
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return f"is a web page (HTML) that was saved in place of the download; {again}"
    if text.startswith((b"<?xml", b"<error")):
        return f"is XML text, often the error that a server sent in place of the download; {again}"
    if text.startswith(b"{") and b'"zarr_format"' in text:
        return f"describes a Zarr store; {_STORE.replace('PATH', 'FOLDER')}"
    if text.startswith((b"{", b"[")):
        return f"is JSON text, often the error that a server sent in place of the download; {again}"
    return ""


def advice_on_folder(folder: Path) -> str:
    """What a folder is, and what to give instead."""
    if any((folder / name).exists() for name in _STORES):
        return f"is a Zarr store; {_STORE}"
    return (
        "is a directory; give the path of one raster file in it, or ask about all of them with "
        "geofovea batch"
    )


def advice_on_name(name: str) -> str:
    """Why a name in GDAL's or a URL's language is not opened; empty where a URL may be meant."""
    if name.lower().startswith("file:"):
        path = unquote(urlsplit(name).path)
        return f"is a URL of a local file; give its path without file://, {path!r}"
    if _ARCHIVES.match(name):
        return f"is a file inside of another; {_UNPACK}"
    return ""
