"""The work of an evaluation run: one benchmark question after the other, scenes kept open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.benchmarks.local_files import Images
from geofovea.datasets.records.sample import Sample
from geofovea.errors import QuestionError
from geofovea.pipeline.evaluation.metrics import tile_share
from geofovea.pipeline.runs.item import Item, ItemKey, Record, Worker
from geofovea.pipeline.runs.lookahead import Payload
from geofovea.pipeline.runs.scene_worker import PLANNED, SceneWorker, loaded_host
from geofovea.pipeline.session.settings import AskSettings, described_hash
from geofovea.tiling.files.stamp import scene_identity
from geofovea.tiling.pyramid import Box

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.tiling.pyramid import Box

__all__ = ["EvalWork", "configuration_of", "make_items"]


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

    The first image is the scene; samples with more than one are asked about it alone.
    """
    items: dict[str, Item] = {}
    identities: dict[str, str] = {}
    for sample in samples:
        paths = images.of(sample)
        if paths is None:
            continue
        prompt = benchmark.prompt(sample)
        boxes = [list(box.as_tuple()) for box in sample.boxes]
        scene = str(paths[0])
        if scene not in identities:
            identities[scene] = scene_identity(scene)
        identity = identities[scene]
        items[sample.id] = Item(
            key=ItemKey(identity, f"{sample.id}\n{prompt}", configuration),
            group=scene,
            payload={
                "prompt": prompt,
                "boxes": boxes,
                "images": len(paths),
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
        return SceneWorker(self.settings, host, verify=self.verify).worker(
            task.request, task.record
        )


class _EvalTask:
    def __init__(self, settings: AskSettings, host: Host) -> None:
        self._settings = settings
        self._host = host

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
        boxes = _boxes(payload)
        return {
            "answer": answer.text,
            "confidence": answer.confidence if answer.confidence_known else None,
            "cost": answer.cost.to_json(),
            "warnings": [*_about_images(payload.get("images", 1)), *answer.warnings],
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


def _about_images(count: int) -> list[str]:
    if count < 2:
        return []
    return [f"the question is about {count} images and was asked about the first alone"]


def _boxes(payload: Payload) -> list[Box]:
    return [Box(*corners) for corners in payload["boxes"]]
