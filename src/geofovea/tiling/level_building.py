"""Level files, computed: strip by strip, each level from the one before, never a whole image.

GDAL averages, because its average is the one that overviews have: missing pixels are left out, and
any pixel type is taken. Which strips it is given decides whether its arithmetic is the same to the
last bit: see ``pieces_to_halve``. Pieces of which nothing is stored are neither read nor written.
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
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geofovea.errors import OutputError, SceneReadError
from geofovea.tiling.build_progress import BuildProgress, Watch
from geofovea.tiling.cores import usable_cores
from geofovea.tiling.handles import (
    check_checksums,
    gdal_settings,
    open_bytes,
    open_dataset,
    read_errors,
)
from geofovea.tiling.level_checks import BlockChecks, LevelChecks, checks_path, nature_of
from geofovea.tiling.level_files import BLOCK_SIDE, LevelFiles, LevelImage
from geofovea.tiling.level_strips import StoredBlocks, pieces_to_copy, pieces_to_halve
from geofovea.tiling.radiometry import Radiometry
from geofovea.tiling.scene import Scene
from geofovea.tiling.source import Source, resolve_source
from geofovea.tiling.tiff_directories import stored_blocks
from geofovea.tiling.validity import read_valid
from geofovea.tiling.vips_copy import copy_with_vips, not_written
from geofovea.tiling.whole import check_whole
from geofovea.tiling.written import Written

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
        raise SceneReadError(
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
    held = files.images[:count]
    for image in held:
        work.advance(work.pixels_before(image))
    levels = [
        BuiltLevel(image.level, first.name, None if image is first else index - 1)
        for index, image in enumerate(held)
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
    must_expand, written = is_first and files.is_expanded, Written()
    profile = _profile(work, image)
    stored = _holes(work, source, read, profile["nodata"])
    with _output_errors(path):
        target = rasterio.open(path, "w", **profile, sparse_ok=stored is not None)
    with target:
        _mark_alpha(scene, files, target)
        if image.level == 0:
            steps = _copied(scene, files, source, stored)
        elif must_expand:
            steps = _halved_expanded(scene, source, image)
        else:
            steps = _halved(source, image, stored)
        while True:
            with read_errors(read):
                step = next(steps, None)
            if step is None:
                break
            window, values, valid = step
            if values is None:
                written.add_empty(window)
            else:
                with _output_errors(path):
                    mask = valid if _needs_mask(scene, files) else None
                    if mask is not None:
                        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
                            target.write_mask(mask, window=window)
                    values = values.astype(files.dtype, copy=False)
                    target.write(values, window=window)
                written.add(window, values, mask)
            share = window.width * window.height / (image.width * image.height)
            work.advance(round(share * work.pixels_before(image)))
    with _output_errors(path):
        check_whole(path, is_sparse=stored is not None)
        sums, nature = written.check(path)
        return LevelChecks.write(checks_path(path.parent, image.level), sums, nature)


def _holes(
    work: BuildProgress, source: Any, read: Source, nodata: float | None
) -> StoredBlocks | None:
    """Which blocks of an image are stored, where some are not and show what a level file would."""
    scene, files = work.scene, work.files
    is_native = read is not scene.source or files.base_overview is None
    same = scene.nodata == nodata or (scene.nodata != scene.nodata and nodata != nodata)
    is_plain = scene.mask_kind in ("none", "nodata") and scene.missing is None
    if not (is_native and same and is_plain) or files.is_expanded or source.driver != "GTiff":
        return None
    with open_bytes(read) as file:
        found = stored_blocks(file)
    return None if found is None or found[0].all() else StoredBlocks(*found)


def _profile(work: BuildProgress, image: LevelImage) -> dict[str, Any]:
    scene, files = work.scene, work.files
    nodata: float | None = scene.nodata if scene.mask_kind == "nodata" else None
    if files.is_expanded:
        nodata = None if files.dtype == "uint8" else np.nan
    elif nodata is None and scene.mask_kind == "none" and files.dtype.startswith("float"):
        nodata = np.nan  # so that what is not a number is left out of the averages
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
        step_x, step_y = scene.width / image.width, scene.height / image.height
        profile["transform"] = Affine(a * step_x, b * step_y, c, d * step_x, e * step_y, f)
    return profile


def _mark_alpha(scene: Scene, files: LevelFiles, target: Any) -> None:
    if not files.is_expanded and "alpha" in scene.colorinterp:
        target.colorinterp = [
            ColorInterp.alpha if name == "alpha" else ColorInterp.undefined
            for name in scene.colorinterp
        ]


def _needs_mask(scene: Scene, files: LevelFiles) -> bool:
    """Whether a mask must be written beside the bands, which do not carry it themselves."""
    if files.is_expanded:
        return files.dtype == "uint8"
    return scene.mask_kind == "internal" or scene.missing is not None


Step = tuple[Window, "NDArray[np.generic] | None", "NDArray[np.bool_] | None"]


def _copied(
    scene: Scene, files: LevelFiles, source: Any, stored: StoredBlocks | None
) -> Iterator[Step]:
    """The native image from the top down, as it is stored."""
    for window in pieces_to_copy(source):
        if stored is not None and not stored.has_any(window):
            yield window, None, None
            continue
        array = source.read(window=window)
        valid = None
        if _needs_mask(scene, files) and not files.is_expanded:
            valid = read_valid(source, scene, tuple(source.indexes), window=window)
        if files.is_expanded:
            array, valid = _expanded(scene, source, array, window)
        yield window, array, valid


def _halved(source: Any, image: LevelImage, stored: StoredBlocks | None) -> Iterator[Step]:
    """The averages of an image, mask included, in pieces of level pixels."""
    has_mask = any(flag.name == "per_dataset" for flag in source.mask_flag_enums[0])
    has_alpha = any(flag.name == "alpha" for flag in source.mask_flag_enums[0])
    for window_source, window in pieces_to_halve(source, image, is_sparse=stored is not None):
        if stored is not None and not stored.has_any(window_source):
            yield window, None, None
            continue
        options = {
            "window": window_source,
            "out_shape": (source.count, window.height, window.width),
            "resampling": Resampling.average,
        }
        array = source.read(**options)
        valid = None
        if has_mask and not has_alpha:
            valid = source.read_masks(1, **(options | {"out_shape": array.shape[1:]})) >= 128
        yield window, array, valid


def _halved_expanded(scene: Scene, source: Any, image: LevelImage) -> Iterator[Step]:
    """The averages of what an image shows, whose stored numbers must not be averaged."""
    for row in range(0, image.height, BLOCK_SIDE):
        for col in range(0, image.width, 4 * BLOCK_SIDE):
            height = min(BLOCK_SIDE, image.height - row)
            width = min(4 * BLOCK_SIDE, image.width - col)
            window_source = Window(
                2 * col,
                2 * row,
                min(2 * width, source.width - 2 * col),
                min(2 * height, source.height - 2 * row),
            )
            array = source.read(window=window_source)
            values, valid = _expanded(scene, source, array, window_source)
            yield (Window(col, row, width, height), *_mean_of_four(values, valid))


def _expanded(
    scene: Scene, source: Any, array: NDArray[np.generic], window: Window
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """What stored numbers ``(bands, h, w)`` show, and where they show anything."""
    valid = np.ones(array.shape[1:], dtype=bool)
    if scene.mask_kind != "none":
        valid = source.read_masks(1, window=window) >= 128
    if scene.dtype.startswith("complex"):
        bands = tuple(range(1, len(array) + 1))
        power = [Radiometry((b,), is_complex=True).expand(array[b - 1 : b], valid) for b in bands]
        values = np.concatenate([value for value, _ in power])
        known = np.stack([mark for _, mark in power])
        return np.where(known, values, np.nan), np.asarray(known.any(axis=0))
    entries = source.colormap(1)
    palette = tuple(tuple(entries.get(i, (0, 0, 0, 0))) for i in range(max(entries) + 1))
    return Radiometry((1,), palette=palette).expand(array, valid)


def _mean_of_four(
    values: NDArray[np.generic], valid: NDArray[np.bool_]
) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """Means over squares of two, of what is known; a square is valid if half of it is."""
    pad = ((0, valid.shape[0] % 2), (0, valid.shape[1] % 2))
    known = np.pad(valid & np.isfinite(values), ((0, 0), *pad))
    filled = np.pad(
        np.where(known[:, : valid.shape[0], : valid.shape[1]], values, 0), ((0, 0), *pad)
    )
    bands, rows, cols = filled.shape
    shape = (bands, rows // 2, 2, cols // 2, 2)
    counts = known.reshape(shape).sum(axis=(2, 4))
    sums = filled.reshape(shape).sum(axis=(2, 4), dtype=np.float64)
    means = sums / np.maximum(counts, 1)
    on_image = np.pad(np.ones(valid.shape, bool), pad).reshape(shape[1:]).sum(axis=(1, 3))
    marked = np.pad(valid, pad).reshape(shape[1:]).sum(axis=(1, 3)) * 2 >= on_image
    if values.dtype == np.uint8:
        return np.floor(means + 0.5).astype(np.uint8), marked
    return np.where(counts > 0, means, np.nan), marked


class _output_errors:  # noqa: N801
    """Turn failures of a write into an ``OutputError``."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (RasterioError, OSError, SceneReadError)):
            raise OutputError(not_written(self.path, error)) from error
