"""Every door is behind the guard, and a door whose package is missing harms no other."""

import sys

import pytest
from click.testing import CliRunner
from starlette.testclient import TestClient

from geofovea.pipeline.agents.application import make_open_app
from geofovea.pipeline.cli import main
from geofovea.pipeline.viewer.guard import ServedAt

TOKEN = "a-token-of-the-tests"
DOORS = ["/v1/models", "/v1/chat/completions", "/mcp", "/api/scenes"]


def client_of(desk, **headers):
    app = make_open_app(desk, TOKEN, ServedAt(8421))
    return TestClient(app, base_url="http://127.0.0.1:8421", headers=headers)


@pytest.fixture
def without_the_sdk(monkeypatch):
    """As if the extra was not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mcp"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "geofovea.pipeline.agents.mcp_server", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)


@pytest.mark.parametrize("door", DOORS)
def test_no_door_opens_without_the_token(make_desk, door):
    with client_of(make_desk()) as client:
        assert client.get(door).status_code == 401
        assert client.post(door, json={}).status_code == 401


@pytest.mark.usefixtures("without_the_sdk")
def test_without_the_sdk_the_page_and_chat_are_served(make_desk):
    with client_of(make_desk(), authorization=f"Bearer {TOKEN}") as client:
        assert client.get("/v1/models").json()["data"][0]["id"] == "scene:1"
        assert client.get("/api/scenes").status_code == 200
        assert client.post("/mcp", json={}).status_code == 404


@pytest.mark.usefixtures("without_the_sdk")
def test_without_the_sdk_the_verb_says_what_to_install(scene_path):
    result = CliRunner().invoke(main, ["mcp", str(scene_path)])
    assert result.exit_code == 1
    assert "pip install 'geofovea[mcp]'" in result.stderr
