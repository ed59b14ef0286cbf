"""A tiled copy of a PNG, JPEG or striped TIFF, made by libvips in a process of its own.

libvips decodes such files from top to bottom in one pass with little memory, faster than GDAL, and
averages them meanwhile where its average is GDAL's: where both sides are halved exactly. It runs in
a child process because a process that forks after it used libvips leaves children that hang for
ever, and because a damaged file then can take nothing down with it. The copy is not compressed: the
libraries in the wheel can only do so several times slower than the whole copy takes.
"""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import Affine
from rasterio.windows import Window

from geofovea.errors import OutputError, SceneReadError
from geofovea.tiling.cache.folder import CACHE_VARIABLE
from geofovea.tiling.files.handles import check_checksums, note_whole, open_dataset, read_errors
from geofovea.tiling.files.source import Source
from geofovea.tiling.machine.child_memory import ChildMemory
from geofovea.tiling.machine.rasterio_warnings import without_georeference_warning
from geofovea.tiling.overviews import vips_worker
from geofovea.tiling.overviews.level_files import BLOCK_SIDE
from geofovea.tiling.scene import Scene

__all__ = ["copy_with_vips", "not_written"]

_CHECKED_ROWS = 64
_SECONDS_BETWEEN_LOOKS = 0.1
# two decoders of one JPEG differ most where they enlarge its colors
_MOST_JPEG_DIFFERENCE = 4.0

_log = logging.getLogger(__name__)


def copy_with_vips(scene: Scene, path: Path, watch: Callable[[float], None]) -> int:
    """Write the native image of a scene as a tiled TIFF, with levels as overviews where it can.

    Args:
        scene: A scene whose layout libvips knows, with the builder ``pyvips``.
        path: The file to write.
        watch: Is told the share that is done; may raise to end the copy.

    Returns:
        How many levels of the file show what GDAL shows, the native one included; 0 asks for
        another way. What overviews it has beyond them is of no use.

    Raises:
        SceneReadError: If a PNG or JPEG is damaged, which GDAL would not tell.
        OutputError: If the copy cannot be written.
    """
    code, reason = _run(scene, path, "warning", watch)
    if code == 0 and scene.driver == "PNG":
        # libvips looked at the checksums while it decoded, which saves a pass over the file
        note_whole(scene.source)
    check_checksums(scene.source)
    if code == vips_worker.VIPS_FAILED and scene.driver in ("PNG", "JPEG"):
        # a warning may be about a color profile; missing pixels are found without them
        code, reason = _run(scene, path, "truncated", watch)
        if code == vips_worker.VIPS_FAILED:
            raise SceneReadError(
                f"{scene.path!r} could not be read: {reason}; copy or download it again if it is "
                "damaged"
            )
    if code == vips_worker.VIPS_CANNOT_WRITE:
        raise OutputError(not_written(path, reason))
    is_copied = code in (0, vips_worker.VIPS_SKIPS_CHECKSUMS)
    if is_copied and _is_same(scene, path):
        return 1 + _same_averages(path, _exact_halvings(scene))
    _log.info("libvips did not copy %s (%s); rasterio will", scene.path, reason or "it differs")
    path.unlink(missing_ok=True)
    return 0


def not_written(path: Path, reason: object) -> str:
    """What to say of a level file that could not be written."""
    return (
        f"{path} could not be written: {reason}; free some disk space, or set {CACHE_VARIABLE} to "
        "another folder"
    )


def _exact_halvings(scene: Scene) -> int:
    """How often both sides can be halved; never where libvips rounds averages down."""
    if scene.dtype != "uint8":
        return 0
    sides = math.gcd(scene.width, scene.height)
    return (sides & -sides).bit_length() - 1


class _Listener(threading.Thread):
    """Reads what the child says: shares that are done, memory that it took, or complaints."""

    def __init__(self, lines: Iterable[str], memory: ChildMemory) -> None:
        super().__init__(daemon=True)
        self._lines = lines
        self._memory = memory
        self.share = 0.0
        self.complaint = ""

    def run(self) -> None:
        for line in self._lines:
            if line.startswith(vips_worker.PEAK):
                self._memory.note(int(line.removeprefix(vips_worker.PEAK)))
                continue
            try:
                self.share = float(line)
            except ValueError:
                self.complaint = line.strip() or self.complaint


def _run(scene: Scene, path: Path, fail_on: str, watch: Callable[[float], None]) -> tuple[int, str]:
    """Run the child to its end; its exit code and its last complaint."""
    command = [sys.executable, "-m", vips_worker.__name__]
    command += [scene.source.path, str(path), fail_on, str(BLOCK_SIDE)]
    command.append("pyramid" if _exact_halvings(scene) else "copy")
    with (
        subprocess.Popen(  # noqa: S603, the program is this Python, the names are no shell's
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        ) as child,
        ChildMemory(child.pid) as memory,
    ):
        listener = _Listener(child.stdout or (), memory)
        listener.start()
        try:
            while child.poll() is None:
                memory.look()
                watch(listener.share)
                with suppress(subprocess.TimeoutExpired):
                    child.wait(_SECONDS_BETWEEN_LOOKS)
        finally:
            child.kill()  # where the watch ended the build, nothing may go on writing
            listener.join()
        return child.wait(), listener.complaint


def _is_same(scene: Scene, path: Path) -> bool:
    """Whether the copy has the shape of the scene, and its first rows the same pixels.

    Finds what the layout does not tell: inverted gray, single bits, other color spaces.
    """
    rows = min(_CHECKED_ROWS, scene.height)
    window = Window(0, 0, scene.width, rows)
    with without_georeference_warning(), rasterio.open(path, "r+", driver="GTiff") as copy:
        if (copy.width, copy.height, copy.count) != (scene.width, scene.height, scene.count):
            return False
        if copy.dtypes[0] != scene.dtype:
            return False
        if "alpha" in [ColorInterp(c).name for c in copy.colorinterp]:
            copy.colorinterp = [ColorInterp.undefined] * copy.count
        if scene.transform is not None:
            copy.transform = Affine(*scene.transform)
    with open_dataset(Source(str(path), "GTiff")) as copy:
        if "all_valid" not in [flag.name for flag in copy.mask_flag_enums[0]]:
            return False
        copied = copy.read(window=window).astype(np.int32)
    with read_errors(scene.source), open_dataset(scene.source) as dataset:
        truth = dataset.read(window=window).astype(np.int32)
    difference = np.abs(copied - truth)
    if scene.driver == "JPEG" or scene.compression in ("jpeg", "webp"):
        return float(difference.mean()) <= _MOST_JPEG_DIFFERENCE
    return not difference.any()


def _same_averages(path: Path, most: int) -> int:
    """How many of the first overviews of a copy begin with GDAL's averages of the one before."""
    source = Source(str(path), "GTiff")
    with open_dataset(source) as copy:
        most = min(most, len(copy.overviews(1)))
    levels = ["NONE", *(f"{index}only" for index in range(most))]
    for count, (level, coarser) in enumerate(pairwise(levels)):
        with (
            open_dataset(source, OVERVIEW_LEVEL=level) as finer,
            open_dataset(source, OVERVIEW_LEVEL=coarser) as dataset,
        ):
            if (finer.width, finer.height) != (2 * dataset.width, 2 * dataset.height):
                return count
            rows = min(_CHECKED_ROWS, dataset.height)
            average = finer.read(
                window=Window(0, 0, finer.width, 2 * rows),
                out_shape=(finer.count, rows, dataset.width),
                resampling=Resampling.average,
            )
            level_values = dataset.read(window=Window(0, 0, dataset.width, rows))
        if not np.array_equal(average, level_values):
            return count
    return most
