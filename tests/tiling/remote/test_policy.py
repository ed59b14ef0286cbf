"""Which hosts are asked: none that nobody allowed."""

import pytest
from range_server import LOOPBACK, descend, open_far, serving
from rasterio.shutil import copy as copy_raster

from geofovea.errors import SceneReadError, SceneRefusedError
from geofovea.tiling import open_scene
from geofovea.tiling.remote.policy import check_host, remote_object, split_url


@pytest.mark.parametrize(
    ("hosts", "listed"),
    [((), r"\(none\)"), (("example.org",), "example.org"), (("27.0.0.1",), r"27\.0")],
)
def test_a_host_that_is_not_listed_is_never_asked_and_the_message_says_how(served, hosts, listed):
    with pytest.raises(SceneRefusedError, match=listed) as refused:
        open_far(served, hosts=hosts)
    assert "allowed_hosts=('127.0.0.1',)" in str(refused.value)
    assert "allowed_hosts=('127.0.0.1',)" in str(refused.value)
    with pytest.raises(SceneRefusedError, match="allow_remote=True"):
        open_scene(served.url, allowed_hosts=LOOPBACK)
    assert served.requests == []


@pytest.mark.parametrize(
    ("url", "entry", "is_allowed"),
    [
        ("https://example.org/a.tif", "example.org", True),
        ("https://EXAMPLE.org./a.tif", "Example.ORG", True),
        ("https://example.org:8443/a.tif", "example.org", True),
        ("https://example.org:8443/a.tif", "example.org:8443", True),
        ("https://example.org:8444/a.tif", "example.org:8443", False),
        ("https://tiles.example.org/a.tif", "example.org", False),
        ("https://tiles.example.org/a.tif", "*.example.org", True),
        ("https://example.org/a.tif", "*.example.org", False),
        ("https://badexample.org/a.tif", "*.example.org", False),
        ("https://example.org@evil.net/a.tif", "example.org", False),
        ("https://evil.net/example.org", "example.org", False),
        ("https://evil.net#@example.org/a.tif", "example.org", False),
        ("http://[::1]:80/a.tif", "::1", True),
        ("http://[::1]:80/a.tif", "[::1]:80", True),
        ("s3://bucket/a.tif", "s3://bucket", True),
        ("s3://bucket/a.tif", "bucket", False),
        ("https://bucket/a.tif", "s3://bucket", False),
        ("s3://bucket2/a.tif", "s3://bucket", False),
    ],
)
def test_hosts_are_compared_whole(url, entry, is_allowed):
    if is_allowed:
        check_host(split_url(url), (entry,), url)
    else:
        with pytest.raises(SceneRefusedError, match="not among the allowed hosts"):
            check_host(split_url(url), (entry,), url)


@pytest.mark.parametrize(
    "name",
    [
        "ftp://127.0.0.1/scene.tif",
        "file:///etc/passwd",
        "gs://bucket/scene.tif",
        "/vsizip//vsicurl/http://127.0.0.1/scene.zip/scene.tif",
        "/vsicurl?url=http%3A%2F%2F127.0.0.1%2Fscene.tif",
        "/vsimem/scene.tif",
        "/vsisubfile/0_100,/etc/passwd",
        "http:///scene.tif",
        "http://127.0.0.1:port/scene.tif",
        "http://127.0.0.1/a\\b.tif",
        "http://127.0.0.1/a b.tif",
        "http://127.0.0.1/a\r\nX: y",
        "zip+https://127.0.0.1/scene.zip!scene.tif",
    ],
)
def test_only_well_formed_http_and_s3_names_are_far_scenes(name):
    with pytest.raises(SceneRefusedError):
        open_scene(name, allow_remote=True, allowed_hosts=("127.0.0.1", "*.org", "bucket"))


def test_gdals_own_names_for_urls_mean_the_urls():
    object_ = remote_object("/vsicurl/https://example.org/a.tif", ("example.org",))
    assert object_.url == "https://example.org/a.tif"
    assert remote_object("/vsis3/bucket/a.tif", ("s3://bucket",)).url == "s3://bucket/a.tif"


def test_a_trusted_virtual_raster_still_does_not_make_gdal_use_the_network(
    make_raster, texture, tmp_path
):
    inner = make_raster(texture(40, 50), "inner.tif")
    copy_raster(inner, tmp_path / "scene.vrt", driver="VRT")
    with serving(inner.read_bytes()) as server:
        text = (tmp_path / "scene.vrt").read_text()
        text = text.replace("inner.tif", f"/vsicurl/{server.url}").replace('relativeToVRT="1"', "")
        (tmp_path / "scene.vrt").write_text(text)
        with pytest.raises(SceneReadError):
            descend(open_scene(tmp_path / "scene.vrt", allow_vrt=True))
        assert server.headers == []
