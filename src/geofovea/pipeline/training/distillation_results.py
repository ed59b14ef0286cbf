"""A region focus module for a host that is loaded already."""

from __future__ import annotations

from pathlib import Path

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.open_decoder import opened
from geofovea.pipeline.hosts.region_focus import (
    load_focus,
)

__all__ = ["attach_focus"]


def attach_focus(folder: Path, host: object) -> None:
    """Let a loaded host focus by the module in a folder, wherever that is.

    Raises:
        ModelError: If there is no module, it belongs to another host, or the host takes none.
    """
    load_focus(folder, opened(host))
    take = getattr(host, "use_region_focus", None)
    if take is None:
        raise ModelError(f"{getattr(host, 'name', host)} takes no region focus module of another")
    take(folder)
