"""Level files, computed: strip by strip, each level from the one before, never a whole image.

GDAL averages, because its average is the one that overviews have: missing pixels are left out, and
any pixel type is taken. Which strips it is given decides whether its arithmetic is the same to the
last bit: see ``_strips``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import RasterioError
from rasterio.transform import Affine
from rasterio.windows import Window

from geofovea.errors import OutputError, SceneChangedError, SceneReadError
from geofovea.tiling.cores import usable_cores
from geofovea.tiling.handles import check_checksums, gdal_settings, open_dataset, read_errors
from geofovea.tiling.level_files import BLOCK_SIDE, LevelFiles, LevelImage
from geofovea.tiling.radiometry import Radiometry
from geofovea.tiling.scene import Scene
from geofovea.tiling.source import Source, resolve_source
from geofovea.tiling.validity import read_valid
from geofovea.tiling.vips_copy import copy_with_vips, not_written
from geofovea.tiling.whole import check_whole
from geofovea.tiling.written import Written

__all__ = ["BuiltLevel", "Watch", "build_level_files", "file_source"]

Watch = Callable[[float], None]
"""Takes the share that is done, in [0, 1]; may raise to end the build."""

# more is slower: GDAL averages what it has just decoded while it is in the processor's cache
_STRIP_BYTES = 16 * 2**20
_THREADS = min(4, usable_cores())


@dataclass(frozen=True, slots=True)
class BuiltLevel:
    """Where a level was written.

    Attributes:
        level: Its number.
        name: The file, in the folder of the scene.
        overview: Index of the overview in it, None for its native image.
    """

    level: int
    name: str
    overview: int | None = None


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
    work = _Work(scene, files, watch)
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
            level = "NONE" if built[-1].overview is None else f"{built[-1].overview}only"
        for image in files.images[len(built) :]:
            path = folder / image.name
            # a level that does not read back was not written well
            is_ours = previous is not scene.source
            with (
                _output_errors(Path(previous.path)) if is_ours else nullcontext(),
                open_dataset(previous, OVERVIEW_LEVEL=level) as dataset,
            ):
                is_first = image is files.images[0]
                _write_level(work, dataset, image, path, previous, is_first=is_first)
            built.append(BuiltLevel(image.level, image.name))
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


class _Work:
    """How much of the work on one scene is done, counted in pixels that were read."""

    def __init__(self, scene: Scene, files: LevelFiles, watch: Watch) -> None:
        self.scene = scene
        self.files = files
        self.is_compressed = True
        self._watch = watch
        self._done = 0
        self._total = sum(self.pixels_before(image) for image in files.images)

    def pixels_before(self, image: LevelImage) -> int:
        """Pixels of the image that this one is made from."""
        first = self.files.images[0]
        if image is not first:
            finer = self.files.image(image.level - 1)
            return finer.width * finer.height
        if self.files.base_overview is not None:
            width, height = self.scene.overview_sizes[self.files.base_overview]
            return width * height
        return self.scene.width * self.scene.height

    def advance(self, pixels: int) -> None:
        self._done += pixels
        self._watch(min(1.0, self._done / self._total))

    def show(self, pixels: float) -> None:
        """Pixels that are done of a step which is not finished yet."""
        self._watch(min(1.0, (self._done + pixels) / self._total))


def _copied_by_vips(scene: Scene, files: LevelFiles, folder: Path, work: _Work) -> list[BuiltLevel]:
    """The native image, and as many levels as libvips makes like GDAL, in one file."""
    if files.builder != "pyvips":
        return []
    first = files.images[0]
    pixels = work.pixels_before(first)
    count = copy_with_vips(scene, folder / first.name, lambda share: work.show(share * pixels))
    held = files.images[:count]
    for image in held:
        work.advance(work.pixels_before(image))
    return [
        BuiltLevel(image.level, first.name, None if image is first else index - 1)
        for index, image in enumerate(held)
    ]


def _write_level(
    work: _Work, source: Any, image: LevelImage, path: Path, read: Source, *, is_first: bool
) -> None:
    scene, files = work.scene, work.files
    must_expand, written = is_first and files.is_expanded, Written()
    with _output_errors(path):
        target = rasterio.open(path, "w", **_profile(work, image))
    with target:
        _mark_alpha(scene, files, target)
        if image.level == 0:
            steps = _copied(scene, files, source, image)
        elif must_expand:
            steps = _halved_expanded(scene, source, image)
        else:
            steps = _halved(source, image)
        while True:
            with read_errors(read):
                step = next(steps, None)
            if step is None:
                break
            window, values, valid = step
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
        check_whole(path)
        written.check(path)


def _profile(work: _Work, image: LevelImage) -> dict[str, Any]:
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


Step = tuple[Window, NDArray[np.generic], "NDArray[np.bool_] | None"]


def _copied(scene: Scene, files: LevelFiles, source: Any, image: LevelImage) -> Iterator[Step]:
    """The native image in whole rows, from the top down, as it is stored."""
    for row in range(0, image.height, BLOCK_SIDE):
        window = Window(0, row, image.width, min(BLOCK_SIDE, image.height - row))
        array = source.read(window=window)
        valid = None
        if _needs_mask(scene, files) and not files.is_expanded:
            valid = read_valid(source, scene, tuple(source.indexes), window=window)
        if files.is_expanded:
            array, valid = _expanded(scene, source, array, window)
        yield window, array, valid


def _halved(source: Any, image: LevelImage) -> Iterator[Step]:
    """The averages of an image, mask included, in strips of level pixels."""
    has_mask = any(flag.name == "per_dataset" for flag in source.mask_flag_enums[0])
    has_alpha = any(flag.name == "alpha" for flag in source.mask_flag_enums[0])
    for window_source, window in _strips(source, image):
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


def _strips(source: Any, image: LevelImage) -> Iterator[tuple[Window, Window]]:
    """Windows of an image and of its half, row by row or column by column.

    GDAL places a level pixel by multiplying its index with the ratio of the sizes, which is not
    exactly two where a side is odd; the product from the start of a strip may then differ in its
    last bit, and turn a tie of an integer average. So strips run along a side that is halved
    exactly, and span the other side as a whole. Where both sides are odd, averages have too many
    different weights for ties, and only 64-bit floats can differ, in their last bits.
    """
    ratio_x, ratio_y = source.width / image.width, source.height / image.height
    by_row = ratio_y == 2 or ratio_x != 2
    length, across = (image.height, image.width) if by_row else (image.width, image.height)
    bytes_line = across * source.count * np.dtype(source.dtypes[0]).itemsize
    # blocks of the source must not be cut, or they are decoded twice
    block = max(BLOCK_SIDE, source.block_shapes[0][0 if by_row else 1] // 2)
    step = max(1, _STRIP_BYTES // (bytes_line * block)) * block
    for start in range(0, length, step):
        size = min(step, length - start)
        window = (0, start, across, size) if by_row else (start, 0, size, across)
        x, y, width, height = window
        yield (
            Window(x * ratio_x, y * ratio_y, width * ratio_x, height * ratio_y),
            Window(*window),
        )


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
