"""``da.fovea.ask("...")``: questions to xarray objects.

The accessor is there after ``import geofovea``, which registers it, or after the first
``xr.open_datatree(..., engine="geofovea")``: this is the module that xarray loads the engine from.
So it imports nothing heavy; the model comes with the first question.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from geofovea.regionfocus.strategies import (
    DEFAULT_DESCENT,
    DEFAULT_GEOMETRY,
    DEFAULT_REDUCTION,
)
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.xarray_backend import GeoFoveaBackend

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.answers.measurement import Measurement
    from geofovea.pipeline.focus.stopping import StopAt
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
    from geofovea.pipeline.places.count import Count
    from geofovea.pipeline.places.place_list import Places
    from geofovea.pipeline.relations.superlatives import Measurable
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling.geo.region import Region
    from geofovea.tiling.pyramid import Box
    from geofovea.tiling.scene import Scene

__all__ = ["FoveaAccessor", "GeoFoveaBackend"]

# each may hold hundreds of megabytes of tokens, and a model
_MOST_SESSIONS = 4


class FoveaAccessor:
    """Asks questions about the image in a DataArray, Dataset or DataTree.

    What was computed for one question is kept for the next one about the same object, for the last
    four models and ways of showing it. After its pixels have been changed in place, ask a new
    object: ``da.copy(deep=False).fovea.ask(...)``.
    """

    def __init__(self, obj: xr.DataArray | xr.Dataset | xr.DataTree) -> None:
        """Remember the object; nothing is looked at before it is asked about."""
        self._obj = obj
        self._scene: Scene | None = None
        self._sessions: LruCache[Any, tuple[Host, SceneSession]] = LruCache(
            _MOST_SESSIONS, lambda _: 1
        )

    @property
    def scene(self) -> Scene:
        """The object as a scene.

        Raises:
            SceneError: If it is not an image.
        """
        if self._scene is None:
            from geofovea.tiling.opening import open_scene

            self._scene = open_scene(self._obj)
        return self._scene

    def ask(
        self,
        question: str,
        *,
        model: str | Host = "auto",
        budget: Budget | None = None,
        tiles: int | None = None,
        tokens: int | None = None,
        focus: str | None = None,
        reduction: str = DEFAULT_REDUCTION,
        descent: str = DEFAULT_DESCENT,
        route: str = "auto",
        stop: StopAt | None = None,
        bands: tuple[int, ...] | None = None,
        composite: str | None = None,
        band_map: Mapping[str, int] | None = None,
        boxes: Sequence[Box] = (),
        region: Region | None = None,
        choices: Sequence[str] = (),
        device: str = "auto",
        dtype: str | None = None,
        device_map: str | None = None,
        quantization: str | None = None,
        positions: str | None = None,
        answer_tokens: int | None = None,
        threads: int | None = None,
        thinking: str | None = None,
        thought_tokens: int | None = None,
        compile_decode: bool = False,
        endpoint: EndpointSettings | str | None = None,
        focus_model: str | None = None,
        geometry: str = DEFAULT_GEOMETRY,
        skip: str | None = None,
        resampler: str | None = None,
        cache_tokens: bool | None = None,
        index: str | os.PathLike[str] | None = None,
    ) -> Answer:
        """Ask one question; the arguments are those of ``geofovea.ask``.

        Raises:
            GeoFoveaError: Each of its kinds; see ``geofovea.errors``.

        Warns:
            DemoModelWarning: If the demo model guesses about a scene that is not synthetic.
        """
        from geofovea.pipeline.session.ask import host_of

        host = host_of(
            model,
            self.scene,
            endpoint,
            device=device,
            dtype=dtype,
            device_map=device_map,
            quantization=quantization,
            positions=positions,
            answer_tokens=answer_tokens,
            threads=threads,
            thinking=thinking,
            thought_tokens=thought_tokens,
            compile_decode=compile_decode,
        )
        session = self._session(
            host,
            bands=bands,
            composite=composite,
            band_map=band_map,
            cache_tokens=cache_tokens,
            index=index,
        )
        return session.ask(
            question,
            budget=budget,
            tiles=tiles,
            tokens=tokens,
            focus=focus,
            reduction=reduction,
            descent=descent,
            route=route,
            stop=stop,
            boxes=boxes,
            region=region,
            choices=choices,
            focus_model=focus_model,
            geometry=geometry,
            skip=skip,
            resampler=resampler,
        )

    def find(
        self,
        phrase: str,
        *,
        model: str | Host = "auto",
        endpoint: EndpointSettings | str | None = None,
        bands: tuple[int, ...] | None = None,
        composite: str | None = None,
        device: str = "auto",
        index: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Places:
        """Find every place that shows something; the arguments are those of ``geofovea.find``.

        Raises:
            GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
        """
        session = self._opened(model, endpoint, device, bands, composite, index)
        return session.find(phrase, **options)

    def count(
        self,
        phrase: str,
        *,
        model: str | Host = "auto",
        endpoint: EndpointSettings | str | None = None,
        bands: tuple[int, ...] | None = None,
        composite: str | None = None,
        device: str = "auto",
        index: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> Count:
        """Count something, with an interval; the arguments are those of ``geofovea.count``.

        Raises:
            GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
        """
        session = self._opened(model, endpoint, device, bands, composite, index)
        return session.count(phrase, **options)

    def measure(
        self,
        question: str | Measurable,
        *,
        model: str | Host = "auto",
        endpoint: EndpointSettings | str | None = None,
        **options: Any,
    ) -> Measurement:
        """Compute distances and sizes of places; the arguments are those of ``geofovea.measure``.

        Raises:
            GeoFoveaError: Each of its kinds; see ``geofovea.errors``.
        """
        return self._opened(model, endpoint).measure(question, **options)

    def _opened(
        self,
        model: str | Host,
        endpoint: EndpointSettings | str | None,
        device: str = "auto",
        bands: tuple[int, ...] | None = None,
        composite: str | None = None,
        index: str | os.PathLike[str] | None = None,
    ) -> SceneSession:
        """The session that `ask` has with the same arguments."""
        from geofovea.pipeline.session.ask import host_of

        host = host_of(model, self.scene, endpoint, device=device)
        view = {"bands": bands, "composite": composite, "band_map": None}
        return self._session(host, **view, cache_tokens=None, index=index)

    def _session(self, host: Host, **view: Any) -> SceneSession:
        """What asks this host about the object, shown in this way."""
        from geofovea.pipeline.session.session import SceneSession

        try:
            key = (id(host), repr(view))
        except ValueError:
            # a number of too many digits: a session says which, and is not made
            return SceneSession(self.scene, host, **view)
        known = self._sessions.get(key)
        if known is None:
            # with the host, so that its id stays its own: a session may have made another of it
            known = self._sessions.put(key, (host, SceneSession(self.scene, host, **view)))
        return known[1]
