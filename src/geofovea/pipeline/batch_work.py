"""The work of a batch: questions about scenes, one open scene at a time in each worker."""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofovea import __version__
from geofovea.errors import SceneError
from geofovea.pipeline.work import Record, Worker
from geofovea.regionfocus.strategies import DEFAULT_DESCENT, DEFAULT_REDUCTION

if TYPE_CHECKING:
    from geofovea.pipeline.answer import Answer
    from geofovea.pipeline.host import Host
    from geofovea.pipeline.session import SceneSession
    from geofovea.pipeline.stop_at import StopAt
    from geofovea.tiling.region import Region

__all__ = ["AskSettings", "SceneWork", "model_digest", "scene_identity"]

_SAMPLE_BYTES = 2**20
_VERSIONS_OF = ("torch", "transformers", "rasterio")
_LONLAT = "EPSG:4326"


@dataclass(frozen=True, slots=True)
class AskSettings:
    """How questions are answered: all that an answer depends on besides scene and question.

    Attributes:
        model: Name of the model.
        limits: Limits of the budget that replace those of the model, by name.
        focus: One of ``FOCUS_NAMES``.
        reduction: One of ``REDUCTION_NAMES``.
        descent: One of ``DESCENT_NAMES``.
        route: One of ``ROUTE_NAMES``.
        flatness: See ``StopAt``.
        confidence: See ``StopAt``.
        bands: See ``SceneSession``.
        composite: See ``SceneSession``.
        band_map: See ``SceneSession``.
        nodata: See ``open_scene``.
    """

    model: str
    limits: Mapping[str, Any]
    focus: str = "attention"
    reduction: str = DEFAULT_REDUCTION
    descent: str = DEFAULT_DESCENT
    route: str = "auto"
    flatness: float | None = None
    confidence: float | None = None
    bands: tuple[int, ...] | None = None
    composite: str | None = None
    band_map: Mapping[str, int] | None = None
    nodata: float | str | None = None

    def described(self) -> dict[str, Any]:
        """The settings with the version of this package and a digest of the model's files."""
        told = {field.name: getattr(self, field.name) for field in fields(self)}
        told |= {"geofovea": __version__, "model_digest": model_digest(self.model)}
        # through JSON, so that what is compared later is what was stored
        plain: dict[str, Any] = json.loads(json.dumps(told, sort_keys=True))
        return plain

    @property
    def hash(self) -> str:
        """A name for exactly these settings."""
        text = json.dumps(self.described(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def model_digest(name: str) -> str:
    """What tells a folder's model from another of its name; empty for a hub id.

    Large files enter by their size, beginning and end, which differ between any two trainings.
    """
    from geofovea.pipeline.embedded import embedded_model_path
    from geofovea.pipeline.models import EMBEDDED

    folder = embedded_model_path() if name == EMBEDDED else Path(name)
    if not folder.is_dir():
        return ""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix in (".json", ".safetensors", ".txt", ".model"):
            size = path.stat().st_size
            with path.open("rb") as file:
                digest.update(f"{path.name}|{size}|".encode() + file.read(_SAMPLE_BYTES))
                file.seek(max(0, size - _SAMPLE_BYTES))
                digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SceneWork:
    """Asks questions about scenes; the payload of an item holds ``question`` and ``region``.

    The region is None, or ``(WKB, CRS as WKT or None)``.

    Attributes:
        settings: How.
        configuration: Their hash, for the record.
        access: What ``open_scene`` may open: ``allow_vrt``, ``allow_remote``, ``allowed_hosts``.
        device: Where the model is loaded.
        threads: Threads of torch in each worker; None leaves its own choice.
    """

    settings: AskSettings
    configuration: str
    access: Mapping[str, Any]
    device: str = "cpu"
    threads: int | None = None

    def open(self) -> Worker:
        """Load the model.

        Raises:
            ModelError: If it cannot be loaded.
        """
        from geofovea.pipeline.models import load_host
        from geofovea.pipeline.stop_at import StopAt

        stop = StopAt(self.settings.flatness, self.settings.confidence)
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)
        return _Asker(self, load_host(self.settings.model, self.device), stop).answer


class _Asker:
    """Keeps the session of the scene that was asked about last."""

    def __init__(self, work: SceneWork, host: Host, stop: StopAt) -> None:
        self._work = work
        self._stop = stop
        self._host = host
        self._budget = replace(host.default_budget, **work.settings.limits)
        # one: sessions hold hundreds of megabytes, and work comes scene by scene
        self._session = functools.lru_cache(maxsize=1)(self._open)

    def answer(self, group: str, payload: Mapping[str, Any]) -> Record:
        session = self._session(group)
        if isinstance(session, SceneError):
            raise session
        settings = self._work.settings
        region, region_lonlat = None, None
        if payload["region"] is not None:
            region, region_lonlat = _region(session, *payload["region"])
        answer = session.ask(
            payload["question"],
            budget=self._budget,
            focus=settings.focus,
            reduction=settings.reduction,
            descent=settings.descent,
            route=settings.route,
            stop=self._stop,
            region=region,
        )
        record = answer.to_json()
        record["geometry"] = _geometry_lonlat(answer, region_lonlat)
        record["provenance"] = {
            "model": self._host.name,
            "configuration": self._work.configuration,
            "device": self._work.device,
            "scene_identity": session.scene.identity,
            "versions": _versions(),
        }
        return record

    def _open(self, path: str) -> SceneSession | SceneError:
        """The session of a scene; the error where it has none, so that it is not opened again."""
        import time

        from geofovea.pipeline.session import SceneSession
        from geofovea.tiling.scene import open_scene

        settings = self._work.settings
        started = time.perf_counter()
        try:
            scene = open_scene(path, nodata=settings.nodata, **self._work.access)  # type: ignore[arg-type]
            return SceneSession(
                scene,
                self._host,
                settings.bands,
                composite=settings.composite,
                band_map=settings.band_map,
                open_seconds=time.perf_counter() - started,
            )
        except SceneError as error:
            return error


def _region(session: SceneSession, wkb: bytes, crs: str | None) -> tuple[Region, Any]:
    """A region in pixels, and as a shapely geometry in lon/lat where it is on the map."""
    import numpy as np
    import shapely
    from rasterio.warp import transform

    from geofovea.tiling.region import region_from_crs

    given = shapely.from_wkb(wkb)
    region = region_from_crs(session.scene, given, crs)
    if crs is None:
        return region, None
    lonlat = shapely.transform(
        shapely.force_2d(given),
        lambda points: np.column_stack(transform(crs, _LONLAT, *points.T)),
    )
    return region, lonlat if lonlat.is_valid else None


def _geometry_lonlat(answer: Answer, region_lonlat: Any) -> Any:
    """Where the answer was read at the finest level, as GeoJSON in lon/lat; None off the map."""
    import shapely
    from shapely.geometry import mapping, shape

    items = answer.evidence.to_json()
    finest = min((item["level"] for item in items), default=None)
    shapes = [
        shape(item["geometry"]) for item in items if item["level"] == finest and item["geometry"]
    ]
    if not shapes:
        return None
    found = shapely.union_all(shapes)
    if region_lonlat is not None:
        inside = shapely.intersection(found, region_lonlat)
        # a region over the antimeridian has no such polygon: then the tiles stand for themselves
        found = inside if inside.area > 0 else found
    parts = [p for p in shapely.get_parts(found) if p.area > 0]
    return mapping(shapely.MultiPolygon(parts))


@functools.cache
def _versions() -> dict[str, str]:
    return {"geofovea": __version__} | {name: version(name) for name in _VERSIONS_OF}


def scene_identity(name: str) -> str:
    """What tells the present content of a scene from another, without opening it.

    It is the path with size and time of the file and of what GDAL reads along with it. The numbers
    of inodes and devices, which ``Scene.identity`` has too, change when a disk is mounted again,
    and a journal outlives that. Far-away scenes are told apart by name alone.
    """
    from geofovea.tiling.stamp import aux_names, side_names, stamp_of

    if "://" in name or name.startswith("/vsi"):
        return name
    path = os.path.abspath(name)  # noqa: PTH100  (as written: links may point elsewhere tomorrow)
    stamps = [stamp_of(each) for each in (path, *side_names(path), *aux_names(path))]
    parts = [f"{stamp.size_bytes},{stamp.mtime_ns}" if stamp else "" for stamp in stamps]
    return "|".join((path, *parts)).rstrip("|")
