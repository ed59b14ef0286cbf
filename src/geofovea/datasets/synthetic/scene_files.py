"""Synthetic worlds as files: real georeferenced COGs, written block by block in bounded memory."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.vocabulary import SYNTHETIC_MARK
from geofovea.datasets.synthetic.world import World
from geofovea.errors import OutputError, SceneError
from geofovea.tiling.machine.system_errors import room_error, why_unwritten

__all__ = ["write_scene"]

_BLOCK = 512
_STRIP = 2048
_COMPRESSION: dict[int, dict[str, Any]] = {
    3: {"COMPRESS": "JPEG", "QUALITY": 90},
    4: {"COMPRESS": "DEFLATE", "PREDICTOR": "YES"},
}
_BYTES_PER_PIXEL = {3: 3.5, 4: 8.0}
"""Disk that writing needs at most: the raster aside, lightly compressed, and the finished file."""

_BAND_NAMES = ("red", "green", "blue", "nir")


def write_scene(
    world: World,
    path: str | os.PathLike[str],
    on_progress: Callable[[float], None] = lambda _: None,
    bands: int = 3,
) -> None:
    """Write a world as a cloud-optimized GeoTIFF: UTM 33N, averaged overviews.

    Three bands are compressed as JPEG. Four are compressed without loss, for a fourth band would
    be taken for transparency, and the file says which of them is near infrared. The file appears
    under its name only when it is complete.

    Args:
        world: What to render.
        path: The file to write.
        on_progress: Called with the share that is done, in [0, 1].
        bands: 3, or 4 with near infrared.

    Raises:
        DataError: If the world does not have that many bands.
        OutputError: If the place cannot be written or lacks room.
    """
    import rasterio

    from geofovea.tiling.files.verify import check_whole
    from geofovea.tiling.gdal_errors import GDAL_ERRORS

    target = Path(path)
    # what cannot be rendered is refused before anything is written
    render_window(world, 0, 0, 0, 1, 1, bands)
    _check_room(target, world, bands)
    try:
        with (
            tempfile.TemporaryDirectory(prefix=".geofovea-", dir=target.parent) as folder,
            rasterio.Env(GDAL_CACHEMAX=256 * 2**20),
        ):
            # in the target's own folder, so that the last step is a mere renaming
            raw, finished = Path(folder) / "native.tif", Path(folder) / "finished.tif"
            try:
                # the copy takes about as long as the rendering
                _write_native(world, raw, bands, lambda share: on_progress(share / 2))
                _copy_as_cog(raw, finished, bands)
                check_whole(finished)
            except (SceneError, *GDAL_ERRORS) as error:
                raise room_error(folder) or error from error
            finished.replace(target)
    except (OSError, SceneError, *GDAL_ERRORS) as error:
        raise OutputError(
            f"the scene {target} could not be written: {why_unwritten(error)}"
        ) from error
    on_progress(1.0)


def _write_native(
    world: World, path: Path, bands: int, on_progress: Callable[[float], None]
) -> None:
    """Write the native pixels of a world as a tiled GeoTIFF, strip by strip."""
    import rasterio

    with rasterio.open(path, "w", **_profile(world, bands)) as out:
        out.update_tags(**_tags(world))
        _name_bands(out)
        for share, window in _strips(world):
            x0, y0, width, height = window
            pixels = render_window(world, 0, x0, y0, width, height, bands)
            out.write(pixels.transpose(2, 0, 1), window=rasterio.windows.Window(*window))
            on_progress(share)


def _copy_as_cog(native: Path, path: Path, bands: int) -> None:
    """Copy a GeoTIFF as a cloud-optimized one, compressed and with averaged overviews."""
    from rasterio.shutil import copy

    copy(
        str(native),
        str(path),
        driver="COG",
        **_COMPRESSION[bands],
        BLOCKSIZE=_BLOCK,
        OVERVIEW_RESAMPLING="AVERAGE",
        BIGTIFF="IF_SAFER",
        NUM_THREADS="ALL_CPUS",
    )


def _tags(world: World) -> dict[str, str]:
    # scenes of version 1 have never said so
    version = f", version {world.version}" if world.version > 1 else ""
    roofs = ", green roofs" if any(site.hall.roof for site in world.sites) else ""
    about = f"{SYNTHETIC_MARK}{version}{roofs}, seed {world.seed}, {world.width} x {world.height}"
    tags = {"TIFFTAG_IMAGEDESCRIPTION": about}
    if world.date is not None:
        # as TIFF writes dates
        tags["TIFFTAG_DATETIME"] = f"{world.date.replace('-', ':')} 00:00:00"
    return tags


def _name_bands(out: Any) -> None:
    """Say which band is near infrared; of three every reader knows what they are."""
    from rasterio.enums import ColorInterp

    if out.count == 3:
        return
    out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue, ColorInterp.undefined]
    for number, name in enumerate(_BAND_NAMES, 1):
        out.set_band_description(number, name)


def _profile(world: World, bands: int) -> dict[str, Any]:
    from affine import Affine

    # somewhere in the zone, another place for every seed, so that scenes do not lie on each other
    x_crs = 300_000 + world.seed * 7_919 % 300_000
    y_crs = 5_000_000 + world.seed * 104_729 % 900_000
    return {
        "driver": "GTiff",
        "width": world.width,
        "height": world.height,
        "count": bands,
        "dtype": "uint8",
        "crs": "EPSG:32633",
        "transform": Affine(world.gsd_m, 0, x_crs, 0, -world.gsd_m, y_crs),
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "interleave": "pixel",
        "photometric": "RGB",
        "compress": "ZSTD",
        "zstd_level": 1,
        "num_threads": 2,
        "bigtiff": "IF_SAFER",
    }


def _strips(world: World) -> Iterator[tuple[float, tuple[int, int, int, int]]]:
    """Windows ``(x, y, width, height)`` that cover the scene, each with the share then done."""
    for y0 in range(0, world.height, _STRIP):
        for x0 in range(0, world.width, _STRIP):
            width, height = min(_STRIP, world.width - x0), min(_STRIP, world.height - y0)
            rows_done = y0 + height * (x0 + width) / world.width
            yield rows_done / world.height, (x0, y0, width, height)


def _check_room(target: Path, world: World, bands: int) -> None:
    folder = target.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise OutputError(f"{folder} is not a folder that can be written: make it first")
    need = world.width * world.height * _BYTES_PER_PIXEL[bands]
    free = shutil.disk_usage(folder).free
    if need > free:
        raise OutputError(
            f"writing a scene of {world.width} x {world.height} pixels needs up to "
            f"{need / 1e9:.1f} GB, {folder} has {free / 1e9:.1f} GB free"
        )
