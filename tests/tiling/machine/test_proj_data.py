"""PROJ inside rasterio finds its data in our own process, and nobody's variable is replaced."""

import os
import subprocess
import sys

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from rasterio.crs import CRS
from rasterio.transform import Affine

from geofovea.pipeline.cli import main
from geofovea.tiling.machine.proj_data import proj_data_variable


@pytest.fixture
def in_kilometers(tmp_path):
    path = tmp_path / "kilometers.tif"
    crs = CRS.from_string("+proj=utm +zone=33 +datum=WGS84 +units=km +no_defs")
    profile = {"driver": "GTiff", "height": 64, "width": 64, "count": 1, "dtype": "uint8"}
    with rasterio.open(
        path, "w", **profile, crs=crs, transform=Affine(0.01, 0, 500, 0, -0.01, 5000)
    ) as file:
        file.write(np.arange(64 * 64, dtype=np.uint8).reshape(1, 64, 64) | 1)
    return path


def test_a_scene_in_kilometers_makes_no_noise(in_kilometers):
    environment = {k: v for k, v in os.environ.items() if k not in ("PROJ_DATA", "PROJ_LIB")}
    command = [sys.executable, "-m", "geofovea", "info", str(in_kilometers), "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert '"gsd_m": 10.0' in done.stdout.replace("10.000000", "10.0")


@pytest.mark.parametrize("name", ["PROJ_DATA", "PROJ_LIB"])
def test_a_variable_that_somebody_set_is_left(monkeypatch, name):
    monkeypatch.setenv(name, "elsewhere")
    assert proj_data_variable() == {}


def test_a_command_leaves_the_environment_as_it_was(monkeypatch, in_kilometers):
    for name in ("PROJ_DATA", "PROJ_LIB"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(main, ["info", str(in_kilometers)])
    assert result.exit_code == 0, result.stderr
    assert "PROJ_DATA" not in os.environ
