"""A tiny model with weights that matter, a small synthetic scene, and other small rasters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# read once, when the hub's client is imported: no test may wait for a network
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import pytest
import rasterio
import torch
from chat_server import chatting
from pipeline_toys import lively_student, texture
from rasterio.transform import Affine

from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import World, make_world
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.training.export import write_model
from geofovea.pipeline.training.student import Student
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene


@pytest.fixture(scope="session")
def embedded_host() -> LvlmHost:
    """The demo model as it is shipped."""
    host: LvlmHost = load_host("embedded")
    return host


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server that speaks the protocol of endpoints; no key is set."""
    monkeypatch.delenv("GEOFOVEA_API_KEY", raising=False)
    with chatting() as server:
        yield server


@pytest.fixture(scope="session")
def student() -> Student:
    """An untrained student of one vision layer and three decoder layers, in evaluation mode."""
    return lively_student()


@pytest.fixture(scope="session")
def tiny_folder(student: Student, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student as a model folder."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_model(student, folder)
    return folder


@pytest.fixture(scope="session")
def tiny_host(tiny_folder: Path) -> LvlmHost:
    """The student as a host, loaded from its folder."""
    host = load_host(str(tiny_folder))
    assert isinstance(host, LvlmHost)
    return host


@pytest.fixture(scope="session")
def world() -> World:
    """A synthetic world of 2048 × 2048 pixels."""
    return make_world(5, 2048, 2048)


@pytest.fixture(scope="session")
def scene_path(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That world as a COG in UTM 33N."""
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    write_scene(world, path)
    return path


@pytest.fixture
def make_session(tiny_host: LvlmHost, scene_path: Path) -> Callable[..., SceneSession]:
    """``make_session(path)``: a new session of the tiny host; the synthetic scene by default."""

    def make(path: Path | None = None, **options: Any) -> SceneSession:
        return SceneSession(open_scene(path or scene_path), tiny_host, **options)

    return make


@pytest.fixture
def make_png(tmp_path: Path) -> Callable[..., Path]:
    """``make_png(height, width, bands)``: a picture without georeference."""

    def make(height: int, width: int, bands: int = 3, name: str = "picture.png") -> Path:
        path = tmp_path / name
        pixels = texture(height, width, bands)
        shape = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
        with (
            rasterio.Env(GDAL_PAM_ENABLED=False),
            rasterio.open(path, "w", driver="PNG", **shape) as dataset,
        ):
            dataset.write(pixels)
        return path

    return make


@pytest.fixture
def make_tiff(tmp_path: Path) -> Callable[..., Path]:
    """``make_tiff(pixels, **profile)``: a tiled GeoTIFF in UTM 33N with half-meter pixels."""

    def make(pixels: np.ndarray, name: str = "made.tif", **profile: Any) -> Path:
        path = tmp_path / name
        bands, height, width = pixels.shape
        defaults = {
            "crs": "EPSG:32633",
            "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_400_000),
            "tiled": True,
            "blockxsize": 64,
            "blockysize": 64,
            "compress": "deflate",
        }
        shape = {"count": bands, "height": height, "width": width, "dtype": pixels.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **(defaults | profile)) as dataset:
            dataset.write(pixels)
        return path

    return make


@pytest.fixture
def first_logits() -> Callable[..., torch.Tensor]:
    """``first_logits(host, question, tokens)``: what a host's first decoding step says, (V,)."""

    def listen(host: LvlmHost, question: str, tokens: Any) -> torch.Tensor:
        heard: list[torch.Tensor] = []
        hook = host._model.lm_head.register_forward_pre_hook(
            lambda module, args: heard.append(args[0].detach())
        )
        try:
            host.generate(question, tokens)
        finally:
            hook.remove()
        with torch.no_grad():
            return host._family.logits(heard[0]).float().reshape(-1)

    return listen


@pytest.fixture
def serve_scene(tiny_host, scene_path) -> Callable[..., ServedScene]:
    """``serve_scene(path, scene_id)``: a scene to show; the synthetic one by default."""

    def make(path: Any = None, scene_id: str = "1", **opening: Any) -> ServedScene:
        scene = open_scene(path or scene_path, **opening)
        return ServedScene(scene_id, SceneSession(scene, tiny_host))

    return make


@pytest.fixture
def make_desk(tiny_host, serve_scene) -> Iterator[Callable[..., Desk]]:
    """``make_desk(*scenes)``: a desk of twelve tiles and sixty tokens; closed at the end."""
    desks = []

    def make(*scenes: ServedScene, **options: Any) -> Desk:
        few = {"budget": Budget(tiles=12, tokens=60)}
        desks.append(Desk(scenes or (serve_scene(),), tiny_host, **(few | options)))
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()
