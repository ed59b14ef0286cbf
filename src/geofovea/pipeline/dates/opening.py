"""``geofovea.open_pair`` and ``geofovea.open_stack``: dates and a model in one call."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Unpack

from geofovea.pipeline.dates.scene_date import GivenDate
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.hosts.load_options import AUTO, Loading
from geofovea.pipeline.session.ask import host_of
from geofovea.tiling.scene import Scene

if TYPE_CHECKING:
    import xarray

    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings

__all__ = ["open_pair", "open_stack"]


class StackOptions(Loading, total=False):
    """The options of ``open_stack`` that ``open_pair`` passes on."""

    model: str | Host
    endpoint: EndpointSettings | str | None
    bands: tuple[int, ...] | None
    composite: str | None
    band_map: Mapping[str, int] | None
    match_light: bool


def open_pair(
    before: Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset,
    after: Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset,
    *,
    dates: tuple[GivenDate | None, GivenDate | None] | None = None,
    **options: Unpack[StackOptions],
) -> StackSession:
    """Open one place at two dates for any number of questions.

        pair = geofovea.open_pair("2020.tif", "2024.tif", model="openai:qwen2.5vl:7b",
                                  endpoint="http://localhost:11434/v1")
        pair.ask("What changed at the harbor?")
        pair.changes()

    The scenes may have different grids, resolutions and reference systems: they are aligned by
    the ground while they are read, on the grid of the one with the finer pixels.

    Args:
        before: The earlier scene.
        after: The later scene.
        dates: When they were taken, as for ``open_stack``.
        options: As for ``open_stack``.

    Raises:
        GeoFoveaError: As ``open_stack`` does.
    """
    return open_stack((before, after), dates=dates, **options)


def open_stack(
    scenes: Sequence[Scene | str | os.PathLike[str] | xarray.DataArray | xarray.Dataset],
    *,
    dates: Sequence[GivenDate | None] | None = None,
    model: str | Host = AUTO,
    endpoint: EndpointSettings | str | None = None,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
    match_light: bool = True,
    **loading: Unpack[Loading],
) -> StackSession:
    """Open one place at several dates for any number of questions.

    Args:
        scenes: From the earliest to the latest, 2 to 12 of them; as for ``geofovea.ask``.
        dates: When each was taken: ISO 8601 text, a ``date``, or the path of a STAC item; None
            takes what the file says, and nothing where it says nothing.
        model: As for ``geofovea.ask``, also ``endpoint`` and all that is loaded by.
        endpoint: Where ``openai:NAME`` is.
        bands: Bands to show of each scene, 1-based; None chooses from the scene.
        composite: A named composite instead, such as ``"ndvi"``.
        band_map: Which band plays which role in it.
        match_light: Whether the other dates are shown in the light of the reference.
        loading: How the model is loaded.

    Raises:
        AlignmentError: If two scenes share no ground, or nothing says how they lie on each other.
        GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
    """
    started = time.perf_counter()
    stack = make_stack(scenes, dates)
    open_seconds = time.perf_counter() - started
    host = host_of(model, stack.reference_scene, endpoint, **Loading(device=AUTO) | loading)
    return StackSession(
        stack,
        host,
        bands,
        composite=composite,
        band_map=band_map,
        match_light=match_light,
        open_seconds=open_seconds,
    )
