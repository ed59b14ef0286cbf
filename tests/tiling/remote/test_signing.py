"""Names of buckets become signed URLs."""

import pytest

from geofovea.tiling.remote.policy import split_url
from geofovea.tiling.remote.signing import signed_url


def test_s3_names_need_boto3_and_become_signed_urls(monkeypatch):
    pytest.importorskip("boto3", reason="boto3 is an extra: geofovea[s3]")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    signed = signed_url("s3://bucket/folder/scene.tif")
    assert split_url(signed).scheme == "https"
    assert "bucket" in signed
    assert "Signature=" in signed
    assert signed_url("https://example.org/a.tif") == "https://example.org/a.tif"
