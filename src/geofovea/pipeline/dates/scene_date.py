"""The date of a scene, from the caller, a STAC item or the file; it is never guessed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from geofovea._arguments import shown
from geofovea.datasets.tables.list_files import read_json
from geofovea.errors import DataError, SceneError
from geofovea.tiling.files.gdal_settings import gdal_settings
from geofovea.tiling.files.handles import open_dataset, read_errors
from geofovea.tiling.scene import Scene

__all__ = ["GivenDate", "SceneDate", "date_of"]

GivenDate = str | date | os.PathLike[str]
"""A date, a time, either as ISO 8601 text, or the path of a STAC item (``.json``)."""

_TIFF = re.compile(r"(\d{4}):(\d{2}):(\d{2})[ T](\d{2}:\d{2}:\d{2})")


@dataclass(frozen=True, slots=True)
class SceneDate:
    """When a scene was taken.

    Attributes:
        moment: The time, with its zone; None where it is not known.
        has_time: Whether the time of day is known, too.
        source: Who says so; empty where nobody does.
        warning: What a careful reader should know of it; empty if nothing.
    """

    moment: datetime | None = None
    has_time: bool = False
    source: str = ""
    warning: str = ""

    @property
    def text(self) -> str:
        """As ISO 8601, ``2024-06-01`` or ``2024-06-01T10:20:30Z``; empty where it is not known."""
        if self.moment is None:
            return ""
        if not self.has_time:
            return self.moment.date().isoformat()
        moment = self.moment.astimezone(UTC).replace(tzinfo=None)
        return moment.isoformat(timespec="seconds") + "Z"

    @property
    def words(self) -> str:
        """The day for a prompt, ``2024-06-01``; empty where it is not known."""
        return "" if self.moment is None else self.moment.date().isoformat()


def date_of(scene: Scene, given: GivenDate | None = None) -> SceneDate:
    """When a scene was taken.

    Args:
        scene: The scene; its tags are read where nothing is given.
        given: What the caller says; it goes before what the file says.

    Raises:
        SceneError: If ``given`` cannot be understood.
        DataError: If a STAC item is none, or names no time.
        SceneReadError: If the file cannot be opened.
    """
    if given is None:
        return _date_of_file(scene)
    if isinstance(given, date):
        return _given(given)
    if not isinstance(given, (str, os.PathLike)):
        raise SceneError(f"{shown(given)} is not a date; give one such as '2024-06-01'")
    text = os.fspath(given)
    if text.lower().endswith((".json", ".geojson")):
        return _date_of_item(Path(text))
    try:
        return _given(_parsed(text))
    except ValueError as error:
        raise SceneError(
            f"{text!r:.60} is not a date: give one such as 2024-06-01 or 2024-06-01T10:20:30Z, or "
            "the path of a STAC item (.json)"
        ) from error


def _parsed(text: str) -> date:
    """A date, or a time if the text has one."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return datetime.fromisoformat(text)


def _given(value: date, source: str = "the caller") -> SceneDate:
    if not isinstance(value, datetime):
        return SceneDate(datetime(value.year, value.month, value.day, tzinfo=UTC), False, source)
    return SceneDate(value if value.tzinfo else value.replace(tzinfo=UTC), True, source)


def _date_of_item(path: Path) -> SceneDate:
    item = read_json(path)
    properties = item.get("properties") if isinstance(item, dict) else None
    properties = properties if isinstance(properties, dict) else {}
    # an interval is written beside a datetime of null
    text = properties.get("datetime") or properties.get("start_datetime")
    try:
        return _given(datetime.fromisoformat(str(text)), f"the STAC item {path.name}")
    except ValueError as error:
        raise DataError(
            f"{path} names no time: its properties.datetime is {text!r:.60}; give the date itself"
        ) from error


def _date_of_file(scene: Scene) -> SceneDate:
    """The tag of the acquisition goes before that of the file, which may be when it was written."""
    if scene.source.handle() is not None:
        return SceneDate()
    with gdal_settings(), read_errors(scene.source), open_dataset(scene.source) as dataset:
        scene_time = dataset.tags(ns="IMAGERY").get("ACQUISITIONDATETIME", "")
        file_time = dataset.tags().get("TIFFTAG_DATETIME", "")
    moment = _moment_of_tag(scene_time)
    if moment is not None:
        return SceneDate(moment, True, "the tag ACQUISITIONDATETIME")
    moment = _moment_of_tag(file_time)
    if moment is None:
        return SceneDate()
    has_time = moment.time().isoformat() != "00:00:00"
    return SceneDate(
        moment,
        has_time,
        "the tag TIFFTAG_DATETIME",
        f"the date {moment.date().isoformat()} of {scene.path} is that of its tag "
        "TIFFTAG_DATETIME, which may be when the file was written",
    )


def _moment_of_tag(value: Any) -> datetime | None:
    """A time out of a tag, of which nothing else is let through."""
    text = str(value).strip()[:40]
    match = _TIFF.match(text)
    if match:
        text = "{}-{}-{}T{}".format(*match.groups())
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
