"""What lies beside a far-away scene is read along with it."""

import warnings

import numpy as np
import pytest
import rasterio
from range_server import answer_status, open_far, serve_range, serving
from rasterio.errors import NotGeoreferencedWarning

from geofovea.errors import SceneReadError
from geofovea.tiling import TileReader, open_scene, plan_radiometry


@pytest.fixture
def served_with_sides(tmp_path):
    """A server of a plain TIFF with a mask, overviews and a world file beside it."""
    path = tmp_path / "scene.tif"
    values = np.full((3, 512, 512), 120, np.uint8)
    values[:, :256] = 0
    known = np.where(values[0] > 0, 255, 0).astype(np.uint8)
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 3, "dtype": "uint8"}
    profile |= {"tiled": True, "blockxsize": 64, "blockysize": 64, "photometric": "rgb"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
            rasterio.open(path, "w", **profile) as file,
        ):
            file.write(values)
            file.write_mask(known)
        with rasterio.Env(TIFF_USE_OVR="YES"), rasterio.open(path, "r+") as file:
            file.build_overviews([2, 4])
    (tmp_path / "scene.tfw").write_text("2\n0\n0\n-2\n500001\n4599999\n")
    with serving(path.read_bytes()) as server:
        server.local = path
        for suffix in (".msk", ".ovr"):
            server.sides[suffix] = path.with_name(f"scene.tif{suffix}").read_bytes()
        server.sides[".tfw"] = path.with_suffix(".tfw").read_bytes()
        yield server


def test_what_lies_beside_a_far_scene_is_read_as_on_a_disk(served_with_sides):
    near, far = open_scene(served_with_sides.local), open_far(served_with_sides)
    assert (
        (far.mask_kind, far.overviews) == ("internal", (2, 4)) == (near.mask_kind, near.overviews)
    )
    assert far.transform == near.transform == (2, 0, 500000, 0, -2, 4600000)
    for shape in ((512, 512), (64, 64)):
        both = [
            TileReader(scene, scene.pyramid(64), plan_radiometry(scene)).read_box(scene.box, shape)
            for scene in (near, far)
        ]
        assert (both[0][0] == both[1][0]).all()
        assert (both[0][1] == both[1][1]).all()
        assert both[1][1].mean() == 0.5


def test_a_side_file_that_changes_makes_another_scene(served_with_sides):
    before = open_far(served_with_sides).identity
    served_with_sides.sides[".msk"] += b"\0"
    assert open_far(served_with_sides).identity != before


@pytest.mark.parametrize(
    "content", [b"", b"<html>no such file</html>", b"<VRTDataset/>", "the scene itself"]
)
def test_what_is_no_tiff_beside_a_far_scene_is_nothing(served, content):
    if isinstance(content, str):
        # a server that answers every name with one file
        served.beside_answer = serve_range
    else:
        served.sides = {".msk": content, ".ovr": content, ".tfw": content}
    scene = open_far(served)
    assert scene.source.sides == ()
    assert scene.mask_kind == "none"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_server_that_has_nothing_beside_a_scene_says_so_in_many_ways(served, status):
    served.beside_answer = answer_status(status)
    assert open_far(served).source.sides == ()


def test_a_server_that_fails_beside_a_scene_is_an_error(served):
    served.beside_answer = answer_status(503)
    with pytest.raises(SceneReadError, match=r"scene\.tif\.msk.*503"):
        open_far(served)
