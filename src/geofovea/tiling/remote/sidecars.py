"""Files beside a far-away scene: masks, overviews and world files, as GDAL finds them on a disk.

Each is asked for by its name, on the hosts that are allowed for the scene. That a server has none
is the usual case.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

import affine

from geofovea.tiling.remote.names import redacted
from geofovea.tiling.remote.policy import RemoteObject
from geofovea.tiling.remote.ranges import probe_beside

__all__ = ["SIDE_SUFFIXES", "find_sides", "read_world_file"]

SIDE_SUFFIXES = (".msk", ".ovr")
"""What GDAL looks for beside a raster: a mask and overviews, and the same beside each of them."""

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_WORLD_FILE_BYTES = 4096

Transform = tuple[float, float, float, float, float, float]


def find_sides(remote: RemoteObject) -> tuple[tuple[str, RemoteObject], ...]:
    """The masks and overviews beside a far-away raster, by what is added to its name.

    Raises:
        SceneReadError: If the server fails, so that nobody can say whether they are there.
    """
    sides: list[tuple[str, RemoteObject]] = []
    for outer in SIDE_SUFFIXES:
        side = _side(remote, outer)
        if side is None:
            continue
        sides.append((outer, side))
        inner = SIDE_SUFFIXES[1 - SIDE_SUFFIXES.index(outer)]
        nested = _side(remote, outer + inner)
        if nested is not None:
            sides.append((outer + inner, nested))
    return tuple(sides)


def _side(remote: RemoteObject, suffix: str) -> RemoteObject | None:
    parts = urlsplit(remote.url)
    reply = _look(remote, parts.path + suffix)
    if reply is None:
        return None
    side, head = reply
    # a server may answer every name with a page, or with the scene itself
    is_scene = (side.size_bytes, side.validators) == (remote.size_bytes, remote.validators)
    return side if head.startswith(_TIFF_MAGIC) and not is_scene else None


def _look(remote: RemoteObject, path: str) -> tuple[RemoteObject, bytes] | None:
    url = urlunsplit(urlsplit(remote.url)._replace(path=path))
    return probe_beside(
        replace(remote, url=url, display_name=redacted(url), size_bytes=0, validators=("", ""))
    )


def read_world_file(remote: RemoteObject) -> Transform | None:
    """The affine in the world file beside a far-away raster; None where there is none.

    It is called as GDAL expects it: ``scene.tfw`` for ``scene.tif``, or ``scene.wld``.

    Raises:
        SceneReadError: If the server fails.
    """
    path = PurePosixPath(urlsplit(remote.url).path)
    extension = path.suffix[1:]
    last = "W" if extension.isupper() else "w"
    names = [f".{extension[0]}{extension[-1]}{last}"] if len(extension) > 1 else []
    for suffix in (*names, ".wld"):
        reply = _look(remote, str(path.with_suffix(suffix)))
        if reply is not None:
            transform = _parsed(reply[1][:_WORLD_FILE_BYTES])
            if transform is not None:
                return transform
    return None


def _parsed(content: bytes) -> Transform | None:
    try:
        a, b, c, d, e, f = (float(v) for v in affine.loadsw(content.decode("ascii"))[:6])
    except ValueError:
        return None
    is_usable = all(map(math.isfinite, (a, b, c, d, e, f))) and a * e - b * d != 0
    return (a, b, c, d, e, f) if is_usable else None
