"""``gf.find`` and ``gf.count``: a scene opened and looked at in one call."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, TypeAlias

from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.places.count import Count
from geofovea.pipeline.places.counting import count_places
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.session.ask import host_of
from geofovea.pipeline.session.model_choice import AUTO
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.opening import open_scene
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import xarray

__all__ = ["SceneLike", "count", "find"]

SceneLike: TypeAlias = (
    "Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset | xarray.DataTree"
)
"""What can be opened as a scene, or is one."""


def find(
    scene: SceneLike,
    phrase: str,
    *,
    model: str | Host = AUTO,
    endpoint: EndpointSettings | str | None = None,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    device: str = AUTO,
    index: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Places:
    """Find every place of a scene that shows something, in one call.

    For several phrases, ``SceneSession.find`` keeps what they share.

    Args:
        scene: As for ``geofovea.ask``.
        phrase: What is looked for, such as ``"red truck"``.
        model: As for ``geofovea.ask``.
        endpoint: Where ``openai:NAME`` is.
        bands: Bands to show, 1-based; None chooses from the scene.
        composite: A named composite instead, such as ``"ndvi"``.
        device: Where a model that is named is loaded.
        index: Folder of an index that knows where to look; see ``SceneSession``.
        options: As for ``SceneSession.find``: ``coverage``, ``tiles``, ``region`` and the others.

    Returns:
        The places, the surest first, with what was covered; empty where none was found.

    Raises:
        NoModelError: If no model is named, and the scene is not synthetic.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.

    Examples:
        >>> places = geofovea.find("scene.tif", "helicopter", tiles=32)
        >>> len(places)
        3
    """
    session = _session(scene, model, endpoint, bands, composite, device, index)
    return find_places(session, phrase, **options)


def count(
    scene: SceneLike,
    phrase: str,
    *,
    model: str | Host = AUTO,
    endpoint: EndpointSettings | str | None = None,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    device: str = AUTO,
    index: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Count:
    """Count something over a scene, with a 95 % interval, in one call.

    For several phrases, ``SceneSession.count`` keeps what they share.

    Args:
        scene: As for ``geofovea.ask``.
        phrase: What is counted, such as ``"truck"``.
        model: As for ``geofovea.ask``.
        endpoint: Where ``openai:NAME`` is.
        bands: Bands to show, 1-based; None chooses from the scene.
        composite: A named composite instead, such as ``"ndvi"``.
        device: Where a model that is named is loaded.
        index: Folder of an index that knows where to look; see ``SceneSession``.
        options: As for ``SceneSession.count``: ``tiles``, ``region``, ``confusion`` and the others.

    Returns:
        The number as ``value``, its interval from ``low`` to ``high``, and the ``places``.

    Raises:
        NoModelError: If no model is named, and the scene is not synthetic.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.

    Examples:
        >>> count = geofovea.count("scene.tif", "helicopter", tiles=32)
        >>> count.low <= 3 <= count.high
        True
    """
    session = _session(scene, model, endpoint, bands, composite, device, index)
    return count_places(session, phrase, **options)


def _session(
    scene: SceneLike,
    model: str | Host,
    endpoint: EndpointSettings | str | None,
    bands: tuple[int, ...] | None,
    composite: str | None,
    device: str,
    index: str | os.PathLike[str] | None,
) -> SceneSession:
    """A session for one call; see `find` for what it takes."""
    started = time.perf_counter()
    raster = scene if isinstance(scene, Scene) else open_scene(scene)
    host = host_of(model, raster, endpoint, device=device)
    return SceneSession(
        raster,
        host,
        bands,
        composite=composite,
        index=index,
        open_seconds=time.perf_counter() - started,
    )
