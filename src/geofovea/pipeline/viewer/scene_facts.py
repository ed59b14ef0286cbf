"""Facts about a scene, and how its model sees it, for a page before the first question."""

from __future__ import annotations

from typing import Any

from geofovea.pipeline.answers.page.facts import shown_facts
from geofovea.pipeline.session.session import SceneSession

__all__ = ["scene_facts"]


def scene_facts(session: SceneSession) -> dict[str, Any]:
    """Facts of a scene as plain values; no path is among them.

    Args:
        session: One scene and one model.
    """
    pyramid = session.pyramid
    model = {
        "side": pyramid.tile_size,
        "levels": pyramid.top_level + 1,
        "base": pyramid.base_level,
        "top": pyramid.top_level,
    }
    return shown_facts(session.scene, session.reader.radiometry) | {"model": model}
