"""A desk over small scenes and a tiny model, and a client of its application."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.guard import ServedAt

TOKEN = "a-token-of-the-tests"
BASE = "http://127.0.0.1:8421"


@pytest.fixture
def client_of() -> Callable[..., TestClient]:
    """``client_of(desk)``: a client that has the token and asks by the right name."""

    def make(desk: Desk, **options: Any) -> TestClient:
        app = make_app(desk, TOKEN, ServedAt(8421), **options)
        headers = {"authorization": f"Bearer {TOKEN}"}
        return TestClient(app, base_url=BASE, headers=headers, raise_server_exceptions=False)

    return make
