"""A far-away file as rasterio opens it: it and what was found beside it, bytes from ``ranges``."""

from __future__ import annotations

import io
from typing import Any

from rasterio.abc import MultiByteRangeResourceContainer

from geofovea.errors import GeoFoveaError, SceneReadError
from geofovea.tiling.files.faults import report_fault
from geofovea.tiling.remote.client import RangeClient
from geofovea.tiling.remote.policy import RemoteObject
from geofovea.tiling.remote.ranges import cached_ranges

__all__ = ["NAME", "RangeFiles"]

NAME = "remote/scene"
"""What GDAL calls every far-away file, so that no URL gets into its messages."""


class _RangeFile:
    """The file object that GDAL reads; it never raises, because GDAL could not pass that on."""

    def __init__(self, client: RangeClient) -> None:
        self._client = client
        self._position = 0

    def __enter__(self) -> _RangeFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; positions past the end are allowed, as for any file."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}
        self._position = max(0, base.get(whence, self._client.remote.size_bytes) + offset)
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Bytes from here; fewer at the end of the file, none after a failure."""
        content = self._get([self._position], [] if size < 0 else [size])[0]
        self._position += len(content)
        return content

    def get_byte_ranges(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        """Several ranges at once; zeros after a failure, which the read then reports."""
        contents = self._get(offsets, sizes)
        return [content.ljust(size, b"\0") for content, size in zip(contents, sizes, strict=True)]

    def _get(self, offsets: list[int], sizes: list[int]) -> list[bytes]:
        try:
            return cached_ranges(self._client, offsets, sizes)
        except GeoFoveaError as error:
            report_fault(error)
        except Exception as error:  # whatever went on into C would be lost there
            name = self._client.remote.display_name
            report_fault(
                SceneReadError(f"{name!r} could not be read: {type(error).__name__}; try again")
            )
        return [b""] * len(offsets)


class RangeFiles(MultiByteRangeResourceContainer):  # type: ignore[misc]  # rasterio has no types
    """What rasterio takes as an opener: a folder with one file, and what was found beside it."""

    def __init__(
        self, remote: RemoteObject, sides: tuple[tuple[str, RemoteObject], ...] = ()
    ) -> None:
        self._files = {NAME: remote, **{NAME + suffix: side for suffix, side in sides}}

    def _checked(self, path: str) -> RemoteObject:
        if path not in self._files:
            raise FileNotFoundError(path)
        return self._files[path]

    def open(self, path: str, mode: str = "rb", **_: Any) -> _RangeFile:
        """The file, at its start."""
        if mode.strip("bt") != "r":
            raise FileNotFoundError(path)
        return _RangeFile(RangeClient(self._checked(path)))

    def isfile(self, path: str) -> bool:
        """Whether there is such a file."""
        return path in self._files

    def isdir(self, _path: str) -> bool:
        """Never."""
        return False

    def ls(self, _path: str) -> list[str]:
        """Nothing: far-away folders are not listed."""
        return []

    def mtime(self, _path: str) -> int:
        """Unknown."""
        return 0

    def rm(self, path: str) -> None:
        """Never removes anything."""
        raise FileNotFoundError(path)

    def size(self, path: str) -> int:
        """In bytes."""
        return self._checked(path).size_bytes
