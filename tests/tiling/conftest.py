"""Small rasters of every kind that a scene may be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp, Resampling
from rasterio.transform import Affine
from repository import SHARED

from geofovea.tiling import TileReader, open_scene, plan_radiometry
from geofovea.tiling.overviews import level_files

UTM33 = Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each reference raster is one test; one skipped test where the folder is absent."""
    if "shared_raster" in metafunc.fixturenames:
        metafunc.parametrize("shared_raster", _shared_rasters())


def _shared_rasters() -> list[Any]:
    folder = SHARED / "data" / "rasters"
    files = [p for p in sorted(folder.glob("*")) if p.suffix not in (".md", ".txt")]
    if not files:
        skip = pytest.mark.skip(reason=f"no reference rasters in {folder}; set GEOFOVEA_SHARED")
        return [pytest.param(None, marks=skip, id="absent")]
    return [pytest.param(path, id=path.name) for path in files]


def _texture(height: int, width: int, bands: int = 3, dtype: str = "uint8") -> np.ndarray:
    """Smooth waves with noise: every place differs, and averages stay close to neighbors."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    rng = np.random.default_rng(7)
    waves = [np.sin(x / (17 + 3 * b)) + np.cos(y / (23 + 2 * b)) for b in range(bands)]
    image = 128 + 40 * np.stack(waves) + rng.normal(0, 4, (bands, height, width))
    return np.clip(image, 1, 255).astype(dtype)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a cache of its own, and never that of whoever runs the tests."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "levels"


@pytest.fixture
def small_counts_as_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes of more than 100 x 100 pixels are treated as those of more than 16 Mpx."""
    monkeypatch.setattr(level_files, "DECODE_ONCE_PIXELS", 10_000)


@pytest.fixture(scope="session")
def texture() -> Callable[..., np.ndarray]:
    """``texture(height, width, bands, dtype)`` makes pixels ``(bands, h, w)``."""
    return _texture


@pytest.fixture(scope="session")
def reader_of() -> Callable[..., TileReader]:
    """``reader_of(path, tile_size)`` opens a file with the default radiometry."""
    return _reader_of


@pytest.fixture
def make_raster(tmp_path: Path) -> Callable[..., Path]:
    """Write an array ``(bands, h, w)``; keywords go to rasterio, some to the dataset."""

    def make(
        array: np.ndarray,
        name: str = "scene.tif",
        *,
        driver: str = "GTiff",
        overviews: tuple[int, ...] = (),
        resampling: Resampling = Resampling.average,
        mask: np.ndarray | None = None,
        colormap: dict[int, tuple[int, ...]] | None = None,
        colorinterp: tuple[ColorInterp, ...] | None = None,
        gcps: tuple[list[Any], str] | None = None,
        **profile: Any,
    ) -> Path:
        path = tmp_path / name
        bands, height, width = array.shape
        shape = {"count": bands, "height": height, "width": width, "dtype": array.dtype}
        with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_PAM_ENABLED=False):
            with rasterio.open(path, "w", driver=driver, **(shape | profile)) as dataset:
                dataset.write(array)
                if colorinterp:
                    dataset.colorinterp = colorinterp
                if colormap:
                    dataset.write_colormap(1, colormap)
                if gcps:
                    dataset.gcps = gcps
                if mask is not None:
                    dataset.write_mask(mask)
            if overviews:
                with rasterio.open(path, "r+") as dataset:
                    dataset.build_overviews(overviews, resampling)
        return path

    return make


@pytest.fixture
def make_tiled(make_raster: Callable[..., Path]) -> Callable[..., Path]:
    """A tiled GeoTIFF in UTM 33N with half-meter pixels."""

    def make(array: np.ndarray, name: str = "scene.tif", **profile: Any) -> Path:
        defaults = {"tiled": True, "blockxsize": 64, "blockysize": 64, "compress": "deflate"}
        defaults |= {"crs": "EPSG:32633", "transform": UTM33}
        if array.shape[0] == 3:
            defaults["photometric"] = "rgb"
        return make_raster(array, name, **(defaults | profile))

    return make


def _reader_of(path: Path, tile_size: int = 64, **options: Any) -> TileReader:
    """A reader over a file, with the default radiometry."""
    scene = open_scene(path, **options)
    return TileReader(scene, scene.pyramid(tile_size), plan_radiometry(scene))
