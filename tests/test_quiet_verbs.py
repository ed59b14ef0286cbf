"""No warning of a library reaches a user: each verb runs in a process where a warning ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from programs import VERBS_IN_ONE_PROCESS
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.hosts.load import embedded_model_path

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (embedded_model_path() / "config.json").exists(), reason="no embedded model here"
    ),
]
QUESTION = "How many planes are there?"
# what Python itself or a library says of a warning, wherever it was raised
WARNINGS = ("Warning:", "warnings.warn", "deprecated", "Traceback")
SIDE = 700


def texture(bands=3, dtype="uint8"):
    rng = np.random.default_rng(8)
    top = 255 if dtype == "uint8" else 4000
    return rng.integers(1, top, (bands, SIDE, SIDE)).astype(dtype)


def raster(path, pixels, **profile):
    shape = {"height": SIDE, "width": SIDE, "count": len(pixels), "dtype": pixels.dtype}
    with rasterio.open(path, "w", **({"driver": "GTiff"} | shape | profile)) as file:
        file.write(pixels)
    return path


def synthetic(path):
    write_scene(make_world(3, 2048, 2048), path)
    return path


def picture(path):
    Image.fromarray(texture().transpose(1, 2, 0)).save(path)
    return path


def with_points(path):
    corners = [(0, 0), (0, SIDE), (SIDE, 0), (SIDE, SIDE)]
    points = [GroundControlPoint(r, c, 12 + c / 1e4, 48 - r / 1e4) for r, c in corners]
    return raster(path, texture(), gcps=points, crs="EPSG:4326")


def netcdf(path):
    import xarray as xr

    names = ("band", "y", "x")
    xr.DataArray(texture(), dims=names, name="scene").to_netcdf(path, engine="scipy")
    return path


PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 5e5, 0, -0.5, 5.4e6)}
SCENES = {
    "synthetic COG": ("scene.tif", synthetic),
    "PNG": ("scene.png", picture),
    "JPEG": ("scene.jpg", picture),
    "JPEG 2000": ("scene.jp2", lambda p: raster(p, texture(), driver="JP2OpenJPEG")),
    "striped": ("striped.tif", lambda p: raster(p, texture(), blockysize=8, **PLACE)),
    "16 bits": ("deep.tif", lambda p: raster(p, texture(4, "uint16"), nodata=0, **PLACE)),
    "no georeference": ("bare.tif", lambda p: raster(p, texture(1))),
    "ground control points": ("points.tif", with_points),
}


def run(folder, *args, code=0):
    """Run a verb where every warning is an error; what it printed on both streams."""
    program = "from geofovea.pipeline.cli import main; main()"
    return run_program(folder, program, *args, code=code)


def run_program(folder, program, *args, code=0, given=None):
    env = os.environ | {
        "PYTHONWARNINGS": "error",
        "GEOFOVEA_CACHE_DIR": str(folder / "cache"),
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, args)],
        cwd=folder, env=env, capture_output=True, text=True, check=False, input=given,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert_silent(done.stderr)
    return done.stdout, done.stderr


def assert_silent(text):
    assert not [line for line in text.splitlines() if any(w in line for w in WARNINGS)]


VERBS = {
    "demo": [["demo", "--side", "1024", "--output", "demo"]],
    "evaluation and report": [
        ["synth", "--output", "made", "--side", "1024", "--per-category", "1"],
        ["eval", "synthetic", "--root", "made", "--output", "evaluated", "--limit", "2"],
        ["report", "evaluated"],
    ],
    "distillation": [["distill", "--output", "distilled", "--steps", "1", "--questions", "2"]],
    "training": [
        ["train", "--output", "trained", "--scale", "0.00004", "--batch", "1", "--no-compile"]
    ],
}
MADE = {
    "demo": "demo/8_count.geojson",
    "evaluation and report": "evaluated/report.html",
    "distillation": "distilled/region_focus.safetensors",
    "training": "trained/model/config.json",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("kinds")


@pytest.fixture(scope="module")
def printed(folder):
    """What each verb printed, by its words."""
    verbs = []
    for name, make in SCENES.values():
        make(folder / name)
        verbs += asking(name)
    for words in VERBS.values():
        verbs += words
    out, err = run_program(folder, VERBS_IN_ONE_PROCESS, given=json.dumps(verbs))
    assert not err
    printed = [json.loads(line) for line in out.splitlines()]
    return dict(zip(map(tuple, verbs), printed, strict=True))


def asking(name):
    return [["inspect", name], ["ask", name, QUESTION, "--json", "--tiles", "8"]]


@pytest.mark.parametrize("kind", SCENES)
def test_a_scene_of_each_kind_is_inspected_and_asked_about_in_silence(kind, printed):
    looked_at, asked = (printed[tuple(words)] for words in asking(SCENES[kind][0]))
    for code, _, err in (looked_at, asked):
        assert code == 0, err
        assert_silent(err)
    warnings = json.loads(asked[1])["warnings"]
    # our own words, in the answer, take the place of rasterio's
    assert any("no georeference" in line for line in warnings) is (
        kind in ("PNG", "JPEG", "JPEG 2000", "no georeference")
    )


@pytest.mark.parametrize("work", VERBS)
def test_work_that_leaves_files_runs_in_silence(work, printed, folder):
    for code, _, err in (printed[tuple(words)] for words in VERBS[work]):
        assert code == 0, err
        assert_silent(err)
    assert (folder / MADE[work]).is_file()


def test_a_batch_in_processes_runs_in_silence(tmp_path):
    picture(tmp_path / "a.png")
    rows = [{"scene": "a.png", "question": QUESTION}, {"scene": "a.png", "question": "What is it?"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    executor = ("--executor", "processes", "--workers", "2")
    run(tmp_path, "batch", "rows.jsonl", "--output", "out", *executor)


def test_the_check_sees_a_warning(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.stderr.write('x Warning: y\\n')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *_python_path()]))
        with pytest.raises(AssertionError, match="Warning: y"):
            run(tmp_path, "inspect", picture(tmp_path / "a.png"))


def _python_path():
    return [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []


def test_importing_the_package_and_its_accessor_is_silent():
    modules = ("session.xarray_accessor", "evaluation.harness")
    program = "; ".join(f"import geofovea.pipeline.{module}" for module in modules)
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, Path(geofovea_file()).name) == (0, "", "__init__.py")


def geofovea_file():
    import geofovea

    return geofovea.__file__
