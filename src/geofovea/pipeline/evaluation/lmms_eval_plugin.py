"""The entry point for lmms-eval (group ``lmms_eval.models``): ``--model geofovea``."""

from __future__ import annotations

from typing import Any

__all__ = ["manifest"]


def manifest() -> Any:
    """What lmms-eval asks of a package: the name of the model and where its class is."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(
        model_id="geofovea", chat_class_path="geofovea.pipeline.evaluation.lmms_eval.GeoFovea"
    )
