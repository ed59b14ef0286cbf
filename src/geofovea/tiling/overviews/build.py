"""Level files, computed: strip by strip, each level from the one before, never a whole image.

Each pixel of a level is the average of two by two pixels of the one before, as in the overviews
that GDAL builds where sides are even; see ``averages``. Pieces of which nothing is stored are
neither read nor written; see ``level_pieces``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geofovea.errors import OutputError, SceneChangedError
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import check_checksums, open_dataset, read_errors
from geofovea.tiling.files.source import Source, resolve_source
from geofovea.tiling.files.verify import check_whole
from geofovea.tiling.machine.cores import usable_cores
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning
from geofovea.tiling.overviews.averages import Step
from geofovea.tiling.overviews.checks import BlockChecks, LevelChecks, checks_path, nature_of
from geofovea.tiling.overviews.level_files import BLOCK_SIDE, LevelFiles, LevelImage
from geofovea.tiling.overviews.level_pieces import blocks_with_data, level_pieces, needs_mask
from geofovea.tiling.overviews.progress import BuildProgress, Watch
from geofovea.tiling.overviews.vips_copy import copy_with_vips, not_written
from geofovea.tiling.overviews.write_check import WriteCheck
from geofovea.tiling.scene import Scene

__all__ = ["BuiltLevel", "Watch", "build_level_files", "file_source"]

_THREADS = min(4, usable_cores())


@dataclass(frozen=True, slots=True)
class BuiltLevel:
    """Where a level was written.

    Attributes:
        level: Its number.
        name: The file, in the folder of the scene.
        overview: Index of the overview in it, None for its native image.
        checks: Sums of its blocks, None where it has none yet.
    """

    level: int
    name: str
    overview: int | None = None
    checks: LevelChecks | None = None


def build_level_files(
    scene: Scene, files: LevelFiles, folder: Path, watch: Watch
) -> tuple[BuiltLevel, ...]:
    """Write all level files of a scene into an empty folder.

    Args:
        scene: The scene.
        files: What to write.
        folder: Where; what is in it after an error is not to be used.
        watch: Is told how far it is, a few times a second.

    Returns:
        Where each level lies.

    Raises:
        SceneReadError: If the scene is damaged, or changes meanwhile.
        OutputError: If a file cannot be written.
    """
    work = BuildProgress(scene, files, watch)
    with gdal_settings():
        built = _copied_by_vips(scene, files, folder, work)
        check_checksums(scene.source)
        previous, level = scene.source, "NONE"
        if files.base_overview is not None:
            level = f"{files.base_overview}only"
        if built:
            # beside a copy that is not compressed, to compress a third of it more is no gain
            work.is_compressed = False
            previous = file_source(folder / built[-1].name)
            level = _opened_as(built[-1])
        for image in files.images[len(built) :]:
            path = folder / image.name
            # a level that does not read back was not written well
            is_ours = previous is not scene.source
            with (
                _output_errors(Path(previous.path)) if is_ours else nullcontext(),
                open_dataset(previous, OVERVIEW_LEVEL=level) as dataset,
            ):
                is_first = image is files.images[0]
                checks = _write_level(work, dataset, image, path, previous, is_first=is_first)
            built.append(BuiltLevel(image.level, image.name, checks=checks))
            previous, level = file_source(path), "NONE"
    if not scene.source.is_current:
        raise SceneChangedError(
            f"{scene.path!r} changed while its level files were built; open the scene again"
        )
    return tuple(built)


def file_source(path: Path) -> Source:
    """A level file as something to open; it stops being current when the file is touched.

    Raises:
        SceneNotFoundError: If it is not there.
        SceneRefusedError: If it is no TIFF any more.
        SceneReadError: If it cannot be read.
    """
    return resolve_source(path)


def _copied_by_vips(
    scene: Scene, files: LevelFiles, folder: Path, work: BuildProgress
) -> list[BuiltLevel]:
    """The native image, and as many levels as libvips makes like GDAL, in one file."""
    if files.builder != "pyvips":
        return []
    first = files.images[0]
    pixels = work.pixels_before(first)
    count = copy_with_vips(scene, folder / first.name, lambda share: work.show(share * pixels))
    images = files.images[:count]
    for image in images:
        work.advance(work.pixels_before(image))
    levels = [
        BuiltLevel(image.level, first.name, None if image is first else index - 1)
        for index, image in enumerate(images)
    ]
    return [_with_checks(level, folder) for level in levels]


def _with_checks(level: BuiltLevel, folder: Path) -> BuiltLevel:
    """A level that something else wrote, with the sums of its blocks."""
    path = folder / level.name
    with (
        _output_errors(path),
        open_dataset(file_source(path), OVERVIEW_LEVEL=_opened_as(level)) as image,
    ):
        sums = BlockChecks(image).add_all(image).sums
        checks = LevelChecks.write(checks_path(folder, level.level), sums, nature_of(image))
    return replace(level, checks=checks)


def _opened_as(level: BuiltLevel) -> str:
    return "NONE" if level.overview is None else f"{level.overview}only"


def _write_level(
    work: BuildProgress, source: Any, image: LevelImage, path: Path, file: Source, *, is_first: bool
) -> LevelChecks:
    """Write one level from the image before it, and the sums that tell later whether it is whole.

    Args:
        work: What is built, and how far it is.
        source: The image before it, opened.
        image: The level.
        path: Where it goes.
        file: The file of the image before it.
        is_first: Whether that is the scene itself.
    """
    files, write_check = work.files, WriteCheck()
    profile = _profile(work, image)
    stored = blocks_with_data(work.scene, files, source, file, profile["nodata"])
    with _output_errors(path), without_georeference_warning():
        target = rasterio.open(path, "w", **profile, sparse_ok=stored is not None)
    with target:
        steps = level_pieces(work.scene, files, source, image, stored, is_first=is_first)
        for window, values, valid in _with_read_errors(steps, file):
            if values is None:
                write_check.add_empty(window)
            else:
                numbers = values.astype(files.dtype, copy=False)
                mask = valid if needs_mask(work.scene, files) else None
                with _output_errors(path):
                    _write_piece(target, window, numbers, mask)
                write_check.add(window, numbers, mask)
            share = window.width * window.height / (image.width * image.height)
            work.advance(round(share * work.pixels_before(image)))
    with _output_errors(path):
        check_whole(path, is_sparse=stored is not None)
        sums, nature = write_check.check(path)
        return LevelChecks.write(checks_path(path.parent, image.level), sums, nature)


def _with_read_errors(steps: Iterator[Step], file: Source) -> Iterator[Step]:
    """The steps; what goes wrong while one is made is an error of the file that is read."""
    while True:
        with read_errors(file):
            step = next(steps, None)
        if step is None:
            return
        yield step


def _write_piece(
    target: Any, window: Window, values: NDArray[Any], mask: NDArray[Any] | None
) -> None:
    """Write bands ``(bands, rows, cols)`` and their mask ``(rows, cols)``, if there is one."""
    if mask is not None:
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            target.write_mask(mask, window=window)
    target.write(values, window=window)


def _profile(work: BuildProgress, image: LevelImage) -> dict[str, Any]:
    scene, files = work.scene, work.files
    nodata: Any = None
    if files.is_expanded or files.is_marked:
        nodata = np.nan if files.dtype.startswith("float") else None
    elif scene.mask_kind == "nodata":
        nodata = scene.nodata
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "width": image.width,
        "height": image.height,
        "count": files.count,
        "dtype": files.dtype,
        "nodata": nodata,
        "tiled": True,
        "blockxsize": BLOCK_SIDE,
        "blockysize": BLOCK_SIDE,
        # many bands are seldom shown together
        "interleave": "pixel" if files.count <= 4 else "band",
        "photometric": "minisblack",
        "alpha": "no",
        "bigtiff": "if_safer",
    }
    if work.is_compressed:
        # three times as fast as DEFLATE to write and to read, and no larger
        profile |= {"compress": "zstd", "zstd_level": 1, "num_threads": _THREADS}
    if scene.transform is not None:
        # only to be a file like others: the scene, not its level files, says where things are
        profile["transform"] = Affine(*scene.transform) @ Affine.scale(1 << image.level)
    return profile


class _output_errors:  # noqa: N801
    """Turn failures of a write into an ``OutputError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # SceneReadError is an OSError, too
        if isinstance(error, (RasterioError, OSError)) and not isinstance(error, OutputError):
            raise OutputError(not_written(self.path, error)) from error
