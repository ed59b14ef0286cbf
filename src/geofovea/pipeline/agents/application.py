"""The server of the page, with chat completions and tools for other programs beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import ASGIApp

from geofovea.pipeline.agents.chat import chat_routes
from geofovea.pipeline.agents.chat_errors import ChatErrors
from geofovea.pipeline.viewer.app import make_app
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.guard import ServedAt

if TYPE_CHECKING:
    from geofovea.pipeline.agents.mcp_server import McpEndpoint

__all__ = ["make_open_app"]


def make_open_app(desk: Desk, token: str, served_at: ServedAt) -> ASGIApp:
    """The application behind its guard, which checks every request.

    The tools are there where the extra ``mcp`` is installed.

    Args:
        desk: Where questions are asked.
        token: What requests have to bring; clients of chat completions call it their key.
        served_at: Where the server is reached.
    """
    routes = chat_routes(desk)
    endpoint = _tools(desk)
    if endpoint is None:
        return ChatErrors(make_app(desk, token, served_at, extra_routes=routes))
    routes.append(endpoint.route)
    app = make_app(desk, token, served_at, extra_routes=routes, lifespan=endpoint.lifespan)
    return ChatErrors(app)


def _tools(desk: Desk) -> McpEndpoint | None:
    try:
        from geofovea.pipeline.agents.mcp_server import McpEndpoint
    except ImportError:
        # the extra is not there, or too old
        return None
    return McpEndpoint(desk)
