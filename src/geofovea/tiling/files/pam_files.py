"""What GDAL keeps in ``FILE.aux.xml``, which is not read: it can name other files.

What would change a picture or its place is told, so that nobody believes it is heeded.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from geofovea.tiling.files.source import Source

__all__ = ["pam_file_warnings"]

_MOST_BYTES = 2**20
_NODATA = re.compile(rb"<NoDataValue[^>]{0,100}>\s*([-+.\w]{1,40})\s*<")
_PLACE = re.compile(rb"<(?:GeoTransform|GCPList)\b")
_CRS = re.compile(rb"<SRS\b")


def pam_file_warnings(
    source: Source, *, has_nodata: bool, has_place: bool, has_crs: bool
) -> tuple[str, ...]:
    """What the ``.aux.xml`` beside a local file says and the file does not.

    Args:
        source: What was opened.
        has_nodata: Whether the file, or who opened it, marks missing pixels.
        has_place: Whether the file says where it lies.
        has_crs: Whether it says in which CRS.
    """
    name = f"{source.path}.aux.xml"
    if source.stamp is None or not os.path.isfile(name):  # noqa: PTH113  (a path as text)
        return ()
    content = b""
    with suppress(OSError), open(name, "rb") as file:  # noqa: PTH123
        content = file.read(_MOST_BYTES)
    warnings = []
    nodata = _NODATA.search(content)
    if nodata is not None and not has_nodata:
        number = nodata[1].decode("ascii", "replace")
        warnings.append(
            f"the .aux.xml beside the file says nodata={number}, which is not read, because such a "
            f"file can name others; declare it with nodata={number}"
        )
    says_place = not has_place and _PLACE.search(content) is not None
    says_crs = not has_crs and _CRS.search(content) is not None
    if says_place or says_crs:
        what = "where it lies" if says_place else "its CRS"
        warnings.append(
            f"the .aux.xml beside the file says {what}, which is not read, because such a file can "
            "name others; for lon/lat put it into the file: gdal_translate -of COG"
        )
    return tuple(warnings)
