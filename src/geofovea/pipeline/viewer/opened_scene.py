"""``geofovea.open``: a scene and a model in one call, ready for questions and for display."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack

from geofovea.errors import SceneError
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.hosts.load_options import AUTO, Loading
from geofovea.pipeline.session.ask import host_of
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.show import show
from geofovea.tiling.opening import Picture, open_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
    from geofovea.pipeline.viewer.widget import SceneWidget
    from geofovea.tiling.nodata import DeclaredNodata

__all__ = ["OpenedScene", "open_session"]


class OpenedScene(SceneSession):
    """A session that can show itself in a notebook."""

    def show(self, **options: Any) -> SceneWidget:
        """The page of this scene as a widget: zoom, ask, and watch where the model looks.

        Args:
            options: As for ``geofovea.show``.

        Raises:
            MissingExtraError: If anywidget is not installed.
        """
        return show(self, **options)


def open_session(
    scene: Scene | Picture,
    *,
    model: str | Host = AUTO,
    endpoint: EndpointSettings | str | None = None,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
    cache_tokens: bool | None = None,
    memory: MemoryOptions | None = None,
    index: str | os.PathLike[str] | None = None,
    allow_vrt: bool = False,
    allow_remote: bool = False,
    allowed_hosts: tuple[str, ...] = (),
    nodata: DeclaredNodata | None = None,
    **loading: Unpack[Loading],
) -> OpenedScene:
    """Open a scene for any number of questions.

        scene = geofovea.open("scene.tif", model="openai:qwen2.5vl:7b", endpoint="http://...")
        scene.ask("How many ships are there?")
        scene.ask_many(["Is there a runway?", "Which color is the roof?"])
        scene.show()

    Args:
        scene: As for ``geofovea.ask``.
        model: As for ``geofovea.ask``, also ``endpoint`` and all that is loaded by: ``device``,
            ``dtype``, ``threads`` and the others of ``geofovea.load_host``.
        endpoint: Where ``openai:NAME`` is.
        bands: Bands to show, 1-based; None chooses from the scene.
        composite: A named composite instead, such as ``"ndvi"``.
        band_map: Which band plays which role in it, such as ``{"red": 3, "nir": 8}``.
        cache_tokens: Whether encoded tiles are kept on disk.
        memory: Keeps what the decoder makes of each tile for further questions; see
            ``SceneSession``.
        index: Folder of an index that knows where to look; see ``SceneSession``.
        allow_vrt: As for ``geofovea.open_scene``, and likewise the following. A ``Scene`` is
            open already and takes none of them.
        allow_remote: Whether URLs are opened.
        allowed_hosts: The hosts that may be asked.
        nodata: The value that marks missing pixels.
        loading: How the model is loaded.

    Raises:
        NoModelError: If no model is named, and the scene is not synthetic.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
    """
    started = time.perf_counter()
    raster = _opened(
        scene,
        allow_vrt=allow_vrt,
        allow_remote=allow_remote,
        allowed_hosts=allowed_hosts,
        nodata=nodata,
    )
    open_seconds = time.perf_counter() - started
    return OpenedScene(
        raster,
        host_of(model, raster, endpoint, **Loading(device=AUTO) | loading),
        bands,
        composite=composite,
        band_map=band_map,
        cache_tokens=cache_tokens,
        memory=memory,
        index=index,
        open_seconds=open_seconds,
    )


def _opened(scene: Scene | Picture, **opening: Any) -> Scene:
    """The scene as it is, or opened with those options of ``open_scene``."""
    if not isinstance(scene, Scene):
        return open_scene(scene, **opening)
    # nodata may be 0, which equals False
    given = [
        name for name, value in opening.items() if value not in ((), None) and value is not False
    ]
    if given:
        raise SceneError(
            f"{scene.path!r} is a scene that is open already; pass {given[0]}= to "
            "geofovea.open_scene, or give the path"
        )
    return scene
