"""Questions about a synthetic world as rows of the LRS-VQA format."""

from __future__ import annotations

from typing import Any

from geofovea.datasets.records.annotations import Record
from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.world import World
from geofovea.tiling.pyramid import Box

__all__ = ["record_of"]


def record_of(question: Question, number: int, image: str, world: World) -> Record:
    """A question as a row of the LRS-VQA format."""
    more: dict[str, Any] = {}
    if question.box:
        area = question.box.area / (world.width * world.height)
        more = {"abs_size": _size_name(question.box), "size_bin": "256x256", "box_share": area}
    return Record(
        question_id=f"SYNTH_{number}",
        image=image,
        category=question.category,
        question=question.text,
        answer=question.answer,
        box=question.box,
        image_size=(world.width, world.height),
        more=more
        | {"places": [list(box.as_tuple()) for box in question.places], "world": world.version},
    )


def _size_name(box: Box) -> str:
    """The four size words of LRS-VQA, by the longer side in pixels."""
    side = max(box.width, box.height)
    return "small" if side < 32 else "medium" if side < 96 else "large" if side < 512 else "giant"
