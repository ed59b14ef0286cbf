"""The worker of an evaluation: answers benchmark questions in turn and keeps scenes open."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.benchmarks.local_files import Images
from geofovea.datasets.records.sample import Sample
from geofovea.errors import QuestionError
from geofovea.pipeline.evaluation.dated_questions import DatedQuestions
from geofovea.pipeline.evaluation.metrics import tile_share
from geofovea.pipeline.hosts.base import SupportsBatching
from geofovea.pipeline.runs.item import Item, ItemKey, Record, Worker
from geofovea.pipeline.runs.lookahead import Lookahead, Payload
from geofovea.pipeline.runs.scene_worker import PLANNED, SceneWorker, loaded_host
from geofovea.pipeline.session.settings import AskSettings, described_hash
from geofovea.pipeline.system.failure import failure_of
from geofovea.tiling.files.stamp import scene_identity
from geofovea.tiling.pyramid import Box

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.tiling.pyramid import Box

__all__ = ["FIRST_ALONE", "EvalWork", "configuration_of", "make_items"]

FIRST_ALONE = "the question is about {count} images and was asked about the first alone"
"""What the record of a question says that could not be asked about all its images."""


def configuration_of(benchmark: Benchmark, settings: AskSettings) -> tuple[str, dict[str, Any]]:
    """The hash under which answers are kept, and what it consists of."""
    described = settings.described() | {
        "benchmark": benchmark.name,
        "prompt version": benchmark.version,
    }
    return described_hash(described), described


def make_items(
    benchmark: Benchmark, samples: Sequence[Sample], images: Images, configuration: str
) -> dict[str, Item]:
    """One item for each sample whose images are there, by the id of the sample.

    The first image is the scene; further ones are the same place at later dates.
    """
    items: dict[str, Item] = {}
    identity_of = functools.cache(scene_identity)
    for sample in samples:
        paths = images.of(sample)
        if paths is None:
            continue
        prompt = benchmark.prompt(sample)
        boxes = [list(box.as_tuple()) for box in sample.boxes]
        planned = [(str(path), identity_of(str(path))) for path in paths]
        (scene, identity), is_dated = planned[0], len(planned) > 1
        of_all = "\n".join(each for _, each in planned)
        items[sample.id] = Item(
            key=ItemKey(of_all, f"{sample.id}\n{prompt}", configuration),
            group=scene,
            payload={
                "prompt": prompt,
                "boxes": boxes,
                "images": planned if is_dated else [],
                PLANNED: identity,
            },
        )
    return items


@dataclass(frozen=True, slots=True)
class EvalWork:
    """Loads a model and answers; see ``Work``.

    Attributes:
        settings: How.
        threads: Threads of torch in each worker; None leaves its own choice.
        planned: The hash of the settings when the run was planned; None where that is no matter.
        verify: Whether every block of an image is read once before it is asked about.
    """

    settings: AskSettings
    threads: int | None = None
    planned: str | None = None
    verify: bool = False

    def open(self) -> Worker:
        """Load the model."""
        host = loaded_host(self.settings, self.threads, self.planned)
        task = _EvalTask(self.settings, host)
        scenes = SceneWorker(self.settings, host, verify=self.verify)
        together = isinstance(host, SupportsBatching)
        return Lookahead(partial(_records, task, scenes), together=together)


def _records(
    task: _EvalTask, scenes: SceneWorker, path: str, payloads: Sequence[Payload]
) -> list[Record | Exception]:
    """Records of questions about one scene, and of those about later dates of it too."""
    records = [task.dated_record(payload) for payload in payloads]
    plain = [p for p, record in zip(payloads, records, strict=True) if record is None]
    others = iter(scenes.records(path, plain, task.request, task.record) if plain else ())
    return [next(others) if record is None else record for record in records]


class _EvalTask:
    def __init__(self, settings: AskSettings, host: Host) -> None:
        self._settings = settings
        self._host = host
        self._dates = DatedQuestions(settings, host)
        self._doubts: dict[tuple[str, ...], str] = {}

    def dated_record(self, payload: Payload) -> Record | Exception | None:
        """The record of a question about several images, or why it has none.

        Returns:
            None for a question that is asked about one image: it has no other, or the model or the
            images do not allow it, which its record then says.
        """
        images = [(str(path), str(identity)) for path, identity in payload.get("images", ())]
        if not images:
            return None
        try:
            doubt = self._dates.why_not(images)
            self._doubts[tuple(path for path, _ in images)] = doubt
            if doubt:
                return None
            return _record(payload, self._dates.answer(images, payload["prompt"]))
        except BaseException as error:
            return failure_of(error)

    def request(self, session: SceneSession, payload: Payload) -> AskRequest:  # noqa: ARG002
        boxes = _boxes(payload)
        is_told = self._settings.options.focus == "oracle"
        if is_told and not boxes:
            raise QuestionError("focus 'oracle' needs an annotated box, and this question has none")
        region_boxes = boxes if is_told else ()
        return self._settings.request(
            self._host, payload["prompt"], boxes=region_boxes, kind="prompt"
        )

    def record(self, session: SceneSession, payload: Payload, answer: Answer) -> Record:  # noqa: ARG002
        images = tuple(str(path) for path, _ in payload.get("images", ()))
        doubt = self._doubts.get(images, "")
        warnings = [f"{FIRST_ALONE.format(count=len(images))}: {doubt}"] if images else []
        return _record(payload, answer, warnings)


def _record(payload: Payload, answer: Answer, warnings: Sequence[str] = ()) -> Record:
    boxes = _boxes(payload)
    return {
        "answer": answer.text,
        "confidence": answer.confidence if answer.confidence_known else None,
        "cost": answer.cost.to_json(),
        "warnings": [*warnings, *answer.warnings],
        "stopped": answer.stopped,
        "levels": answer.levels,
        "looks": [
            {
                "level": look.level,
                "tiles": [list(tile.as_tuple()) for tile in look.tiles],
                "addresses": [[tile.row, tile.col] for tile in look.addresses],
            }
            for look in answer.looks
        ],
        "evidence": [
            {
                "level": item.tile.level,
                "row": item.tile.row,
                "col": item.tile.col,
                "box_scene": list(item.box_scene.as_tuple()),
                "score": item.score,
                "tokens": item.tokens,
            }
            for item in answer.evidence
        ],
        "hit": tile_share(answer, boxes) if boxes else None,
    }


def _boxes(payload: Payload) -> list[Box]:
    return [Box(*corners) for corners in payload["boxes"]]
