"""A desk over small scenes and a tiny model, and a client of its application."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.guard import ServedAt
from geofovea.pipeline.viewer.served_scene import ServedScene
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

TOKEN = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8421"


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


@pytest.fixture
def client_of() -> Callable[..., TestClient]:
    """``client_of(desk)``: a client that has the token and asks by the right name."""

    def make(desk: Desk, **options: Any) -> TestClient:
        app = make_app(desk, TOKEN, ServedAt(8421), **options)
        headers = {"authorization": f"Bearer {TOKEN}"}
        return TestClient(app, base_url=BASE, headers=headers, raise_server_exceptions=False)

    return make
