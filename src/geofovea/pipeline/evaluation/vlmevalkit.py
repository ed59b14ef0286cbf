"""A model for VLMEvalKit: it takes file paths from the harness, so reading stays lazy.

Register it in a configuration of VLMEvalKit:

    from functools import partial
    from vlmeval.config import supported_VLM
    from geofovea.pipeline.evaluation.vlmevalkit import vlmevalkit_model

    supported_VLM["geofovea"] = partial(vlmevalkit_model(), model="llava-hf/llava-1.5-7b-hf")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geofovea.errors import GeoFoveaError
from geofovea.pipeline.evaluation.harness import make_answerer, only_image

__all__ = ["GeoFoveaAnswers", "vlmevalkit_model"]


class GeoFoveaAnswers:
    """What VLMEvalKit asks of a model, without its base class."""

    INTERLEAVE = False
    allowed_types = ("text", "image")

    def __init__(self, **settings: Any) -> None:
        """Load the model; the settings are those of ``make_answerer``."""
        super().__init__()
        self._answer = make_answerer(**settings)

    def generate_inner(
        self,
        message: Sequence[Mapping[str, str]],
        dataset: str | None = None,  # noqa: ARG002 the prompt is the harness's own
    ) -> str:
        """Answer one message, a list of ``{"type": "image" | "text", "value": path or words}``.

        Raises:
            GeoFoveaError: If the scene cannot be read, or the question is empty or too long.
        """
        images = [part["value"] for part in message if part["type"] == "image"]
        words = [part["value"] for part in message if part["type"] == "text"]
        return self._answer(only_image(images), "\n".join(words))


def vlmevalkit_model() -> type:
    """The class with VLMEvalKit's base class under it.

    Raises:
        GeoFoveaError: If VLMEvalKit is not installed.
    """
    try:
        from vlmeval.vlm.base import BaseModel
    except ImportError as error:
        raise GeoFoveaError(
            "VLMEvalKit is not installed: clone github.com/open-compass/VLMEvalKit and run "
            "pip install -e . in it"
        ) from error
    return type("GeoFovea", (GeoFoveaAnswers, BaseModel), {"allowed_types": ["text", "image"]})
