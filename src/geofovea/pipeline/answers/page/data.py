"""An answer as plain values that the page of a browser draws."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geofovea.pipeline.answers.record import AnswerRecord
from geofovea.tiling.machine.paths import is_folder
from geofovea.tiling.pyramid import Box, Tile

__all__ = [
    "Truth",
    "answer_data",
    "boxes_and_shares",
    "json_text",
    "model_name",
    "scene_name",
    "tile_row",
]

_STRONGEST = 255


@dataclass(frozen=True, slots=True)
class Truth:
    """What would have been right, for pages of a benchmark's answers.

    Attributes:
        answers: All texts that count as right.
        boxes: The places that an annotation names, in scene pixels.
    """

    answers: tuple[str, ...]
    boxes: tuple[Box, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What the page shows beside the answer."""
        boxes = [[round(side) for side in box.as_tuple()] for box in self.boxes]
        return {"answers": list(self.answers), "boxes": boxes}


def boxes_and_shares(boxes_scene: Any, scores: Any) -> dict[str, Any]:
    """Tokens as a page draws them.

    Args:
        boxes_scene: ``(n, 4)`` in scene pixels, an array or a tensor.
        scores: ``(n,)``, at least zero.

    Returns:
        ``boxes`` in whole pixels, and ``scores`` from 0 to 255, the share of the strongest. Where
        none is stronger than another, ``flat`` is true: a map of heat would say nothing.
    """
    most = float(scores.max()) if len(scores) else 0.0
    flat = not len(scores) or float(scores.min()) == most
    shares = scores * (_STRONGEST / most) if most > 0 else scores * 0
    return {
        "boxes": boxes_scene.round().astype(int).tolist()
        if hasattr(boxes_scene, "astype")
        else boxes_scene.round().int().tolist(),
        "scores": [round(share) for share in shares.tolist()],
        "flat": flat,
    }


def answer_data(answer: AnswerRecord, name: str) -> dict[str, Any]:
    """The data of an ``answer`` event.

    Args:
        answer: What was answered.
        name: Of the scene, in place of its path.
    """
    record = answer.to_json()
    if record["scene"] is not None:
        record["scene"]["path"] = name
    for row, item in zip(record["evidence"] or (), answer.evidence, strict=False):
        row["tokens"] = item.tokens
    names = {answer.scene.path: name, answer.model: model_name(answer.model)}
    for part in filter(None, (record, record["measurement"])):
        part["model"] = model_name(part["model"])
        for long, short in names.items():
            part["warnings"] = [warning.replace(long, short) for warning in part["warnings"]]
    looks = [
        {
            "level": look.level,
            "tiles": [tile_row(t, b) for t, b in zip(look.addresses, look.tiles, strict=True)],
        }
        | boxes_and_shares(look.token_boxes, look.token_scores)
        for look in answer.looks
    ]
    return {"answer": record, "looks": looks}


def json_text(data: Mapping[str, Any]) -> str:
    """Data as one line of JSON that browsers read; NaN and infinity become null."""
    try:
        return json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))


def tile_row(tile: Tile, box: Box) -> list[int]:
    """A tile as level, row, column, and its box in whole scene pixels."""
    return [tile.level, tile.row, tile.col, *(round(side) for side in box.as_tuple())]


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def scene_name(path: str) -> str:
    """The last part of a path or address, without what may be secret in it."""
    plain = urlsplit(path).path if "://" in path else path
    parts = [part for part in plain.replace("\\", "/").split("/") if part]
    return parts[-1] if parts else "scene"


def model_name(name: str) -> str:
    """The name of a model; of one in a folder the last part, for others learn no paths."""
    # ~ is a name that a shell would have replaced
    is_path = Path(name).is_absolute() or name.startswith((".", "~")) or is_folder(Path(name))
    return scene_name(name) if is_path else name
