"""One server with four scenes and one browser for all tests of the page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from browser_toys import CHROMIUM_ARGUMENTS, Witness, chromium_path, serving
from pipeline_toys import texture
from rasterio.transform import Affine

from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.events import JobWatcher
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.pipeline.viewer.serving import Listening
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pyramid import Box, Tile

# markup, letters that turn those behind them around, a color of a terminal
HOSTILE_NAME = "<img src=x onerror=alert(1)>\u202egnp.\x1b[31m.png"


def write_raster(path: Path, pixels: np.ndarray, **profile: Any) -> Path:
    """Pixels ``(3, height, width)`` as a raster file."""
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype}
    with (
        rasterio.Env(GDAL_PAM_ENABLED=False),
        rasterio.open(path, "w", **shape, **profile) as dataset,
    ):
        dataset.write(pixels)
    return path


@pytest.fixture(scope="package")
def scene_files(scene_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By id: a synthetic scene; a picture without georeference; a turned one; a part of the first.

    The last one shows the ground of the first, moved by (512, 256) pixels; a block of (64, 64)
    pixels at (400, 600) of it is another.
    """
    folder = tmp_path_factory.mktemp("scenes")
    with rasterio.open(scene_path) as dataset:
        pixels, place, crs = dataset.read(), dataset.transform, dataset.crs
    part = pixels[:, 256 : 256 + 1024, 512 : 512 + 1024].copy()
    part[:, 600:664, 400:464] = texture(64, 64)
    turned = Affine.translation(500_000, 5_400_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    return {
        "1": scene_path,
        "2": write_raster(folder / HOSTILE_NAME, texture(700, 900), driver="PNG"),
        "3": write_raster(
            folder / "turned.tif", texture(600, 800), driver="GTiff", crs=crs, transform=turned
        ),
        "4": write_raster(
            folder / "part.tif",
            part,
            driver="GTiff",
            crs=crs,
            transform=place @ Affine.translation(512, 256),
        ),
    }


@pytest.fixture(scope="package")
def sessions(scene_files: dict[str, Path]) -> dict[str, SceneSession]:
    """By id, with the embedded model."""
    host = load_host("embedded")
    return {key: SceneSession(open_scene(path), host) for key, path in scene_files.items()}


@pytest.fixture(scope="package")
def desk(sessions: dict[str, SceneSession]) -> Iterator[Desk]:
    """Where the page asks."""
    served = [ServedScene(key, session) for key, session in sessions.items()]
    desk = Desk(served, served[0].session.host)
    yield desk
    desk.close()


@pytest.fixture(scope="package")
def site(desk: Desk) -> Iterator[Listening]:
    """The server."""
    with serving(desk) as listening:
        yield listening


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A real browser; while its client is open, no other event loop can run in this process."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*CHROMIUM_ARGUMENTS])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, site: Listening) -> Iterator[Callable[..., Any]]:
    """``visit(**context)``: the page in a window of its own; nothing may go wrong in it.

    The witness of a page is its attribute ``witness``.
    """
    with opened(chromium, site.address) as visiting:
        yield visiting


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Questions look for as long as nobody stops them; empty it to let them go on."""
    looking, goes_on = JobWatcher.looking, [True]

    def slowly(self: JobWatcher, tiles: Mapping[Tile, Box]) -> None:
        """As if the disk took long."""
        looking(self, tiles)
        deadline = time.monotonic() + 60
        while goes_on and not self.is_cancelled and time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr(JobWatcher, "looking", slowly)
    return goes_on


@contextmanager
def opened(chromium: Any, address: str) -> Iterator[Callable[..., Any]]:
    """A function that opens an address in windows, which are closed and judged at the end."""
    contexts: list[Any] = []
    witnesses: list[Witness] = []

    def visiting(*, size: tuple[int, int] = (1280, 800), **options: Any) -> Any:
        window = {"width": size[0], "height": size[1]}
        context = chromium.new_context(viewport=window, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.witness = Witness(page, address.partition("#")[0])
        witnesses.append(page.witness)
        page.goto(address)
        page.wait_for_selector("[data-ready]")
        page.wait_for_selector(".gf-map-cell[data-renders]")
        return page

    try:
        yield visiting
        for witness in witnesses:
            assert witness.faults == []
    finally:
        for context in contexts:
            context.close()
