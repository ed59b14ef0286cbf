"""The work of an evaluation run: one benchmark question after the other, scenes kept open."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofovea.datasets.layout import Images
from geofovea.datasets.sample import Benchmark, Sample
from geofovea.errors import QuestionError
from geofovea.pipeline.work import Item, ItemKey, Record, Worker

if TYPE_CHECKING:
    from geofovea.pipeline.answer import Answer
    from geofovea.pipeline.host import Host
    from geofovea.pipeline.session import SceneSession
    from geofovea.tiling.pyramid import Box

__all__ = ["EvalSettings", "EvalWork", "hit_share", "make_items"]


@dataclass(frozen=True, slots=True)
class EvalSettings:
    """How a model is asked; everything here changes answers.

    Attributes:
        model: ``embedded``, a folder or a hub id.
        tiles: Most tiles of an answer; None for the model's own default.
        tokens: Most vision tokens for the decoder; likewise.
        seconds: No further level is begun after this time.
        focus: Where it looks closer.
        reduction: Which tokens survive.
        descent: How it descends.
    """

    model: str = "embedded"
    tiles: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    focus: str = "attention"
    reduction: str = "top_score"
    descent: str = "geometric"

    def described(self, benchmark: Benchmark) -> dict[str, Any]:
        """All that an answer depends on besides its scene and question."""
        from geofovea import __version__

        return asdict(self) | {
            "model files": _model_stamp(self.model),
            "benchmark": benchmark.name,
            "prompt version": benchmark.version,
            "geofovea": __version__,
        }


def configuration_of(described: Mapping[str, Any]) -> str:
    """The hash under which answers of a configuration are kept."""
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _model_stamp(name: str) -> str:
    """What tells the present files of a model from others; a hub id stands for itself."""
    from geofovea.pipeline.embedded import embedded_model_path
    from geofovea.pipeline.models import EMBEDDED

    folder = embedded_model_path() if name == EMBEDDED else Path(name)
    if not folder.is_dir():
        return name
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.suffix in (".safetensors", ".json"):
            status = path.stat()
            digest.update(f"{path.name} {status.st_size}".encode())
            if status.st_size < 2**26:
                digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def make_items(
    benchmark: Benchmark, samples: Sequence[Sample], images: Images, configuration: str
) -> dict[str, Item]:
    """One item for each sample whose images are there, by the id of the sample.

    The first image is the scene; samples with more than one are asked about it alone.
    """
    items = {}
    for sample in samples:
        paths = images.of(sample)
        if paths is None:
            continue
        status = paths[0].stat()
        scene = f"{sample.images[0]}|{status.st_size}|{status.st_mtime_ns}"
        prompt = benchmark.prompt(sample)
        boxes = [list(box.as_tuple()) for box in sample.boxes]
        items[sample.id] = Item(
            key=ItemKey(scene, f"{sample.id}\n{prompt}", configuration),
            group=str(paths[0]),
            payload={"prompt": prompt, "boxes": boxes},
        )
    return items


@dataclass(frozen=True, slots=True)
class EvalWork:
    """Loads a model and answers; see ``Work``."""

    settings: EvalSettings
    device: str = "cpu"

    def open(self) -> Worker:
        """Load the model."""
        from geofovea.pipeline.models import load_host

        return _Asker(self.settings, load_host(self.settings.model, self.device)).ask


class _Asker:
    """Answers questions, the last scene kept open."""

    def __init__(self, settings: EvalSettings, host: Host) -> None:
        self._settings = settings
        self._host = host
        limits = {
            name: value
            for name in ("tiles", "tokens", "seconds")
            if (value := getattr(settings, name)) is not None
        }
        self._budget = replace(host.default_budget, **limits)
        self._group = ""
        self._session: SceneSession | None = None

    def ask(self, group: str, payload: Mapping[str, Any]) -> Record:
        from geofovea.pipeline.session import SceneSession
        from geofovea.tiling.pyramid import Box
        from geofovea.tiling.scene import open_scene

        boxes = [Box(*corners) for corners in payload["boxes"]]
        settings = self._settings
        if settings.focus == "oracle" and not boxes:
            raise QuestionError("focus 'oracle' needs an annotated box, and this question has none")
        if self._session is None or self._group != group:
            self._session = SceneSession(open_scene(group), self._host)
            self._group = group
        answer = self._session.ask(
            payload["prompt"],
            budget=self._budget,
            focus=settings.focus,
            reduction=settings.reduction,
            descent=settings.descent,
            boxes=boxes if settings.focus == "oracle" else (),
        )
        return {
            "answer": answer.text,
            "confidence": answer.confidence,
            "cost": answer.cost.to_json(),
            "warnings": list(answer.warnings),
            "looks": [
                {"level": look.level, "tiles": [list(tile.as_tuple()) for tile in look.tiles]}
                for look in answer.looks
            ],
            "hit": hit_share(answer, boxes) if boxes else None,
        }


def hit_share(answer: Answer, boxes: Sequence[Box]) -> float:
    """The largest share of an annotated box that was looked at in native pixels, in [0, 1]."""
    native = [look for look in answer.looks if look.level == 0]
    tiles = [tile for look in native for tile in look.tiles]
    # tiles of one level do not overlap, so their shares add up
    shares = [sum(float(box.share_inside(tile)) for tile in tiles) for box in boxes]
    return max(shares)
