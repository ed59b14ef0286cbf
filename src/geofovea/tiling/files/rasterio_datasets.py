"""Datasets that a program has opened with rasterio: a scene is the file behind one."""

from __future__ import annotations

from typing import Protocol, TypeGuard

from rasterio.io import BufferedDatasetWriter, DatasetReader, DatasetWriter
from rasterio.vrt import WarpedVRT

from geofovea.errors import SceneRefusedError

__all__ = ["RasterioDataset", "check_same_image", "file_of_dataset", "is_rasterio_dataset"]

_KINDS = (DatasetReader, DatasetWriter, BufferedDatasetWriter, WarpedVRT)


class RasterioDataset(Protocol):
    """What is used of a dataset; rasterio itself has no types."""

    name: str
    mode: str
    closed: bool
    width: int
    height: int


def is_rasterio_dataset(scene: object) -> TypeGuard[RasterioDataset]:
    """Whether this is a dataset of rasterio, open or closed, of any kind."""
    return isinstance(scene, _KINDS)


def file_of_dataset(dataset: RasterioDataset) -> str:
    """The name of the file behind a dataset. The scene opens it anew and keeps it open by itself.

    Raises:
        SceneRefusedError: If the dataset is not one file that is open for reading.
    """
    name = dataset.name
    if not isinstance(dataset, DatasetReader):
        reason = "is warped" if isinstance(dataset, WarpedVRT) else "is open for writing"
    elif dataset.closed:
        reason = "is closed"
    elif dataset.mode != "r":
        reason = "is open for writing"
    elif name.startswith("/vsimem/"):
        reason = "is in memory and has no file"
    else:
        return name
    raise SceneRefusedError(
        f"the rasterio dataset {name!r} {reason}; it must be one that rasterio.open(path) "
        "opened for reading: write it to a file and give the path, or give its pixels with "
        "dataset.read(masked=True), which have no place on the map"
    )


def check_same_image(dataset: RasterioDataset, size: tuple[int, int]) -> None:
    """Refuse a dataset that shows less than its file, such as one of its overviews.

    Args:
        dataset: What was given.
        size: ``(width, height)`` of the scene that its file makes, in pixels.

    Raises:
        SceneRefusedError: If the sizes differ.
    """
    if (dataset.width, dataset.height) != size:
        raise SceneRefusedError(
            f"the rasterio dataset has {dataset.width} x {dataset.height} pixels and its file "
            f"{dataset.name!r} has {size[0]} x {size[1]}: it shows an overview; open the file "
            "without overview_level, or give its path"
        )
