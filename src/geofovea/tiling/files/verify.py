"""Whether a TIFF that was just written is all there.

GDAL writes much of a file when it is closed, and a close that meets a full disk is not an error in
rasterio. So a file is looked at before it gets the name under which others will find it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from geofovea.errors import SceneReadError
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_dataset, read_errors
from geofovea.tiling.files.layout import block_place
from geofovea.tiling.files.source import Source, resolve_source

__all__ = ["check_whole"]


def check_whole(path: str | os.PathLike[str], *, is_sparse: bool = False) -> None:
    """Refuse a TIFF with a block, native or of an overview, that is missing or ends after the file.

    No pixel is decoded. A file that leaves out empty blocks on purpose passes only if told so.

    Args:
        path: The file.
        is_sparse: Whether blocks may be left out; then what they show has to be compared.

    Raises:
        SceneReadError: If the file is not whole, or does not open.
    """
    source = resolve_source(path)
    size_bytes = Path(source.path).stat().st_size
    with gdal_settings(), read_errors(source), open_dataset(source) as dataset:
        for image, row, col, band in _blocks(source, dataset):
            overview = {} if image is None else {"ovr": image}
            offset, length = block_place(dataset, row, col, band, **overview)
            if is_sparse and offset == length == 0:
                continue
            if offset == 0 or length == 0 or offset + length > size_bytes:
                label = "native image" if image is None else f"overview {image}"
                raise SceneReadError(
                    f"{source.path!r} is not whole: block ({row}, {col}) of its {label} is missing "
                    "or reaches past the end of the file; write it again where the disk has room"
                )


def _blocks(source: Source, dataset: Any) -> Iterator[tuple[int | None, int, int, int]]:
    """Each block as its overview (None is the native image), row, column and band."""
    # pixel-interleaved bands share their blocks
    bands = 1 if dataset.profile.get("interleave") == "pixel" else dataset.count
    for image in (None, *range(len(dataset.overviews(1)))):
        for (row, col), band in product(_grid(source, image), range(1, bands + 1)):
            yield image, row, col, band


def _grid(source: Source, image: int | None) -> Iterator[tuple[int, int]]:
    level = "NONE" if image is None else f"{image}only"
    with open_dataset(source, OVERVIEW_LEVEL=level) as dataset:
        height_block, width_block = dataset.block_shapes[0]
        rows, cols = -(-dataset.height // height_block), -(-dataset.width // width_block)
    return ((row, col) for row in range(rows) for col in range(cols))
