"""The cache of level files: built once, never half written, never those of an older file.

A scene's files lie in one folder whose name is a hash of all that they depend on. They are written
into a folder aside, under a lock, and renamed into place together with a record of their sizes,
times and sums; a file that is not as recorded is not read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from geofovea.errors import (
    DiskSpaceError,
    GeoFoveaError,
    GeometryError,
    LevelBuildError,
    OutputError,
    SceneError,
)
from geofovea.tiling.cache.folder import (
    ASIDE,
    CACHE_VARIABLE,
    cache_limit_bytes,
    levels_folder,
    note_use,
    read_record,
    record_checksum,
    record_path,
    remove_folder,
    shared_folders,
)
from geofovea.tiling.cache.ownership import is_believed, mark_folder
from geofovea.tiling.cache.upkeep import (
    LEVELS,
    is_level_folder,
    is_replaceable,
    make_room,
    remove_leftovers,
    remove_level_folder,
)
from geofovea.tiling.files.source import Source
from geofovea.tiling.machine.system_errors import reason_of, why_unwritten
from geofovea.tiling.overviews.build import BuiltLevel, build_level_files, file_source
from geofovea.tiling.overviews.checks import LevelChecks, checks_path
from geofovea.tiling.overviews.deadline import current_deadline
from geofovea.tiling.overviews.level_files import LevelFiles, LevelLimits, level_files_of
from geofovea.tiling.overviews.progress import Watch
from geofovea.tiling.scene import Scene

__all__ = [
    "PreparedLevel",
    "PreparedLevels",
    "Progress",
    "are_damaged",
    "are_prepared",
    "prepare",
]

Progress = Callable[[str], AbstractContextManager[Callable[[float], None]]]
"""Given a title, a context whose value takes the share that is done, in [0, 1]."""

_LOG = logging.getLogger(__name__)
_FORMAT = 5  # counts up when the same source gives other level files


@dataclass(frozen=True, slots=True)
class PreparedLevel:
    """A level that can be opened.

    Attributes:
        level: Its number.
        source: Its file.
        overview: Index of the overview in that, None for its native image.
        checks: The sums of its blocks.
    """

    level: int
    source: Source
    overview: int | None
    checks: LevelChecks


@dataclass(frozen=True, slots=True)
class PreparedLevels:
    """Level files that are there.

    Attributes:
        folder: Where they lie.
        images: Where each level lies.
    """

    folder: Path
    images: tuple[PreparedLevel, ...]

    @property
    def is_current(self) -> bool:
        """Whether all files are still as they were built."""
        return all(source.is_current for source in {image.source for image in self.images})

    def image(self, level: int) -> PreparedLevel:
        """Where one level lies.

        Raises:
            GeometryError: If there is none.
        """
        for image in self.images:
            if image.level == level:
                return image
        raise GeometryError(f"there is no level file {level} in {self.folder}")

    def discard(self) -> None:
        """Make sure that the files are built again when they are next needed.

        Raises:
            OutputError: If that cannot be noted.
        """
        try:
            record_path(self.folder).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {why_unwritten(error)}") from error


def are_prepared(scene: Scene) -> bool:
    """Whether the level files of a scene are there; builds and reads nothing."""
    files = level_files_of(scene)
    return files is not None and _prepared_anywhere(scene, files) is not None


def are_damaged(scene: Scene) -> bool:
    """Whether there is a folder of level files for a scene, and not as it was written."""
    files = level_files_of(scene)
    if files is None or not is_level_folder(_folder_of(scene, files)):
        return False
    return _prepared_anywhere(scene, files) is None


def prepare(
    scene: Scene,
    *,
    limits: LevelLimits | None = None,
    progress: Progress | None = None,
    damaged: PreparedLevels | None = None,
) -> PreparedLevels | None:
    """Make sure that the level files of a scene are there.

    The first caller builds them; others, in this or another process, wait for it. After a build,
    level files that were not wanted for the longest time are removed, where all together exceed
    ``cache_limit_bytes()``.

    Args:
        scene: The scene.
        limits: What a build may cost.
        progress: Shows how far a build is, if there is one.
        damaged: Files that were found damaged, and are not taken.

    Returns:
        The files; None if the scene needs none.

    Raises:
        LevelBuildError: If the scene is too large or the build takes too long.
        DiskSpaceError: If the disk has too little space.
        OutputError: If the cache cannot be written, or its size limit is not a number.
        SceneReadError: If the scene is damaged or has changed.
    """
    files = level_files_of(scene)
    if files is None:
        return None
    prepared = _prepared_anywhere(scene, files, damaged)
    if prepared is not None:
        note_use(prepared.folder)
        return prepared
    folder = _folder_of(scene, files)
    limits, limit_bytes = limits or LevelLimits(), cache_limit_bytes()
    _check_pixels(scene, limits)
    remove_leftovers()
    with _locked(folder, limits):
        prepared = _prepared_in(folder, files)  # another one may have built them meanwhile
        if prepared is None:
            prepared = _build(scene, files, folder, limits, progress)
    make_room(limit_bytes, keep=folder)
    return prepared


def _prepared_anywhere(
    scene: Scene, files: LevelFiles, damaged: PreparedLevels | None = None
) -> PreparedLevels | None:
    name = _key_of(scene, files)
    for place in (_folder_of(scene, files), *(each / name for each in shared_folders(LEVELS))):
        if damaged is None or damaged.folder != place or place.parent == levels_folder():
            prepared = _prepared_in(place, files)
            if prepared is not None:
                return prepared
    return None


def _folder_of(scene: Scene, files: LevelFiles) -> Path:
    """The folder of a scene; another name where something that is not ours has taken its own."""
    name = _key_of(scene, files)
    names = (name, *(f"{name}-{number}" for number in range(1, 10)))
    folders = [levels_folder() / each for each in names]
    return next((f for f in folders if _is_free(f, files)), folders[0])


def _is_free(folder: Path, files: LevelFiles) -> bool:
    """Whether a folder is not there, holds sound files, or can be replaced."""
    if not os.path.lexists(folder):
        return True
    return is_level_folder(folder) and (
        _prepared_in(folder, files) is not None or is_replaceable(folder)
    )


def _key_of(scene: Scene, files: LevelFiles) -> str:
    """The name of a scene's folder, made of all that its level files depend on."""
    parts = {
        "format": _FORMAT,
        "scene": scene.identity,
        "mask": scene.mask_kind,
        "nodata": repr(scene.nodata),
        "files": asdict(files),
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return digest[:32]


def _prepared_in(folder: Path, files: LevelFiles) -> PreparedLevels | None:
    """The files of a folder, if each is there and exactly as it was built."""
    record = read_record(folder)
    if record is None or "checksum" not in record:
        return None
    sources: dict[str, Source] = {}
    try:
        for name, built in record["files"].items():
            if not is_believed(folder / name):
                return None
            sources[name] = source = file_source(folder / name)
            if (source.size_bytes, source.mtime_ns) != (built["bytes"], built["mtime_ns"]):
                return None
        images = tuple(
            PreparedLevel(
                level,
                sources[name],
                overview,
                LevelChecks(checks_path(folder, level), *record["checks"][str(level)]),
            )
            for level, name, overview in record["places"]
        )
    except (SceneError, KeyError, TypeError, ValueError):
        return None
    if [image.level for image in images] != [image.level for image in files.images]:
        return None
    return PreparedLevels(folder, images)


def _check_pixels(scene: Scene, limits: LevelLimits) -> None:
    pixels = scene.width * scene.height
    if pixels > limits.pixels:
        raise LevelBuildError(
            f"{scene.path!r} has {pixels:.3g} pixels and no overviews for its coarse levels, which "
            f"are built for at most {limits.pixels:.3g}; build overviews with gdaladdo -r average, "
            "or rewrite it: gdal_translate -of COG"
        )


@contextmanager
def _locked(folder: Path, limits: LevelLimits) -> Iterator[None]:
    from filelock import FileLock, Timeout

    deadline = current_deadline()
    seconds = limits.seconds if deadline is None else min(limits.seconds, deadline.seconds_left)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"), timeout=seconds)
        lock.acquire()
    except Timeout as error:
        raise LevelBuildError(
            f"another process has been building the level files in {folder} for more than "
            f"{seconds:g} s; end it, or try again later"
        ) from error
    except OSError as error:
        raise OutputError(
            f"the cache {folder.parent} cannot be written: {reason_of(error)}; set "
            f"{CACHE_VARIABLE} to a folder that can"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _build(
    scene: Scene, files: LevelFiles, folder: Path, limits: LevelLimits, progress: Progress | None
) -> PreparedLevels:
    """Build under the lock."""
    _check_space(scene, files, folder, limits)
    started = time.monotonic()
    title = f"level files of {Path(scene.path).name}"
    aside = _folder_aside(folder)
    try:
        with progress(title) if progress else nullcontext(_ignore) as show:
            _LOG.info("levels: building those that %s lacks", scene.path)
            watch = _watch_within(limits.seconds, scene.path, show)
            built = build_level_files(scene, files, aside, watch)
        _LOG.info("levels: built in %s, %.2f s", folder, time.monotonic() - started)
        _write_record(scene, files, built, aside, time.monotonic() - started)
        # nothing of others is removed with it: then the folder stays, and is in the way
        remove_level_folder(folder)
        aside.rename(folder)
    except GeoFoveaError:
        # a scene that cannot be read is an OSError, too
        raise
    except OSError as error:
        raise OutputError(
            f"{folder} could not be written: {reason_of(error)}; move away what is in it, "
            f"or set {CACHE_VARIABLE} to another folder"
        ) from error
    finally:
        remove_folder(aside)
    prepared = _prepared_in(folder, files)
    if prepared is None:
        raise OutputError(f"the level files in {folder} vanished at once; is somebody clearing it?")
    return prepared


def _folder_aside(folder: Path) -> Path:
    """A new folder beside another one, which takes its name when all is in it."""
    try:
        aside = Path(tempfile.mkdtemp(prefix=f"{ASIDE}{folder.name}-", dir=folder.parent))
        mark_folder(aside, LEVELS)
    except OSError as error:
        raise OutputError(f"{folder.parent} cannot be written: {why_unwritten(error)}") from error
    return aside


def _watch_within(seconds: float, scene_path: str, show: Watch) -> Watch:
    """What is told how far a build is, and ends one that takes too long."""
    deadline, caller_deadline = time.monotonic() + seconds, current_deadline()

    def watch(share: float) -> None:
        if time.monotonic() > deadline:
            raise LevelBuildError(
                f"building the level files of {scene_path!r} took more than {seconds:g} s; build "
                "overviews with gdaladdo -r average instead"
            )
        if caller_deadline is not None:
            caller_deadline.check(scene_path, share)
        show(share)

    return watch


def _ignore(_share: float) -> None:
    return None


def _check_space(scene: Scene, files: LevelFiles, folder: Path, limits: LevelLimits) -> None:
    free = shutil.disk_usage(folder.parent).free
    needed = files.most_bytes + limits.spare_bytes
    if free < needed:
        raise DiskSpaceError(
            f"the level files of {scene.path!r} may need {needed / 1e9:.1f} GB, and "
            f"{folder.parent} has {free / 1e9:.1f} GB free; run geofovea cache clear, or "
            f"set {CACHE_VARIABLE} to a folder on another disk"
        )


def _write_record(
    scene: Scene, files: LevelFiles, built: tuple[BuiltLevel, ...], folder: Path, seconds: float
) -> None:
    sources = {name: file_source(folder / name) for name in {level.name for level in built}}
    record = {
        "scene": scene.source.path,
        "scene_bytes": scene.size_bytes,
        "scene_mtime_ns": scene.mtime_ns,
        "builder": files.builder,
        "built": time.time(),
        "seconds": round(seconds, 3),
        "levels": [level.level for level in built],
        "places": [(level.level, level.name, level.overview) for level in built],
        "checks": {str(b.level): (b.checks.digest, b.checks.nature) for b in built if b.checks},
        "files": {
            name: {"bytes": source.size_bytes, "mtime_ns": source.mtime_ns}
            for name, source in sources.items()
        },
    }
    record["checksum"] = record_checksum(record)
    record_path(folder).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
