"""The files that a virtual raster shows: the scene opens only if every one of them does.

GDAL reports only once that a source of a virtual raster cannot be opened. Whatever is read after
that is black, without an error.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import rasterio

from geofovea.errors import SceneReadError
from geofovea.tiling.files.stamp import FileGroup
from geofovea.tiling.gdal_errors import GDAL_ERRORS
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning

__all__ = ["watched_sources"]

_MOST_OPENED = 500
"""Opening takes about a millisecond, and a mosaic may have a hundred thousand files. Of the rest,
those on local disks must at least be there."""
_REMOTE = "/vsi"


def watched_sources(dataset: Any) -> FileGroup | None:
    """Open the files that a virtual raster names, and those that such a file names in turn.

    The first 500 are opened. Of the others, a local file must exist.

    Args:
        dataset: An open rasterio dataset.

    Returns:
        The local files among the first 500, to notice when one changes or vanishes; None for
        another format.

    Raises:
        SceneReadError: If one of them cannot be opened, or is not there.
    """
    if dataset.driver != "VRT":
        return None
    checked: dict[str, None] = {}
    _check(dataset, checked)
    local = (name for name in islice(checked, _MOST_OPENED) if Path(name).is_file())
    return FileGroup.of(tuple(str(Path(name).absolute()) for name in local))


def _check(dataset: Any, checked: dict[str, None]) -> None:
    if dataset.driver != "VRT":
        return
    checked[dataset.name] = None
    for name in dataset.files:
        if name in checked:
            continue
        checked[name] = None
        try:
            if len(checked) <= _MOST_OPENED:
                with without_georeference_warning(), rasterio.open(name) as inner:
                    _check(inner, checked)
            elif not name.startswith(_REMOTE):
                Path(name).stat()
        except (*GDAL_ERRORS, OSError) as error:
            advice = "put that file back, or make the virtual raster again with gdalbuildvrt"
            if "VRTRawRasterBand" in str(dataset.tags(ns="xml:VRT")):
                # GDAL shows zeros where such a file is too short, without an error
                advice = "bytes without a header are not opened: copy it with gdal_translate"
            raise SceneReadError(
                f"{dataset.name!r} shows {name!r}, which cannot be opened ({error}); {advice}"
            ) from error
