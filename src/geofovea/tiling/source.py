"""What a name may open: local raster files of four formats, unless a policy allows more.

GDAL treats a name as a small language: it can mean a web address, an archive member, a page of a
file, or inline XML that reads any other file. A scene comes from somebody else, so the name is
decided here, before GDAL sees it, and the file is opened by the one driver its first bytes ask for.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from geofovea.errors import SceneNotFoundError, SceneReadError, SceneRefusedError

__all__ = ["Source", "SourcePolicy", "resolve_source"]

ALLOWED_FORMATS = "GeoTIFF/COG, PNG, JPEG, JPEG 2000"

_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DRIVER_BY_MAGIC = (
    *((magic, "GTiff") for magic in _TIFF_MAGIC),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
)
_DRIVER_BY_SUFFIX = {
    ".vrt": "VRT",
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jp2": "JP2OpenJPEG",
    ".j2k": "JP2OpenJPEG",
}
# GDAL returns the pixels of a file that was cut short without an error in these two formats.
_END_MARK = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_HEAD_BYTES = 1024  # where GDAL looks for "<VRTDataset"
_TAIL_BYTES = 65536  # cameras append trailers after the end mark
_SUBDATASET = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """What may be opened besides local raster files.

    Attributes:
        allow_vrt: Open GDAL virtual rasters. They can read any file that this process can read.
        allow_remote: Open URLs and ``/vsi`` names. They make GDAL use the network.
    """

    allow_vrt: bool = False
    allow_remote: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """A name that was found safe to open, and the only driver that may open it.

    Attributes:
        path: Absolute path of a file, or the name as given where the policy allowed more.
        driver: GDAL driver name.
        size_bytes: Size of the file; 0 where the name is not a local file.
        mtime_ns: Modification time in nanoseconds; 0 where the name is not a local file.
    """

    path: str
    driver: str
    size_bytes: int = 0
    mtime_ns: int = 0

    @property
    def identity(self) -> str:
        """A key for caches that changes when the file does."""
        return f"{self.path}|{self.size_bytes}|{self.mtime_ns}"

    @property
    def is_current(self) -> bool:
        """Whether the file is still the one that was found; always true for other names."""
        if self.size_bytes == 0:
            return True
        try:
            status = Path(self.path).stat()
        except OSError:
            return False
        return (status.st_size, status.st_mtime_ns) == (self.size_bytes, self.mtime_ns)


def resolve_source(path: str | os.PathLike[str], policy: SourcePolicy | None = None) -> Source:
    """Decide whether a name may be opened, and by which driver.

    Args:
        path: A local file, or with the right policy a URL, a ``/vsi`` name or inline VRT XML.
        policy: What is allowed; by default local raster files only.

    Returns:
        The source, with an absolute path if it is a local file.

    Raises:
        SceneNotFoundError: If there is no regular file of that name.
        SceneRefusedError: If the name or the format is not allowed.
        SceneReadError: If a PNG or JPEG ends before its end mark, or the file cannot be opened.
    """
    policy = policy or SourcePolicy()
    name = os.fspath(path)
    if name.lstrip().startswith("<"):
        _require_vrt(policy, "inline XML")
        return Source(name, "VRT")
    if "://" in name or name.startswith("/vsi") or str(Path(name).absolute()).startswith("/vsi"):
        return _resolve_remote(name, policy)
    if _SUBDATASET.match(name):
        raise SceneRefusedError(
            f"{name!r} looks like a GDAL subdataset or driver prefix, which is never opened; copy "
            f"the part you need into its own file with gdal_translate, or write ./{name} if it is "
            "a file"
        )
    return _resolve_file(name, policy)


def _require_vrt(policy: SourcePolicy, what: str) -> None:
    if not policy.allow_vrt:
        raise SceneRefusedError(
            f"{what} is a GDAL virtual raster, which can read any file on this machine; pass "
            f"allow_vrt=True if you trust it, or give one of: {ALLOWED_FORMATS}"
        )


def _resolve_remote(name: str, policy: SourcePolicy) -> Source:
    if not policy.allow_remote:
        raise SceneRefusedError(
            f"{name!r} is a remote or virtual file name; pass allow_remote=True if you trust it, "
            "or download the file and give its path"
        )
    # The first bytes are not at hand, so the name chooses the one driver.
    suffix = Path(name.split("?", 1)[0]).suffix.lower()
    driver = _DRIVER_BY_SUFFIX.get(suffix, "GTiff")
    if driver == "VRT":
        _require_vrt(policy, repr(name))
    return Source(name, driver)


def _resolve_file(name: str, policy: SourcePolicy) -> Source:
    try:
        status = Path(name).stat()
    except (OSError, ValueError) as error:
        raise SceneNotFoundError(
            f"there is no file {name!r} ({getattr(error, 'strerror', None) or error}); check the "
            "path"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise SceneNotFoundError(f"{name!r} is {kind}; give the path of one raster file")
    try:
        with Path(name).open("rb") as file:
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, status.st_size - _TAIL_BYTES))
            tail = file.read(_TAIL_BYTES)
    except OSError as error:
        raise SceneReadError(
            f"{name!r} could not be opened: {error.strerror}; check its permissions"
        ) from error
    driver = _sniff(name, head, policy)
    if driver in _END_MARK and _END_MARK[driver] not in tail:
        raise SceneReadError(
            f"{name!r} could not be read: the {driver} ends before its end mark, so it was cut "
            "short; copy or download it again"
        )
    for suffix in (".ovr", ".OVR", ".msk", ".MSK"):
        _check_companion(name + suffix)
    return Source(str(Path(name).absolute()), driver, status.st_size, status.st_mtime_ns)


def _sniff(name: str, head: bytes, policy: SourcePolicy) -> str:
    if name.lower().endswith(".vrt"):
        _require_vrt(policy, repr(name))
    for magic, driver in _DRIVER_BY_MAGIC:
        if head.startswith(magic):
            return driver
    if b"<VRTDataset" in head:
        _require_vrt(policy, repr(name))
        return "VRT"
    what = "is empty" if not head else "is in no format that is opened"
    raise SceneRefusedError(
        f"{name!r} {what}; allowed are {ALLOWED_FORMATS}; convert it with gdal_translate"
    )


def _check_companion(name: str) -> None:
    # GDAL opens overviews and masks beside a file with any driver, so a virtual raster called
    # scene.tif.ovr would put the pixels of another file into every coarse tile.
    companion = Path(name)
    if companion.is_file():
        with companion.open("rb") as file:
            head = file.read(4)
        if not head.startswith(_TIFF_MAGIC):
            raise SceneRefusedError(
                f"{name!r} would be read along with the scene but is not a TIFF; remove it, or "
                "build it again with gdaladdo"
            )
