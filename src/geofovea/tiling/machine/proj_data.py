"""Where PROJ finds the data that a wheel of rasterio brings, in a process that is ours."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

__all__ = ["proj_data_variable"]

_VARIABLE = "PROJ_DATA"
_NAMES = (_VARIABLE, "PROJ_LIB")


def proj_data_variable() -> dict[str, str]:
    """The environment variable that names rasterio's own data; empty where one is set or none is.

    A wheel of rasterio tells GDAL where its data lies. The part of GDAL that reads the units of a
    GeoTIFF asks PROJ past that, and PROJ prints "Cannot find proj.db" for units such as kilometers.
    Other libraries with a PROJ of their own use the data that they bring themselves.
    """
    if any(os.environ.get(name) for name in _NAMES):
        return {}
    try:
        spec = find_spec("rasterio")
    except ModuleNotFoundError:
        # an importer may say so in place of finding nothing
        return {}
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "proj_data"
    return {_VARIABLE: str(folder)} if (folder / "proj.db").is_file() else {}
