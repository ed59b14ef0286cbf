"""One scene on the page, and the progress of its preparation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property
from typing import Any

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.answers.page.data import model_name, scene_name
from geofovea.pipeline.engine.watching import Watcher, watched_by
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.failure import failure_of
from geofovea.pipeline.viewer.public_text import without_paths
from geofovea.pipeline.viewer.scene_facts import scene_facts
from geofovea.pipeline.viewer.view_grid import ViewGrid
from geofovea.tiling.pyramid import Tile

__all__ = ["ServedScene"]


class ServedScene:
    """A session with its view grid. Threads may share it.

    Attributes:
        id: By which pages name it; never a path.
        name: What people read: the last part of its path.
        session: Answers questions about it.
        grid: Its view tiles.
        version: Changes when its pixels do: file, bands, stretch, or how tiles are read.
        share: How much of what the first tile needs is built, in [0, 1].
        error: Why that failed, in words; empty where it did not.
    """

    def __init__(self, scene_id: str, session: SceneSession) -> None:
        """Take a session; nothing is read yet."""
        self.id = scene_id
        self.session = session
        self.name = scene_name(session.scene.path)
        self.grid = ViewGrid(session.reader)
        self.version = _version(session, self.grid)
        self.error = ""
        self.share = 1.0 if self.grid.is_prepared else 0.0
        self._is_ready = self.share == 1.0

    @property
    def is_ready(self) -> bool:
        """Whether tiles can be read and questions be answered at once."""
        return self._is_ready

    def prepare(self, tell: Callable[[], None]) -> None:
        """Build what the first tile needs, on the calling thread; a failure is kept in `error`.

        Args:
            tell: Called when the share has grown, and at the end.
        """
        try:
            with watched_by(_Share(self, tell)):
                if not self._is_ready:
                    self.grid.prepare()
        except BaseException as error:  # of a library, too: it concerns this scene alone
            failure = failure_of(error)
            is_ours = isinstance(failure, GeoFoveaError)
            self.error = self.without_paths(str(failure)) if is_ours else "the scene cannot be read"
        self.share, self._is_ready = 1.0, not self.error
        tell()

    def contains(self, kind: str, tile: Tile) -> bool:
        """Whether a tile of a kind of `TILE_KINDS` is on the scene."""
        if kind == "view":
            return self.grid.contains(tile)
        pyramid = self.session.pyramid
        # shifts by a level that is out of all bounds would fill the memory
        return tile.level <= pyramid.top_level and pyramid.contains(tile)

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the scene and of its model, as far as they have one."""
        model = self.session.host.name
        return (self.session.scene.path, *([model] if model_name(model) != model else []))

    def without_paths(self, text: str) -> str:
        """A text in which paths of this machine are names: of the scene, the model, and others."""
        return without_paths(text, *self.paths)

    def to_json(self) -> dict[str, Any]:
        """What a page knows of it."""
        return self._facts | {
            "ready": self._is_ready,
            "share": round(self.share, 3),
            "error": self.error,
        }

    @cached_property
    def _facts(self) -> dict[str, Any]:
        facts = scene_facts(self.session)
        facts["warnings"] = [self.without_paths(warning) for warning in facts["warnings"]]
        own = {"id": self.id, "name": self.name, "version": self.version}
        return own | {"grid": self.grid.to_json()} | facts


class _Share(Watcher):
    """Keeps how far the building of level files is."""

    def __init__(self, scene: ServedScene, tell: Callable[[], None]) -> None:
        self._scene, self._tell = scene, tell

    def preparing(self, share: float) -> None:
        # a hundred steps are enough for a bar
        if share - self._scene.share >= 0.01:
            self._scene.share = share
            self._tell()


def _version(session: SceneSession, grid: ViewGrid) -> str:
    parts = (
        session.scene.identity,
        session.reader.radiometry,
        grid.side,
        session.pyramid.tile_size,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]
