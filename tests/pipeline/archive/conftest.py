"""A toy dual encoder and a small archive of scenes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from dual_encoders import write_encoder
from pipeline_toys import texture
from rasterio.transform import Affine

from geofovea.pipeline.archive.build import build_index


@pytest.fixture(scope="session")
def encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random CLIP that takes pictures of 32 × 32 pixels."""
    return write_encoder(tmp_path_factory.mktemp("encoder") / "clip", "clip")


def write_raster(path: Path, pixels: np.ndarray) -> None:
    """A tiled GeoTIFF in UTM 33N with 0 as nodata."""
    bands, height, width = pixels.shape
    profile = {
        "driver": "GTiff",
        "count": bands,
        "height": height,
        "width": width,
        "dtype": "uint8",
        "nodata": 0,
        "crs": "EPSG:32633",
        "transform": Affine(2, 0, 500_000, 0, -2, 5_000_000),
        "tiled": True,
        "blockxsize": 64,
        "blockysize": 64,
    }
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels)


def write_archive(folder: Path) -> Path:
    """Three scenes of 320 × 200 pixels in a folder; the first 64 columns of one are missing."""
    folder.mkdir()
    pixels = texture(200, 320)
    write_raster(folder / "a.tif", pixels)
    write_raster(folder / "b.tif", 255 - pixels[:, ::-1])
    pixels = pixels[::-1].copy()
    pixels[:, :, :64] = 0
    write_raster(folder / "c.tif", pixels)
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Three scenes that a test may change."""
    return write_archive(tmp_path / "archive")


@pytest.fixture
def add_scene(archive: Path) -> Callable[[str, int, int], None]:
    """``add_scene(name, height, width)``: one more scene of the archive."""
    return lambda name, height, width: write_raster(archive / name, texture(height, width))


@pytest.fixture(scope="session")
def made_index(encoder_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of three scenes that stay as they are."""
    folder = tmp_path_factory.mktemp("made")
    archive = write_archive(folder / "archive")
    build_index(folder / "index", [str(archive)], encoder=str(encoder_folder))
    return folder / "index"
