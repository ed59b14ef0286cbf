"""Turns ``s3://`` names into signed HTTPS URLs, by boto3 and the user's settings."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from geofovea.errors import MissingExtraError, SceneReadError
from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["signed_url"]

_VALID_SECONDS = 3600
_RENEW_SECONDS = 1800

_lock = ForkSafeLock()


def signed_url(url: str) -> str:
    """The URL to ask for: of an ``s3://`` object one that is signed for an hour, else the same.

    Keys, region and endpoint come from where boto3 finds them (environment, profile, role);
    ``AWS_NO_SIGN_REQUEST=YES`` asks for a public object without keys.

    Raises:
        MissingExtraError: If boto3 is not installed.
        SceneReadError: If boto3 finds no keys.
    """
    if not url.startswith("s3://"):
        return url
    with _lock:
        return _presigned(url, int(time.monotonic() // _RENEW_SECONDS), os.getpid())


@lru_cache(maxsize=64)
def _presigned(url: str, period: int, process: int) -> str:
    del period, process  # part of the key: signatures expire, and clients must not cross a fork
    try:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError as error:
        raise MissingExtraError("boto3", "s3", "reading s3:// scenes") from error
    parts = urlsplit(url)
    is_public = os.environ.get("AWS_NO_SIGN_REQUEST", "").upper() in ("YES", "TRUE", "1")
    options: dict[str, Any] = {"signature_version": UNSIGNED if is_public else "s3v4"}
    try:
        client = boto3.client("s3", config=Config(**options))
        where = {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}
        return str(client.generate_presigned_url("get_object", where, ExpiresIn=_VALID_SECONDS))
    except BotoCoreError as error:
        raise SceneReadError(
            f"s3://{parts.netloc}{parts.path} could not be signed: {error}; set up AWS credentials "
            "and region, or AWS_NO_SIGN_REQUEST=YES for a public bucket"
        ) from error
