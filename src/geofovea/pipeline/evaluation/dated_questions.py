"""Asks benchmark questions that come with several images of one place."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from geofovea.errors import AlignmentError, SceneChangedError
from geofovea.tiling.files.stamp import scene_identity

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.dates.session import StackSession
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.session.settings import AskSettings

__all__ = ["DatedQuestions", "Planned"]

Planned = tuple[str, str]
"""Path of an image, and its identity when the run was planned."""


class DatedQuestions:
    """Asks about several images together; the last ones stay open."""

    def __init__(self, settings: AskSettings, host: Host) -> None:
        """Keep how questions are asked.

        Args:
            settings: How.
            host: The model.
        """
        self._settings, self._host = settings, host
        self._session_of = functools.lru_cache(maxsize=1)(self._open)

    def why_not(self, images: Sequence[Planned]) -> str:
        """The reason why a question cannot be asked about these images together; empty if it can.

        Raises:
            SceneChangedError: If an image is not the file that was planned.
            SceneError: If one cannot be opened.
        """
        if not self._host.capabilities.dates:
            return f"{self._host.name} takes one picture of one date"
        for path, identity in images:
            if scene_identity(path) != identity:
                self._session_of.cache_clear()
                raise SceneChangedError(
                    f"{path!r} is not the file that it was when the run was planned, and was not "
                    "asked about; run the same command again to ask about the file of now"
                )
        try:
            self._session_of(tuple(path for path, _ in images))
        except AlignmentError as error:
            return str(error)
        return ""

    def answer(self, images: Sequence[Planned], prompt: str) -> Answer:
        """Answer a finished prompt about images to which `why_not` did not object.

        Raises:
            GeoFoveaError: As ``StackSession.ask`` does.
        """
        session = self._session_of(tuple(path for path, _ in images))
        request = self._settings.request(self._host, prompt, kind="prompt")
        return session.answer(request).answer

    def _open(self, paths: tuple[str, ...]) -> StackSession:
        from geofovea.pipeline.dates.session import StackSession
        from geofovea.pipeline.dates.stack import make_stack
        from geofovea.tiling.opening import open_scene

        settings = self._settings
        scenes = [open_scene(path, nodata=settings.nodata) for path in paths]
        return StackSession(
            make_stack(scenes),
            self._host,
            settings.bands,
            composite=settings.composite,
            band_map=settings.band_map,
        )
