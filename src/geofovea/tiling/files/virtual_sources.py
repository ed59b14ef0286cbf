"""The files that a virtual raster shows: every one is there and opens, or the scene does not.

GDAL says only once that a source of a virtual raster cannot be opened. Whatever is read after that
is black, without an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rasterio

from geofovea.errors import SceneReadError
from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning

__all__ = ["check_virtual_sources"]

_MOST_OPENED = 500
"""Opening takes about a millisecond, and a mosaic may have a hundred thousand files. Of the rest,
those on local disks must at least be there."""
_REMOTE = "/vsi"


def check_virtual_sources(dataset: Any) -> None:
    """Open the files that a virtual raster names, and those that such a file names in turn.

    The first 500 are opened. Of the others, a local file must exist.

    Args:
        dataset: An open rasterio dataset; one of another format is left alone.

    Raises:
        SceneReadError: If one of them cannot be opened, or is not there.
    """
    _check(dataset, set())


def _check(dataset: Any, checked: set[str]) -> None:
    if dataset.driver != "VRT":
        return
    checked.add(dataset.name)
    for name in dataset.files:
        if name in checked:
            continue
        checked.add(name)
        try:
            if len(checked) <= _MOST_OPENED:
                with without_georeference_warning(), rasterio.open(name) as inner:
                    _check(inner, checked)
            elif not name.startswith(_REMOTE):
                Path(name).stat()
        except (*GDAL_ERRORS, OSError) as error:
            raise SceneReadError(
                f"{dataset.name!r} shows {name!r}, which cannot be opened ({error}); put that file "
                "back, or make the virtual raster again with gdalbuildvrt"
            ) from error
