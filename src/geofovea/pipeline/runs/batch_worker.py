"""The work of a batch: questions about scenes, one open scene at a time in each worker."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from geofovea import __version__
from geofovea.pipeline.answers.afterwork import Afterwork
from geofovea.pipeline.runs.item import Record, Worker
from geofovea.pipeline.runs.lookahead import Payload
from geofovea.pipeline.runs.scene_worker import SceneWorker, loaded_host
from geofovea.pipeline.session.settings import AskSettings

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.tiling.geo.region import Region

__all__ = ["SceneWork"]

_VERSIONS_OF = ("torch", "transformers", "rasterio")


@dataclass(frozen=True, slots=True)
class SceneWork:
    """Asks questions about scenes; the payload of an item holds ``question`` and ``region``.

    The region is None, or ``(WKB, CRS or None)``.

    Attributes:
        settings: How.
        configuration: Their hash, for the record.
        access: What ``open_scene`` may open: ``allow_vrt``, ``allow_remote``, ``allowed_hosts``.
        threads: Threads of torch in each worker; None leaves its own choice.
        verify: Whether every block of a scene is read once before it is asked about.
    """

    settings: AskSettings
    configuration: str
    access: Mapping[str, Any]
    threads: int | None = None
    verify: bool = False

    def open(self) -> Worker:
        """Load the model.

        Raises:
            ModelError: If it cannot be loaded.
            RunError: If it is not the one that was planned.
        """
        host = loaded_host(self.settings, self.threads, self.configuration)
        task = _BatchTask(self, host)
        scenes = SceneWorker(self.settings, host, self.access, verify=self.verify)
        return scenes.worker(task.request, task.record)


class _BatchTask:
    def __init__(self, work: SceneWork, host: Host) -> None:
        self._work = work
        self._host = host
        # polygons may have a million vertices, and rows of one polygon follow one another
        self._placed: tuple[SceneSession, Any, Region] | None = None

    def request(self, session: SceneSession, payload: Payload) -> AskRequest:
        start = time.perf_counter()
        region = self._region(session, payload)
        if region is not None:
            session.charge_region(time.perf_counter() - start)
        # here, because the plan of a batch is made without torch
        from geofovea.pipeline.session.measuring import as_listed

        return as_listed(
            self._work.settings.request(
                self._host, payload["question"], region=region, kind="listed"
            )
        )

    def record(self, session: SceneSession, payload: Payload, answer: Answer) -> Record:
        after = Afterwork()
        load = self._work.settings.load
        record = answer.to_json()
        record["geometry"] = after.attempt(
            "the geometry", lambda: _geometry_lonlat(answer, self._region(session, payload)), None
        )
        record["warnings"] += self._cautions(session, payload, after)
        record["provenance"] = {
            "model": self._host.name,
            "configuration": self._work.configuration,
            "device": load.device_map or load.place,
            "scene_identity": session.scene.identity,
            "versions": after.attempt("the list of versions", _versions, {}),
        }
        record["warnings"] += after.warnings
        return _finite(record)

    def _cautions(self, session: SceneSession, payload: Payload, after: Afterwork) -> list[str]:
        from geofovea.tiling.geo.region import region_caution

        region = after.attempt("the region", lambda: self._region(session, payload), None)
        crs = None if payload["region"] is None else payload["region"][1]
        return [] if region is None else list(region_caution(session.scene, region, crs))

    def _region(self, session: SceneSession, payload: Payload) -> Region | None:
        import shapely

        from geofovea.tiling.geo.region import region_from_crs

        record = payload["region"]
        if record is None:
            return None
        if self._placed and self._placed[0] is session and self._placed[1] == record:
            return self._placed[2]
        wkb, crs = record
        region = region_from_crs(session.scene, shapely.from_wkb(wkb), crs)
        self._placed = session, record, region
        return region


def _geometry_lonlat(answer: Answer, region: Region | None) -> Any:
    """Where the answer was read at the finest level, as GeoJSON in lon/lat; None off the map.

    The evidence is cut to the region in pixels: there no edge bends and nothing wraps.
    """
    import shapely

    from geofovea.tiling.geo.coordinates import polygon_lonlat, polygon_scene

    finest = min((item.tile.level for item in answer.evidence), default=None)
    boxes = [polygon_scene(item.box_scene) for item in answer.evidence if item.tile.level == finest]
    if region is not None:
        boxes = [shapely.intersection(region.geometry, box) for box in boxes]
    merged = shapely.union_all(boxes)
    parts = [p for p in shapely.get_parts(merged) if isinstance(p, shapely.Polygon) and p.area > 0]
    geometry = polygon_lonlat(answer.scene, shapely.MultiPolygon(parts)) if parts else None
    if geometry is None or geometry["type"] == "MultiPolygon":
        return geometry
    # tables like one kind of geometry in a column
    return {"type": "MultiPolygon", "coordinates": (geometry["coordinates"],)}


def _finite(record: Record) -> Record:
    """A record without numbers that JSON lacks: they would cost the whole answer."""
    non_finite: list[str] = []

    def cleaned(value: Any, name: str) -> Any:
        if isinstance(value, dict):
            return {
                key: cleaned(each, f"{name}.{key}" if name else str(key))
                for key, each in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [cleaned(each, name) for each in value]
        if isinstance(value, float) and not math.isfinite(value):
            non_finite.append(name)
            return None
        return value

    result: Record = cleaned(record, "")
    if non_finite:
        names = ", ".join(dict.fromkeys(non_finite))
        result["warnings"].append(f"numbers that are not finite were left out of {names}")
    return result


@functools.cache
def _versions() -> dict[str, str]:
    return {"geofovea": __version__} | {name: version(name) for name in _VERSIONS_OF}
