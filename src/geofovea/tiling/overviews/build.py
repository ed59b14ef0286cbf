"""Level files, computed: strip by strip, each level from the one before, never a whole image.

Each pixel of a level is the average of two by two pixels of the one before, as in the overviews
that GDAL builds where sides are even; see ``averages``. Pieces of which nothing is stored are
neither read nor written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.transform import Affine

from geofovea.errors import OutputError, SceneChangedError
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import check_checksums, open_bytes, open_dataset, read_errors
from geofovea.tiling.files.source import Source, resolve_source
from geofovea.tiling.files.tiff_directories import stored_blocks
from geofovea.tiling.files.verify import check_whole
from geofovea.tiling.machine.cores import usable_cores
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning
from geofovea.tiling.overviews.averages import (
    Step,
    averages,
    expanded,
    halved_expanded,
    halved_marked,
)
from geofovea.tiling.overviews.checks import BlockChecks, LevelChecks, checks_path, nature_of
from geofovea.tiling.overviews.level_files import BLOCK_SIDE, LevelFiles, LevelImage
from geofovea.tiling.overviews.progress import BuildProgress, Watch
from geofovea.tiling.overviews.strips import StoredBlocks, pieces_to_copy, pieces_to_halve
from geofovea.tiling.overviews.vips_copy import copy_with_vips, not_written
from geofovea.tiling.overviews.write_check import WriteCheck
from geofovea.tiling.pixels.validity import read_valid
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
    work: BuildProgress, source: Any, image: LevelImage, path: Path, read: Source, *, is_first: bool
) -> LevelChecks:
    scene, files = work.scene, work.files
    must_expand = is_first and (files.is_expanded or files.is_marked)
    # the first is made from the scene, which may have more bands
    bands, write_check = files.bands if is_first else None, WriteCheck()
    profile = _profile(work, image)
    stored = _holes(work, source, read, profile["nodata"])
    with _output_errors(path), without_georeference_warning():
        target = rasterio.open(path, "w", **profile, sparse_ok=stored is not None)
    with target:
        if image.level == 0:
            steps = _copied(scene, files, source, stored)
        elif must_expand and files.is_expanded:
            steps = halved_expanded(scene, files, source, image)
        elif must_expand:
            steps = halved_marked(scene, files, source, pieces_to_halve(source, image))
        else:
            steps = _halved(source, image, stored, bands)
        while True:
            with read_errors(read):
                step = next(steps, None)
            if step is None:
                break
            window, values, valid = step
            if values is None:
                write_check.add_empty(window)
            else:
                with _output_errors(path):
                    mask = valid if _needs_mask(scene, files) else None
                    if mask is not None:
                        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                            target.write_mask(mask, window=window)
                    values = values.astype(files.dtype, copy=False)
                    target.write(values, window=window)
                write_check.add(window, values, mask)
            share = window.width * window.height / (image.width * image.height)
            work.advance(round(share * work.pixels_before(image)))
    with _output_errors(path):
        check_whole(path, is_sparse=stored is not None)
        sums, nature = write_check.check(path)
        return LevelChecks.write(checks_path(path.parent, image.level), sums, nature)


def _holes(
    work: BuildProgress, source: Any, read: Source, nodata: float | None
) -> StoredBlocks | None:
    """Which blocks of an image are stored, where some are not and show what a level file would."""
    scene, files = work.scene, work.files
    is_native = read is not scene.source or files.base_overview is None
    same = scene.nodata == nodata or (scene.nodata != scene.nodata and nodata != nodata)
    is_plain = scene.mask_kind in ("none", "nodata") and scene.missing is None
    # the directory of the first image tells nothing of another page
    is_plain = is_plain and not (files.is_expanded or files.is_marked or read.page)
    if not (is_native and same and is_plain) or source.driver != "GTiff":
        return None
    with open_bytes(read) as file:
        blocks = stored_blocks(file)
    return None if blocks is None or blocks[0].all() else StoredBlocks(*blocks)


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
        a, b, c, d, e, f = scene.transform
        step = 1 << image.level
        profile["transform"] = Affine(a * step, b * step, c, d * step, e * step, f)
    return profile


def _needs_mask(scene: Scene, files: LevelFiles) -> bool:
    """Whether a mask must be written beside the bands, which do not carry it themselves."""
    if files.is_expanded or files.is_marked:
        return not files.dtype.startswith("float")
    return scene.mask_kind == "internal"


def _copied(
    scene: Scene, files: LevelFiles, source: Any, stored: StoredBlocks | None
) -> Iterator[Step]:
    """The native image from the top down, as it is stored."""
    for window in pieces_to_copy(source):
        if stored is not None and not stored.has_any(window):
            yield window, None, None
            continue
        array = source.read(list(files.bands), window=window)
        valid = None
        if files.is_expanded or files.is_marked:
            array, valid = expanded(scene, files, source, array, window)
        elif _needs_mask(scene, files):
            valid = read_valid(source, scene, files.bands, window=window)
        yield window, array, valid


def _halved(
    source: Any,
    image: LevelImage,
    stored: StoredBlocks | None,
    bands: tuple[int, ...] | None = None,
) -> Iterator[Step]:
    """The averages of some bands of an image, mask included, in pieces of level pixels."""
    has_mask = any(flag.name == "per_dataset" for flag in source.mask_flag_enums[0])
    indexes = list(bands or source.indexes)
    for window_source, window in pieces_to_halve(source, image, is_sparse=stored is not None):
        if stored is not None and not stored.has_any(window_source):
            yield window, None, None
            continue
        yield (window, *averages(source, indexes, window, has_mask=has_mask))


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
