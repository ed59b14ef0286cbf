"""Names of what is far away, without the secrets that a URL can carry.

The name that people, logs, journals, caches and answers see is made here once. It holds no
password, no query and no fragment. Two URLs that differ in nothing but passwords, signatures and
when these expire have one name, for they lead to one file; where the rest of a query differs, a
digest of it is part of the name.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

__all__ = [
    "doubtful_secrets",
    "is_remote_name",
    "plain_url",
    "redacted",
    "remote_name",
    "without_secrets",
]

_USERINFO = re.compile(r"(:/{1,3})[^/?#]*@")
# of a URL that is part of the path of another one
_QUOTED_USERINFO = re.compile(r"(%3A(?:%2F|/){1,3})(?:(?!%2F)[^/?#])*%40", re.IGNORECASE)
_QUOTED_MARK = re.compile(r"%3F|%23", re.IGNORECASE)
_PATH_PARAMETER = re.compile(r";([^/?#;=]*)=([^/?#;]*)")
_VSI_URL = re.compile(r"^/vsicurl/(?=https?://)")
_VSI_S3 = re.compile(r"^/vsis3/(?=[^/])")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_DIGITS = 12
_DEEPEST = 3

_IN_TEXT = re.compile(
    r"((?:\b[a-z][\w+.-]+:/|/vsi\w+)[^\s?#'\"<>]*)[?#](?!\.\.\.)[^\s'\"<>)]*", re.IGNORECASE
)
_USERINFO_IN_TEXT = re.compile(r"(\b[a-z][\w+.-]+:/{1,3})[^/?#\s]*@", re.IGNORECASE)

# parameters of signatures by provider; what they say of the file is in the path
_SIGNING = ("x-amz-", "x-goog-", "x-oss-", "x-cos-", "x-obs-", "x-ms-", "x-bce-", "q-")
_SECRET_PARTS = (
    *("token", "signature", "secret", "passw", "passphrase", "credential", "authoriz", "sessionid"),
    *("apikey", "accesskey", "accessid", "authkey", "keypairid", "privatekey", "subscriptionkey"),
    *("expires", "expiry", "hdnts", "hdnea"),
)
_SECRET_WORDS = frozenset(
    (
        *("sig", "sign", "key", "pwd", "pw", "auth", "sid", "jwt", "hmac", "cred", "creds"),
        *("nonce", "otp", "sas", "ticket", "cookie", "bearer", "session"),
    )
)
# part of a signature, beside one; they may mean anything where there is none
_BESIDE_SECRETS = frozenset(
    (
        *("se", "sp", "sv", "sr", "st", "ss", "srt", "sip", "spr", "skoid", "sktid", "skt", "ske"),
        *("sks", "skv", "saoid", "suoid", "scid", "sdd", "rscc", "rscd", "rsce", "rscl", "rsct"),
        *("e", "ex", "exp", "is", "hm", "t", "ts", "timestamp", "date", "algorithm"),
        *("hash-algorithm", "policy", "user", "uid"),
    )
)
# those that name a file as often as they hold a secret
_DOUBTFUL = frozenset(("key", "sign", "session", "ticket", "auth", "sid"))
_RASTER = re.compile(r"\.(?:tiff?|png|jpe?g|jp2|j2[kc]|vrt)$", re.IGNORECASE)
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_remote_name(name: str) -> bool:
    """Whether GDAL, or we, would look for a name anywhere but on the local disks."""
    absolute = str(Path(name).absolute()) if "\0" not in name else name
    return "://" in name or name.startswith("/vsi") or absolute.startswith("/vsi")


def plain_url(name: str) -> str:
    """A remote name without the prefixes by which GDAL knows ``http`` and ``s3`` URLs."""
    return _VSI_S3.sub("s3://", _VSI_URL.sub("", name.strip()))


def redacted(name: str) -> str:
    """A remote name without password, query and fragment; little more than "://" if malformed."""
    try:
        _ = urlsplit(name).port
    except ValueError:
        return name.partition("://")[0] + "://..."
    bare = _QUOTED_USERINFO.sub(r"\1", _USERINFO.sub(r"\1", name))
    head, mark, _ = bare.partition("?")
    path, quoted_mark, _ = _split_at_mark(head.partition("#")[0])
    public_path = _PATH_PARAMETER.sub("", path)
    return public_path + ("?..." if mark or quoted_mark or public_path != path else "")


def remote_name(name: str) -> str:
    """The one name of a far-away file, which is also what tells it from others.

    Args:
        name: A URL, perhaps with secrets, or one of GDAL's names for it.

    Returns:
        The URL as in ``redacted``, with a digest of its query where some of that is no secret.
    """
    return _name(plain_url(name), 0)


def doubtful_secrets(name: str) -> dict[str, str]:
    """Parameters of a URL that are left out of its name as secrets and may name a file instead."""
    parameters = list(_parameters(plain_url(name)))
    return {n: v for n, v in parameters if n.lower() in _DOUBTFUL and _is_secret(n, v)}


def without_secrets(text: str) -> str:
    """A text in which every URL has lost its password, query and fragment."""
    return _IN_TEXT.sub(r"\1?...", _USERINFO_IN_TEXT.sub(r"\1", text))


def _name(url: str, depth: int) -> str:
    public_url = redacted(_with_plain_host(url))
    parameters = list(_parameters(url))
    has_secret = any(_is_secret(name, value) for name, value in parameters)
    public = []
    for name, value in parameters:
        if _is_secret(name, value) or (has_secret and name.lower() in _BESIDE_SECRETS):
            continue
        if name.lower().startswith("response-"):
            # how a browser is to show the file
            continue
        if is_remote_name(value):
            value = _name(plain_url(value), depth + 1) if depth < _DEEPEST else ""
        public.append([name, value])
    if not public:
        return public_url
    digest = hashlib.sha256(json.dumps(sorted(public)).encode("utf-8", "surrogatepass")).hexdigest()
    return f"{public_url}~{digest[:_DIGITS]}"


def _with_plain_host(url: str) -> str:
    """A URL whose host is in lower case, without a port that goes without saying."""
    try:
        parts = urlsplit(url)
        host, port = parts.netloc.rpartition("@")[2].lower(), parts.port
    except ValueError:
        return url
    if port is not None and port == _DEFAULT_PORTS.get(parts.scheme):
        host = host.rpartition(":")[0]
    # names of buckets are as they are written
    return parts._replace(netloc=host).geturl() if parts.scheme in _DEFAULT_PORTS else url


def _parameters(url: str) -> Iterator[tuple[str, str]]:
    """Names and values of the query, of one that is quoted in the path, and of path segments."""
    head, _, query = url.partition("#")[0].partition("?")
    path, _, quoted = _split_at_mark(head)
    for text in (query, unquote(quoted)):
        yield from parse_qsl(text, keep_blank_values=True)
    yield from _PATH_PARAMETER.findall(path)


def _split_at_mark(path: str) -> tuple[str, str, str]:
    """A path before and behind a quoted question mark or number sign, and that mark."""
    mark = _QUOTED_MARK.search(path)
    return (path[: mark.start()], mark[0], path[mark.end() :]) if mark else (path, "", "")


def _is_secret(name: str, value: str) -> bool:
    low = name.lower()
    if low.startswith(_SIGNING):
        return True
    joined = re.sub(r"[^a-z0-9]", "", low)
    words = {word.lower() for word in _WORD.findall(name)}
    looks_secret = any(part in joined for part in _SECRET_PARTS) or bool(words & _SECRET_WORDS)
    return looks_secret and not _RASTER.search(value)
