"""What a file on disk is right now, so that another one under its name is noticed."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import lru_cache

from geofovea.tiling.remote.names import is_remote_name, remote_name

__all__ = [
    "FileGroup",
    "FileStamp",
    "aux_names",
    "scene_identity",
    "side_names",
    "stamp_companions",
    "stamp_of",
]

_SIDE_SUFFIXES = (".ovr", ".OVR", ".msk", ".MSK")
_AUX_SUFFIXES = (".aux", ".AUX")


@dataclass(frozen=True, slots=True)
class FileStamp:
    """A file as the system tells it apart from others.

    Size and modification time can be set by anybody who may write the file. The time of the last
    change of its inode cannot, so a file that was rewritten in place and dressed up as before, or
    moved away and back, still has another stamp.

    Attributes:
        device: Number of the file system.
        inode: Number of the file in it.
        size_bytes: Size.
        mtime_ns: Time of the last change of the content, in nanoseconds.
        ctime_ns: Time of the last change of the inode, in nanoseconds.
    """

    device: int
    inode: int
    size_bytes: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def from_status(cls, status: os.stat_result) -> FileStamp:
        """The stamp in the answer of ``os.stat``."""
        return cls(
            status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
        )


@dataclass(frozen=True, slots=True)
class FileGroup:
    """Some files as they are together.

    Attributes:
        names: Of local files.
        digest: Sum of their stamps.
    """

    names: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, names: tuple[str, ...]) -> FileGroup:
        """The files as they are now; one that is missing is a state like any other."""
        digest = hashlib.sha256()
        for name in names:
            digest.update(f"{name}|{stamp_of(name)};".encode(errors="surrogateescape"))
        return cls(names, digest.hexdigest()[:16])

    @property
    def is_current(self) -> bool:
        """Whether none of them has changed since."""
        return FileGroup.of(self.names) == self


def stamp_of(path: str) -> FileStamp | None:
    """The stamp of whatever has this name now, None if nothing has."""
    try:
        return FileStamp.from_status(os.stat(path))  # noqa: PTH116  (many per read: no Path)
    except (OSError, ValueError):
        return None


def side_names(path: str) -> tuple[str, ...]:
    """Names of the overviews and masks that GDAL looks for beside a file, and beside those."""
    nested = (outer + inner for outer in (".ovr", ".msk") for inner in (".ovr", ".msk"))
    return tuple(path + suffix for suffix in (*_SIDE_SUFFIXES, *nested))


def aux_names(path: str) -> tuple[str, ...]:
    """Names under which GDAL looks for overviews in the files of ERDAS Imagine."""
    stem = os.path.splitext(path)[0]  # noqa: PTH122  (many per read: no Path)
    return tuple(base + suffix for base in (stem, path) for suffix in _AUX_SUFFIXES)


def stamp_companions(path: str) -> tuple[FileStamp | None, ...]:
    """Stamps of all these, None for each that is absent: one that turns up is a change."""
    return tuple(map(stamp_of, _companion_names(path)))


@lru_cache(maxsize=256)  # each read asks
def _companion_names(path: str) -> tuple[str, ...]:
    return (*side_names(path), *aux_names(path))


def scene_identity(name: str) -> str:
    """What tells the present content of a scene from another, without opening it.

    It is the path with size and time of the file and of what GDAL reads along with it. The numbers
    of inodes and devices, which ``Scene.identity`` has too, change when a disk is mounted again,
    and a journal outlives that. Far-away scenes are told apart by name alone, that is without
    passwords and signatures, which change while the scene does not.
    """
    if is_remote_name(name):
        return remote_name(name)
    path = os.path.abspath(name)  # noqa: PTH100  (as written: links may point elsewhere tomorrow)
    stamps = [stamp_of(each) for each in (path, *side_names(path), *aux_names(path))]
    parts = [f"{stamp.size_bytes},{stamp.mtime_ns}" if stamp else "" for stamp in stamps]
    return "|".join((path, *parts)).rstrip("|")
