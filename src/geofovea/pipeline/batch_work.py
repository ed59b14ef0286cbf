"""The work of a batch: questions about scenes, one open scene at a time in each worker."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from geofovea import __version__
from geofovea.pipeline.ahead import Payload
from geofovea.pipeline.ask_settings import AskSettings
from geofovea.pipeline.kept_scene import KeptScene, loaded_host
from geofovea.pipeline.work import Record, Worker

if TYPE_CHECKING:
    from geofovea.pipeline.answer import Answer
    from geofovea.pipeline.asked import Asked
    from geofovea.pipeline.host import Host
    from geofovea.pipeline.session import SceneSession
    from geofovea.tiling.region import Region

__all__ = ["SceneWork", "scene_identity"]

_VERSIONS_OF = ("torch", "transformers", "rasterio")
_LONLAT = "EPSG:4326"


@dataclass(frozen=True, slots=True)
class SceneWork:
    """Asks questions about scenes; the payload of an item holds ``question`` and ``region``.

    The region is None, or ``(WKB, CRS as WKT or None)``.

    Attributes:
        settings: How.
        configuration: Their hash, for the record.
        access: What ``open_scene`` may open: ``allow_vrt``, ``allow_remote``, ``allowed_hosts``.
        threads: Threads of torch in each worker; None leaves its own choice.
    """

    settings: AskSettings
    configuration: str
    access: Mapping[str, Any]
    threads: int | None = None

    def open(self) -> Worker:
        """Load the model.

        Raises:
            ModelError: If it cannot be loaded.
            RunError: If it is not the one that was planned.
        """
        host = loaded_host(self.settings, self.threads, self.configuration)
        asker = _Asker(self, host)
        return KeptScene(self.settings, host, self.access).worker(asker.asked, asker.record)


class _Asker:
    def __init__(self, work: SceneWork, host: Host) -> None:
        self._work = work
        self._host = host

    def asked(self, session: SceneSession, payload: Payload) -> Asked:
        region, _ = self._region(session, payload)
        return self._work.settings.asked(self._host, payload["question"], region=region)

    def record(self, session: SceneSession, payload: Payload, answer: Answer) -> Record:
        _, region_lonlat = self._region(session, payload)
        load = self._work.settings.load
        record = answer.to_json()
        record["geometry"] = _geometry_lonlat(answer, region_lonlat)
        record["provenance"] = {
            "model": self._host.name,
            "configuration": self._work.configuration,
            "device": load.device_map or load.device,
            "scene_identity": session.scene.identity,
            "versions": _versions(),
        }
        return record

    def _region(self, session: SceneSession, payload: Payload) -> tuple[Region | None, Any]:
        given = payload["region"]
        return (None, None) if given is None else _region(session, *given)


def _region(session: SceneSession, wkb: bytes, crs: str | None) -> tuple[Region, Any]:
    """A region in pixels, and as a shapely geometry in lon/lat where it is on the map."""
    import numpy as np
    import shapely
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    from geofovea.tiling.region import region_from_crs

    given = shapely.from_wkb(wkb)
    region = region_from_crs(session.scene, given, crs)
    if crs is None:
        return region, None
    try:
        lonlat = shapely.transform(
            shapely.force_2d(given),
            lambda points: np.column_stack(transform(crs, _LONLAT, *points.T)),
        )
    except (RasterioError, CPLE_BaseError):
        return region, None
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
