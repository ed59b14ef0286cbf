"""What is no scene is called by its name, and the advice can be followed."""

import bz2
import gzip
import io
import json
import lzma
import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import rasterio
import xarray as xr
from PIL import Image

from geofovea.errors import SceneError, SceneNotFoundError, SceneRefusedError
from geofovea.tiling import open_scene

PAGE = b'<!DOCTYPE html>\n<html lang="en"><head><title>Sign in</title></head></html>'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
S3 = b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'


def picture(kind):
    out = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), "u1")).save(out, kind)
    return out.getvalue()


def packed(kind):
    out = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("a.tif", b"II*\0")
    else:
        with tarfile.open(fileobj=out, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("a.tif"))
    return out.getvalue()


FILES = {
    "a git-LFS pointer": (LFS, "git lfs pull"),
    "a git-annex pointer": (b"/annex/objects/SHA256E-s5--0.tif\n", "git annex get"),
    "a sign-in page": (PAGE, "web page.*download"),
    "a page after a mark": (b"\xef\xbb\xbf\n" + PAGE, "web page.*download"),
    "an error of S3": (S3, "XML.*download"),
    "an error of an API": (json.dumps({"message": "Forbidden"}).encode(), "JSON.*download"),
    "zip": (packed("zip"), "zip archive; extract"),
    "tar": (packed("tar"), "tar archive; extract"),
    "gzip": (gzip.compress(b"II*\0"), "gzip; extract"),
    "bzip2": (bz2.compress(b"II*\0"), "bzip2; extract"),
    "xz": (lzma.compress(b"II*\0"), "xz; extract"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(100), "xarray.*subdataset"),
    "HDF5 after a block": (bytes(512) + b"\x89HDF\r\n\x1a\n", "HDF5.*xarray.*subdataset"),
    "metadata of Zarr": (b'{\n "zarr_format": 2\n}', r"describes a Zarr store.*open_zarr\(FOLDER"),
    "netCDF": (b"CDF\x01" + bytes(100), "xarray.*subdataset"),
    "GRIB": (b"GRIB" + bytes(100), "xarray.*subdataset"),
    "PDF": (b"%PDF-1.7", "PDF.*export"),
    "GIF": (picture("GIF"), "GIF.*gdal_translate"),
    "BMP": (picture("BMP"), "BMP.*gdal_translate"),
    "WebP": (picture("WEBP"), "WebP.*gdal_translate"),
    "nothing": (b"", "empty.*supported formats: GeoTIFF"),
    "noise": (bytes(range(1, 200)), "no format that is opened.*supported formats: GeoTIFF"),
}


@pytest.mark.parametrize("what", FILES)
def test_a_file_that_is_no_scene_is_called_by_its_name(what, tmp_path):
    content, words = FILES[what]
    (tmp_path / "scene.tif").write_bytes(content)
    with pytest.raises(SceneRefusedError, match=words):
        open_scene(tmp_path / "scene.tif")


@pytest.mark.parametrize("mark", [".zgroup", "zarr.json", ".zmetadata"])
def test_a_zarr_store_is_for_xarray(mark, tmp_path):
    (tmp_path / mark).write_text("{}")
    with pytest.raises(SceneNotFoundError, match="Zarr store; open it with xarray"):
        open_scene(tmp_path)


def test_a_file_url_is_answered_with_the_path_that_opens(make_raster, texture, tmp_path):
    path = tmp_path / "a scene.tif"
    shutil.copy(make_raster(texture(40, 40)), path)
    for prefix in ("file://", "file://localhost", "FILE://"):
        with pytest.raises(SceneRefusedError) as refusal:
            open_scene(prefix + str(path).replace(" ", "%20"), allow_remote=True)
        assert repr(str(path)) in str(refusal.value)
        assert "allow_remote" not in str(refusal.value)
    assert open_scene(path).width == 40


@pytest.mark.parametrize(
    "name",
    [
        *("/vsizip/a.zip/b.tif", "/vsitar/a.tar/b.tif", "/vsigzip/a.tif.gz", "/vsi7z/a.7z/b.tif"),
        # as rasterio writes them
        *("zip://a.zip!b.tif", "zip+https://example.org/a.zip!b.tif", "TAR:///data/a.tar!b.tif"),
    ],
)
@pytest.mark.parametrize("allow_remote", [True, False])
def test_a_member_of_an_archive_is_to_be_extracted(name, allow_remote):
    with pytest.raises(SceneRefusedError, match="extract it") as refusal:
        open_scene(name, allow_remote=allow_remote)
    assert "allow_remote" not in str(refusal.value)


@pytest.mark.parametrize("name", ["/vsimem/a.tif", "gs://bucket/a.tif", "ftp://example.org/a.tif"])
def test_a_name_that_is_never_opened_is_not_said_to_need_a_permission(name):
    with pytest.raises(SceneRefusedError, match="http://, https:// or s3://") as refusal:
        open_scene(name)
    assert "allow_remote" not in str(refusal.value)


def test_a_codec_that_gdal_lacks_is_no_damage(tmp_path):
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", **profile, compress="deflate", crs="EPSG:32633",
                       transform=rasterio.Affine(1, 0, 5e5, 0, -1, 5e6)) as file:  # fmt: skip
        file.write(np.ones((1, 64, 64), "u1"))
    content = bytearray(path.read_bytes())
    start = int.from_bytes(content[4:8], "little")
    for entry in range(start + 2, len(content) - 12, 12):
        if content[entry : entry + 2] == (259).to_bytes(2, "little"):
            content[entry + 8 : entry + 10] = (65000).to_bytes(2, "little")
            break
    path.write_bytes(content)
    with pytest.raises(SceneError, match="lacks the codec") as failure:
        open_scene(path)
    assert "damaged" not in str(failure.value)


def test_the_advice_on_dimensions_can_be_followed():
    array = xr.DataArray(np.ones((9, 8), "u1"), dims=("nj", "ni"))
    with pytest.raises(SceneError, match="rename") as refusal:
        open_scene(array)
    code = str(refusal.value).partition("with rename")[2]
    renamed = array.rename(json.loads(code.strip("()").replace("'", '"')))
    assert open_scene(renamed).width == 8
