"""A scene of an index: its name, its size, and what its file was when it was read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from geofovea.errors import DataError, GeometryError
from geofovea.tiling.files.source import split_page
from geofovea.tiling.files.stamp import scene_identity, stamp_of
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.remote.names import is_remote_name, remote_name

__all__ = ["IndexedScene", "SceneState", "identity_of", "key_of", "lasting_name"]

SceneState = Literal["current", "changed", "missing"]
_NAME_DIGITS = 20


@dataclass(frozen=True, slots=True)
class IndexedScene:
    """One scene of an index.

    Attributes:
        name: Absolute path or page of a file, or a URL without secrets.
        identity: What told its content from another when it was read.
        width: Native width in pixels.
        height: Native height in pixels.
        tile_size: Side of a tile in level pixels.
        levels: The levels that the index is to hold, finest first.

    Raises:
        GeometryError: If a size is impossible or there is no such level.
    """

    name: str
    identity: str
    width: int
    height: int
    tile_size: int
    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        top = self.pyramid.top_level
        if not self.levels or not all(0 <= level <= top for level in self.levels):
            raise GeometryError(
                f"levels={','.join(map(str, self.levels))} do not fit {self.name}, which has the "
                f"levels 0 to {top}"
            )

    @property
    def key(self) -> str:
        """What its folder is called."""
        return key_of(self.name)

    @property
    def pyramid(self) -> Pyramid:
        """Its levels and tiles."""
        return Pyramid(self.width, self.height, self.tile_size)

    @property
    def content(self) -> str:
        """What its identity says beside its name: a file keeps it when it is renamed.

        It is the page with the sizes and times of the file and of those beside it.
        """
        if is_remote_name(self.name):
            return self.identity
        page, path = split_page(self.name)
        return f"{page}|{self.identity.removeprefix(f'{page}|{path}|')}"

    @property
    def present_content(self) -> str:
        """What ``content`` would be, were the file read as it is now."""
        return replace(self, identity=identity_of(self.name)).content

    @property
    def state(self) -> SceneState:
        """Whether the file is still what was read; far-away scenes are taken to be."""
        if is_remote_name(self.name):
            return "current"
        if stamp_of(split_page(self.name)[1]) is None:
            return "missing"
        return "current" if identity_of(self.name) == self.identity else "changed"

    def tile_count(self, level: int) -> int:
        """Tiles of a level."""
        rows, cols = self.pyramid.grid_shape(level)
        return rows * cols

    @property
    def check(self) -> str:
        """A sum of all that is known: a wrong digit in a size would put tiles elsewhere."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_record(self) -> dict[str, Any]:
        """As JSON can say it."""
        return asdict(self) | {"check": self.check}

    @staticmethod
    def from_record(record: Mapping[str, Any]) -> IndexedScene:
        """What ``to_record`` wrote.

        Raises:
            DataError: If it is something else.
        """
        try:
            if not isinstance(record, Mapping):
                raise DataError("the record of a scene has no names")
            numbers = {name: record[name] for name in ("width", "height", "tile_size")}
            levels = tuple(record["levels"])
            if not all(type(number) is int for number in (*numbers.values(), *levels)):
                raise DataError("a size or a level is not a whole number")
            name, identity = record["name"], record["identity"]
            if not isinstance(name, str) or not isinstance(identity, str):
                raise DataError("the name is not text")
            scene = IndexedScene(name, identity, **numbers, levels=levels)
            # earlier versions wrote none
            if record.get("check", scene.check) != scene.check:
                raise DataError("its checksum is wrong")
            return scene
        except (KeyError, TypeError, GeometryError) as error:
            raise DataError(f"the record of a scene cannot be read: {error}") from error


def key_of(name: str) -> str:
    """What the folder of a scene is called."""
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_NAME_DIGITS]


def lasting_name(name: str) -> str:
    """The name of a scene that means the same in any working folder, without secrets."""
    if is_remote_name(name):
        return remote_name(name)
    page, file = split_page(name)
    path = os.path.abspath(file)  # noqa: PTH100  (as written: links may point elsewhere tomorrow)
    return path if page == 0 else f"GTIFF_DIR:{page}:{path}"


def identity_of(name: str) -> str:
    """What tells the present content of a scene from another, without opening it."""
    if is_remote_name(name):
        return remote_name(name)
    page, file = split_page(name)
    return f"{page}|{scene_identity(file)}"
