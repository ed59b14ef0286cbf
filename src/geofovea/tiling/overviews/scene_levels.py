"""The level files of one open scene: built when first read from, again where they are damaged."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from geofovea.errors import GeometryError, SceneReadError
from geofovea.tiling.cache.folder import levels_folder
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import check_current, open_handle, read_errors
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.overviews.cache import (
    PreparedLevel,
    PreparedLevels,
    Progress,
    are_damaged,
    prepare,
)
from geofovea.tiling.overviews.checks import CheckedImage, load_checks
from geofovea.tiling.overviews.level_files import LevelLimits
from geofovea.tiling.scene import Scene

__all__ = ["SceneLevels"]

T = TypeVar("T")

_log = logging.getLogger(__name__)


class SceneLevels:
    """Reads from the level files of a scene; may be shared by threads, and pickled."""

    def __init__(
        self, scene: Scene, limits: LevelLimits | None = None, progress: Progress | None = None
    ) -> None:
        """Take a scene; builds nothing yet.

        Args:
            scene: The scene.
            limits: What a build may cost.
            progress: Shows how far that is.
        """
        self._scene = scene
        self._limits = limits
        self._progress = progress
        self._lock = ForkSafeLock()
        self._prepared: PreparedLevels | None = None
        self._notes: dict[str, None] = {}

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any answer should know of the files, such as that some were damaged."""
        return tuple(self._notes)

    def __reduce__(self) -> tuple[type[SceneLevels], tuple[object, ...]]:
        """Another process looks for the files itself."""
        return SceneLevels, (self._scene, self._limits)

    def read(self, level: int, read: Callable[[Any], T]) -> T:
        """Call a function with the open image of one level.

        Args:
            level: Which.
            read: Takes a ``rasterio.DatasetReader``, which it must not keep; called a second time
                if the file is found damaged or gone.

        Raises:
            GeometryError: If the scene has no file of this level.
            LevelBuildError: If a build would cost more than allowed.
            OutputError: If the files cannot be written.
            SceneReadError: If the scene is damaged or has changed.
        """
        prepared = self.prepared()
        try:
            return self._read_from(prepared.image(level), read)
        except SceneReadError:
            check_current(self._scene.source)
            return self._read_from(self.prepared(prepared).image(level), read)

    def _read_from(self, image: PreparedLevel, read: Callable[[Any], T]) -> T:
        with gdal_settings(), read_errors(image.source):
            handle = open_handle(image.source, image.overview)
            checks = load_checks(image.checks, handle, image.source.identity, image.overview)
            value = read(CheckedImage(handle, checks))
            check_current(self._scene.source)  # whose pixels these are
            return value

    def prepared(self, damaged: PreparedLevels | None = None) -> PreparedLevels:
        """The files; one thread builds them and the others wait for it.

        Args:
            damaged: What could not be read, and is built again unless another thread just has.

        Raises:
            GeometryError: If the scene has no level files.
            LevelBuildError: If a build would cost more than allowed.
            OutputError: If the files cannot be written.
            SceneReadError: If the scene is damaged or has changed.
        """
        with self._lock:
            if damaged is not None and damaged is self._prepared:
                self._discard(damaged)
            if self._prepared is None:
                if are_damaged(self._scene):
                    self._note("are not as they were written")
                self._prepared = prepare(
                    self._scene, limits=self._limits, progress=self._progress, damaged=damaged
                )
            if self._prepared is None:
                raise GeometryError(f"{self._scene.path!r} has no level files to read from")
            return self._prepared

    def _discard(self, damaged: PreparedLevels) -> None:
        self._prepared = None
        if damaged.folder.parent == levels_folder():
            damaged.discard()
        self._note(f"in {damaged.folder} could not be read")

    def _note(self, reason: str) -> None:
        _log.warning("the level files of %s %s: they are built again", self._scene.path, reason)
        self._notes["the kept level files were damaged or gone, and were built again"] = None
