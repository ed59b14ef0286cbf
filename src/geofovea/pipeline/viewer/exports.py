"""An answer as files that a page offers."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.page.data import answer_data
from geofovea.pipeline.answers.page.document import answer_page
from geofovea.pipeline.answers.picture import draw_answer
from geofovea.pipeline.viewer.served_scene import ServedScene

__all__ = ["EXPORTS", "Export"]


@dataclass(frozen=True, slots=True)
class Export:
    """One kind of file.

    Attributes:
        media_type: What it is.
        make: Its bytes, of an answer about a scene.
    """

    media_type: str
    make: Callable[[Answer, ServedScene], bytes]


def _json(answer: Answer, scene: ServedScene) -> bytes:
    return json.dumps(answer_data(answer, scene.name)["answer"], indent=1).encode()


def _geojson(answer: Answer, scene: ServedScene) -> bytes:  # noqa: ARG001
    return json.dumps(answer.evidence.geojson(), indent=1).encode()


def _picture(answer: Answer, scene: ServedScene) -> bytes:
    stream = io.BytesIO()
    draw_answer(answer, scene.session.reader).save(stream, "PNG")
    return stream.getvalue()


def _page(answer: Answer, scene: ServedScene) -> bytes:  # noqa: ARG001
    return answer_page(answer).encode()


EXPORTS: Mapping[str, Export] = {
    "answer.json": Export("application/json", _json),
    "evidence.geojson": Export("application/geo+json", _geojson),
    "page.html": Export("text/html", _page),
    "picture.png": Export("image/png", _picture),
}
"""By the name of the file."""
