"""What a name may open: local raster files of the ``formats``, unless a policy allows more.

GDAL treats a name as a small language: it can mean a web address, an archive member, a page of a
file, or inline XML that reads any other file. A scene comes from somebody else, so the name is
decided here, before GDAL sees it, and the file is opened by the one driver its first bytes ask for.
Remote files are read through ``ranges``, never through GDAL's own network code.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from geofovea._arguments import check_flag, shown
from geofovea.errors import (
    SceneChangedError,
    SceneNotFoundError,
    SceneReadError,
    SceneRefusedError,
)
from geofovea.tiling.files.foreign_files import advice_on_bytes, advice_on_folder, advice_on_name
from geofovea.tiling.files.formats import ALLOWED_FORMATS, FORMATS
from geofovea.tiling.files.stamp import (
    FileGroup,
    FileStamp,
    aux_names,
    side_names,
    stamp_companions,
    stamp_of,
)
from geofovea.tiling.machine.system_errors import advice_on_process, reason_of
from geofovea.tiling.remote.names import is_remote_name, redacted, without_secrets
from geofovea.tiling.remote.policy import RemoteObject, host_of, remote_object
from geofovea.tiling.remote.ranges import probe
from geofovea.tiling.remote.sidecars import find_sides

__all__ = ["Source", "SourcePolicy", "resolve_source", "split_page"]

_TIFF_MAGIC = FORMATS["GTiff"].magics
_ENDED = tuple(magic for each in FORMATS.values() if each.end_mark for magic in each.magics)
_IMAGINE_MAGIC = b"EHFA_HEADER_TAG"
_HEAD_BYTES = 1024  # where GDAL looks for "<VRTDataset"
_TAIL_BYTES = 65536  # cameras append trailers after the end mark
_PAGE = re.compile(r"GTIFF_DIR:(\d{1,9}):(.+)", re.IGNORECASE | re.DOTALL)
_SUBDATASET = re.compile(r"[A-Za-z][A-Za-z0-9_]+:")
# a path inside of HDF5 begins with two slashes, as in HDF5:"scene.h5"://band
_QUOTED = re.compile(r'[A-Za-z][A-Za-z0-9_]+:"')


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """What may be opened besides local raster files.

    Attributes:
        allow_vrt: Open GDAL virtual rasters. They can read any file that this process can read.
        allow_remote: Open ``http``, ``https`` and ``s3`` names on the hosts below.
        allowed_hosts: Hosts that may be asked, in the first place and by redirects:
            ``example.org`` (any port), ``example.org:8443``, ``*.example.org`` (names below it),
            ``s3://bucket``. Empty: none.

    Raises:
        SceneRefusedError: If a value cannot be meant.
    """

    allow_vrt: bool = False
    allow_remote: bool = False
    allowed_hosts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("allow_vrt", "allow_remote"):
            check_flag(name, getattr(self, name), SceneRefusedError)
        hosts: object = self.allowed_hosts
        # a text is a list of its letters to Python
        if (
            not isinstance(hosts, Collection)
            or isinstance(hosts, (str, bytes))
            or not all(isinstance(host, str) for host in hosts)
        ):
            raise SceneRefusedError(
                f"allowed_hosts={shown(hosts)} are no hosts; give a list such as ['example.org']"
            )
        object.__setattr__(self, "allowed_hosts", tuple(self.allowed_hosts))


@dataclass(frozen=True, slots=True)
class Source:
    """A name that is safe to open, and the only driver that may open it.

    Attributes:
        path: Absolute path of a file, or a name without secrets where the policy allowed more.
        driver: GDAL driver name.
        size_bytes: Size of the file; 0 where it has none (inline XML).
        mtime_ns: Modification time in nanoseconds; 0 where the name is not a local file.
        stamp: The file that was found, None where the name is not a local file.
        companions: Stamps of what GDAL may read along with it, in the order of ``stamp``'s names.
        remote: Where and what it is, if it is remote.
        sides: The remote files beside it, by the suffix that their names add.
        page: Which page of a TIFF is opened, counted from 1; 0 for the first.
        shown: Files that a virtual raster shows, as they were when it was opened.
        has_exact_masks: Whether its handles know all that is missing, of each band and level.
        nodata_name: What a caller sets to declare a number missing.
    """

    has_exact_masks: ClassVar[bool] = False
    nodata_name: ClassVar[str] = "nodata"

    path: str
    driver: str
    size_bytes: int = 0
    mtime_ns: int = 0
    stamp: FileStamp | None = None
    companions: tuple[FileStamp | None, ...] = ()
    remote: RemoteObject | None = None
    page: int = 0
    sides: tuple[tuple[str, RemoteObject], ...] = ()
    shown: FileGroup | None = None

    def handle(self, overview_level: int | None = None) -> Any:  # noqa: ARG002
        """What reads the native image, or an overview by its index; None where GDAL does."""
        return None

    @property
    def gdal_name(self) -> str:
        """The name that GDAL opens the file, or a page of it, by."""
        # a first page that is opened as such has no overviews
        return f"GTIFF_DIR:{self.page}:{self.path}" if self.page > 1 else self.path

    @property
    def identity(self) -> str:
        """A key for caches that changes when the file, or what belongs to it, does."""
        parts: tuple[object, ...] = (self.size_bytes, self.mtime_ns)
        if self.stamp is not None:
            parts += (self.stamp.device, self.stamp.inode, self.stamp.ctime_ns)
        if any(self.companions):
            parts += (_digest(repr(self.companions)),)
        if self.page:
            parts += (f"page {self.page}",)
        if self.remote is not None:
            beside = [f"{suffix}|{side.identity}" for suffix, side in self.sides]
            parts += (_digest("|".join((self.remote.identity, *beside))),)
        if self.shown is not None:
            parts += (self.shown.digest,)
        return "|".join((self.path, *map(str, parts)))

    @property
    def is_current(self) -> bool:
        """Whether the file, and what it shows, is still what was found; true for other names.

        What is far away is compared with every reply of its server instead.
        """
        if self.shown is not None and not self.shown.is_current:
            return False
        if self.stamp is None:
            return True
        return stamp_of(self.path) == self.stamp and stamp_companions(self.path) == self.companions


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def resolve_source(path: str | os.PathLike[str], policy: SourcePolicy | None = None) -> Source:
    """Decide whether a name may be opened, and by which driver.

    Args:
        path: A local file, a page of a TIFF (``GTIFF_DIR:2:scene.tif``), or with the right policy a
            URL or inline VRT XML.
        policy: What is allowed; by default local raster files only.

    Returns:
        The source, with an absolute path if it is a local file.

    Raises:
        SceneNotFoundError: If there is no regular file of that name.
        SceneRefusedError: If the name, the host or the format is not allowed.
        SceneReadError: If a PNG or JPEG ends before its end mark, the file cannot be opened, or a
            server does not serve it in ranges.
    """
    policy = policy or SourcePolicy()
    name = os.fspath(path)
    if name.lstrip().startswith("<"):
        _require_vrt(policy, "inline XML")
        return Source(name, "VRT")
    if advice := advice_on_name(name):
        raise SceneRefusedError(f"{redacted(name)!r} {advice}")
    page, name = split_page(name)
    if page and is_remote_name(name):
        raise SceneRefusedError(
            f"a page of {redacted(name)!r} cannot be opened over the network; download the file, "
            f"and give GTIFF_DIR:{page}:PATH"
        )
    if is_remote_name(name) and not _QUOTED.match(name):
        return _resolve_remote(name, policy)
    if _SUBDATASET.match(name):
        raise SceneRefusedError(
            f"{without_secrets(name)!r} looks like a GDAL subdataset or driver prefix, which is "
            "never opened; copy the part you need into its own file with gdal_translate, or write "
            f"./{without_secrets(name)} if it is a file"
        )
    source = _resolve_file(name, policy)
    if page and source.driver != "GTiff":
        raise SceneRefusedError(f"{name!r} is not a TIFF, so it has no page {page}; give {name!r}")
    return replace(source, page=page)


def split_page(name: str) -> tuple[int, str]:
    """The page of a TIFF and the file that ``GTIFF_DIR:2:scene.tif`` means; 0 for other names."""
    match = _PAGE.fullmatch(name)
    return (int(match[1]), match[2]) if match and int(match[1]) else (0, name)


def _require_vrt(policy: SourcePolicy, what: str) -> None:
    if not policy.allow_vrt:
        raise SceneRefusedError(
            f"{what} is a GDAL virtual raster, which can read any file on this machine; pass "
            "allow_vrt=True to geofovea.open_scene if you trust it, or give one of: "
            f"{ALLOWED_FORMATS}"
        )


def _resolve_remote(name: str, policy: SourcePolicy) -> Source:
    if not policy.allow_remote:
        # says which host, once it is known that the name can be opened at all
        host = host_of(name)
        raise SceneRefusedError(
            f"{redacted(name)!r} is on another machine; if you trust it, pass "
            f"allow_remote=True and allowed_hosts=({host!r},) to geofovea.open_scene, or download "
            "the file and give its path"
        )
    remote, head, tail = probe(remote_object(name, policy.allowed_hosts), _TAIL_BYTES, _ENDED)
    driver = _sniff(remote.display_name, head, SourcePolicy())
    _check_end(remote.display_name, driver, tail)
    sides = find_sides(remote)
    return Source(remote.display_name, driver, remote.size_bytes, remote=remote, sides=sides)


def _resolve_file(name: str, policy: SourcePolicy) -> Source:
    status = _status_of(name)
    path = str(Path(name).absolute())
    # stamped before anything is looked at: whatever changes from here on is noticed
    stamp, companions = FileStamp.from_status(status), stamp_companions(path)
    head, tail = _ends_of(name, path, stamp, status.st_size)
    driver = _sniff(name, head, policy)
    _check_end(name, driver, tail)
    for side in side_names(path):
        _check_side(side)
    for aux in aux_names(path):
        _check_aux(aux)
    return Source(path, driver, status.st_size, status.st_mtime_ns, stamp, companions)


def _status_of(name: str) -> os.stat_result:
    """What the system says of a regular file."""
    if not name:
        raise SceneNotFoundError(f"the name {name!r} is empty; give the path of one raster file")
    try:
        status = Path(name).stat()
        name.encode()  # GDAL takes names in UTF-8
    except UnicodeEncodeError as error:
        raise SceneNotFoundError(
            f"the name {name!r} is not UTF-8 at character {error.start + 1}; rename the file"
        ) from error
    except (OSError, ValueError) as error:
        raise SceneNotFoundError(
            f"there is no file {name!r} ({reason_of(error)}); check the path"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        advice = "is not a regular file; give the path of one raster file"
        if stat.S_ISDIR(status.st_mode):
            advice = advice_on_folder(Path(name))
        raise SceneNotFoundError(f"{name!r} {advice}")
    return status


def _ends_of(name: str, path: str, stamp: FileStamp, size: int) -> tuple[bytes, bytes]:
    """The first bytes of a file and the last, if it is still the one that was stamped."""
    try:
        # what was swapped for a FIFO since must not make us wait for a writer
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:  # noqa: PTH123  (a descriptor, not a path)
            if FileStamp.from_status(os.fstat(descriptor)) != stamp:
                raise SceneChangedError(
                    f"{name!r} changed while it was being opened; open it again"
                )
            head = file.read(_HEAD_BYTES)
            file.seek(max(0, size - _TAIL_BYTES))
            return head, file.read(_TAIL_BYTES)
    except SceneChangedError:
        raise  # it is an OSError, too
    except OSError as error:
        reason = reason_of(error)
        advice = advice_on_process(reason) or "check its permissions"
        raise SceneReadError(f"{name!r} could not be opened: {reason}; {advice}") from error


def _sniff(name: str, head: bytes, policy: SourcePolicy) -> str:
    if name.lower().endswith(".vrt"):
        _require_vrt(policy, repr(name))
    for driver, each in FORMATS.items():
        if head.startswith(each.magics):
            return driver
    if b"<VRTDataset" in head:
        _require_vrt(policy, repr(name))
        return "VRT"
    advice = advice_on_bytes(head) if head else "is empty; copy or download it again"
    if not advice:
        advice = "is in no format that is opened; if it is a raster, convert it with gdal_translate"
    raise SceneRefusedError(f"{name!r} {advice}; supported formats: {ALLOWED_FORMATS}")


def _check_end(name: str, driver: str, tail: bytes) -> None:
    if driver in FORMATS and FORMATS[driver].end_mark not in tail:
        raise SceneReadError(
            f"{name!r} could not be read: the {driver} ends before its end mark, so it was cut "
            "short; copy or download it again"
        )


def _check_side(name: str) -> None:
    # GDAL opens overviews and masks beside a file with any driver, so a virtual raster called
    # scene.tif.ovr would put the pixels of another file into every coarse tile.
    head = _first_bytes(name)
    if head is not None and not head.startswith(_TIFF_MAGIC):
        raise SceneRefusedError(
            f"{name!r} would be read along with the scene but is not a TIFF; remove it, or "
            "build it again with gdaladdo"
        )


def _check_aux(name: str) -> None:
    # An Imagine file can bring overviews of anything, and name yet other files.
    head = _first_bytes(name)
    if head is not None and head.startswith(_IMAGINE_MAGIC):
        raise SceneRefusedError(
            f"{name!r} would replace the overviews of the scene; move it away, and build overviews "
            "with gdaladdo if the scene has none"
        )


def _first_bytes(name: str) -> bytes | None:
    """The first bytes of what GDAL would open under a name; None where there is nothing."""
    companion = Path(name)
    if not companion.exists():
        return None
    if not companion.is_file():
        return b""
    with companion.open("rb") as file:
        return file.read(len(_IMAGINE_MAGIC))
