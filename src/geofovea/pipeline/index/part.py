"""A file of an index: the vectors of tiles of one level that follow each other in reading order."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from geofovea.errors import DataError
from geofovea.pipeline.index.index_files import no_access
from geofovea.pipeline.index.settings import FORMAT
from geofovea.pipeline.index.vectors import StoredVectors
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.machine.system_errors import reason_of

__all__ = ["Part", "PartName", "read_part", "write_part"]

_NAME = re.compile(r"L(\d{2})-(\d{9})-(\d{1,6})\.safetensors")
_LARGEST_FILE = 1 << 30
_ARRAYS = ("numbers", "scales", "shown", "lonlat")


@dataclass(frozen=True, slots=True, order=True)
class PartName:
    """Which tiles a file is about.

    Attributes:
        level: Their level.
        start: Place of the first one among the tiles of the level, in reading order.
        count: How many.
    """

    level: int
    start: int
    count: int

    @property
    def file(self) -> str:
        """Name of the file."""
        return f"L{self.level:02d}-{self.start:09d}-{self.count}.safetensors"

    @staticmethod
    def of(file: str) -> PartName | None:
        """What the name of a file says; None if it is no part."""
        match = _NAME.fullmatch(file)
        return None if match is None else PartName(*map(int, match.groups()))


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The content of such a file.

    Attributes:
        name: Which tiles.
        vectors: One a tile; zeros for one that shows nothing.
        shown: Share of each tile that shows data, uint8 ``(n,)`` from 0 to 255.
        lonlat: Longitude and latitude of each center in degrees, float64 ``(n, 2)``; NaN where the
            scene has no place on the ground.

    Raises:
        DataError: If the parts do not belong together.
    """

    name: PartName
    vectors: StoredVectors
    shown: NDArray[np.uint8]
    lonlat: NDArray[np.float64]

    def __post_init__(self) -> None:
        count = self.name.count
        if len(self.vectors.numbers) != count or self.shown.shape != (count,):
            raise DataError(f"{self.name.file} does not hold {count} tiles")
        if self.shown.dtype != np.uint8 or self.lonlat.dtype != np.float64:
            raise DataError(f"{self.name.file} holds numbers of other kinds")
        if self.lonlat.shape != (count, 2):
            raise DataError(f"{self.name.file} does not place {count} tiles")


def write_part(folder: Path, part: Part, owner: str) -> int:
    """Write a part whole or not at all; returns its size in bytes.

    Args:
        folder: Of the scene.
        part: What to write.
        owner: What tells the scene, its content and the encoder from others.

    Raises:
        OutputError: If it cannot be written.
    """
    arrays = {
        "numbers": part.vectors.numbers,
        "scales": part.vectors.scales,
        "shown": part.shown,
        "lonlat": part.lonlat,
    }
    check = _check(part.name, owner, arrays)
    content = save({**arrays, "check": check}, {"format": f"geofovea-index-{FORMAT}"})
    write_file(folder / part.name.file, lambda aside: aside.write_bytes(content))
    return len(content)


def read_part(folder: Path, name: PartName, owner: str) -> Part:
    """Read a part; see ``write_part``.

    Raises:
        DataError: If it is damaged, or of another scene or encoder.
    """
    path = folder / name.file
    try:
        status = path.lstat()
        # a pipe keeps a reader waiting, and a device has no end
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST_FILE:
            raise DataError("it is not a regular file of at most 1 GiB")
        arrays = load(path.read_bytes())
        if arrays.keys() != {*_ARRAYS, "check"}:
            raise DataError("it holds other arrays")
        if not np.array_equal(arrays["check"], _check(name, owner, arrays)):
            raise DataError("its checksum is wrong")
        vectors = StoredVectors(arrays["numbers"], arrays["scales"])
        return Part(name, vectors, arrays["shown"], arrays["lonlat"])
    except OSError as error:
        raise no_access(f"the index file {path}", error) from error
    except (DataError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"the index file {path} is damaged ({reason_of(error)}); run geofovea index with "
            "the same scenes and folder, which reads these tiles again, or remove the folder of "
            "this file if the scene is gone"
        ) from error


def _check(name: PartName, owner: str, arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """SHA-256 of a part as bytes, uint8 ``(32,)``."""
    digest = hashlib.sha256(f"{FORMAT}|{owner}|{name.file}".encode(errors="surrogatepass"))
    for key in _ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"|{key} {array.dtype} {array.shape}|".encode())
        digest.update(array.tobytes())
    return np.frombuffer(digest.digest(), np.uint8)
