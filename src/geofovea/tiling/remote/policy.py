"""Remote files: which host a name means, and whether it may be contacted.

A URL can carry a password or a signature. So people, logs and answers see its ``remote_name``, and
the whole one stays inside ``RemoteObject``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from geofovea.errors import SceneRefusedError
from geofovea.tiling.remote.names import plain_url, redacted, remote_name

__all__ = [
    "RemoteObject",
    "check_host",
    "remote_object",
    "split_url",
]

_SCHEMES = ("http", "https", "s3")


@dataclass(frozen=True, slots=True)
class RemoteObject:
    """A file on a server, as it was when it was found.

    Attributes:
        url: The whole URL, secrets included; never shown.
        display_name: Its ``remote_name``: the URL without password, query and fragment.
        allowed_hosts: Hosts that may be asked for it.
        size_bytes: Its size; 0 before it was found.
        validators: What the server said to tell versions apart: entity tag and modification time.
    """

    url: str = field(repr=False)
    display_name: str
    allowed_hosts: tuple[str, ...]
    size_bytes: int = 0
    validators: tuple[str, str] = ("", "")

    @property
    def identity(self) -> str:
        """A key that changes when the server says that the file did."""
        # by its name: whoever signs the URL anew, or asks with another password, gets the same file
        return "|".join((self.display_name, str(self.size_bytes), *self.validators))


def remote_object(name: str, allowed_hosts: Sequence[str]) -> RemoteObject:
    """The object that a name means, if its host may be asked.

    Args:
        name: ``http://``, ``https://`` or ``s3://``; ``/vsicurl/http...`` and ``/vsis3/...`` mean
            the same to us as without the prefix.
        allowed_hosts: See ``SourcePolicy``.

    Raises:
        SceneRefusedError: If the name is of another kind or its host is not allowed.
    """
    url = plain_url(name)
    parts = split_url(url)
    hosts = tuple(host.strip() for host in allowed_hosts)
    check_host(parts, hosts, redacted(url))
    return RemoteObject(url, remote_name(url), hosts)


def host_of(name: str) -> str:
    """What would have to be among the allowed hosts for a name to be opened.

    Raises:
        SceneRefusedError: If the name is of a kind that is never opened.
    """
    parts = split_url(plain_url(name))
    return _host_key(parts)


def _host_key(parts: SplitResult) -> str:
    host = (parts.hostname or "").rstrip(".").lower()
    return f"s3://{host}" if parts.scheme == "s3" else host


def _parts_of(url: str) -> SplitResult | None:
    """The parts of a URL; None if it is not well formed."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and (parts.port or 1) > 0 else None
    except ValueError:
        return None


def split_url(url: str) -> SplitResult:
    """The parts of a URL that can be asked for.

    Raises:
        SceneRefusedError: If it is of another kind or not well formed.
    """
    public_url = redacted(url)
    parts = _parts_of(url)
    if parts is None or parts.scheme not in _SCHEMES:
        raise SceneRefusedError(
            f"{public_url!r} cannot be opened over the network; give an http://, https:// or s3:// "
            "URL, or download the file and give its path"
        )
    if not url.isascii() or re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise SceneRefusedError(
            f"{public_url!r} has characters that a URL cannot have; percent-encode them"
        )
    return parts


def check_host(parts: SplitResult, allowed_hosts: Sequence[str], public_url: str) -> None:
    """Refuse a URL whose host is not in the list.

    Raises:
        SceneRefusedError: With what to add to the list.
    """
    host = _host_key(parts)
    if not any(_matches(host, parts.port, entry.lower()) for entry in allowed_hosts):
        listed = ", ".join(allowed_hosts) or "none"
        raise SceneRefusedError(
            f"{public_url!r} is on {host!r}, which is not among the allowed hosts ({listed}); pass "
            f"allowed_hosts=({host!r},) if you trust it"
        )


def _matches(host: str, port: int | None, entry: str) -> bool:
    if entry.startswith("s3://"):
        return host == entry.rstrip("/")
    if entry.startswith("*."):
        return host.endswith(entry[1:]) and "/" not in host
    if host == entry or f"[{host}]" == entry:
        return True
    return port is not None and entry in (f"{host}:{port}", f"[{host}]:{port}")
