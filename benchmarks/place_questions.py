"""Are questions about where places lie answered better by geometry than by the model?

Synthetic scenes of held-out seeds, comparisons of two sites ("Is the camp north of the stadium?"),
each asked twice of the embedded model: as it answers by itself, and computed. Accuracy has a 95 %
interval by bootstrap over scenes. Errors are parted into places that were not located and answers
that are wrong although they were.

    python benchmarks/place_questions.py --sides 4096 16384 --scenes 4 --questions 16
    python benchmarks/place_questions.py --distances --sides 4096 --scenes 10 --seed 930000
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean, median

from geofovea.datasets.synthetic.questions import Question, ask_about
from geofovea.datasets.synthetic.world import GSD_M, World
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    measure,
    question_facts,
)
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tables import markdown_table

ARMS = {"off": "the model", "auto": "computed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(BenchAnswer):
    """One answer.

    Attributes:
        arm: One of ``ARMS``.
        is_computed: Whether it came from geometry.
        tiles: Tiles looked at.
        seconds: CPU seconds.
    """

    arm: str
    is_computed: bool
    tiles: int
    seconds: float


def comparisons(world: World, count: int) -> list[Question]:
    """Up to ``count`` different questions about two sites."""
    rng = random.Random(f"place-questions-{world.seed}")
    by_text: dict[str, Question] = {}
    for _ in range(count):
        for site in world.named_sites:
            for question in islice(ask_about(world, site, rng), 32):
                if len(question.places) == 2 and len(by_text) < count:
                    by_text.setdefault(question.text, question)
    return list(by_text.values())


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sides", type=int, nargs="+", default=[4096, 16384])
    parser.add_argument("--scenes", type=int, default=4, help="of each side")
    parser.add_argument("--questions", type=int, default=16, help="about each scene")
    parser.add_argument("--seed", type=int, default=950_000)
    parser.add_argument("--output", type=Path, default=Path("runs/place_questions"))
    parser.add_argument(
        "--distances", action="store_true", help="measure distances and areas instead"
    )
    options = parser.parse_args()
    host = load_host("embedded")
    if options.distances:
        make_folder(options.output)
        for side in options.sides:
            scenes = BenchScenes(options.output, [side], options.scenes, 1, options.seed)
            print(f"{side} px: {distances_text(scenes, host)}")
            print(f"{side} px: {areas_text(scenes, host)}")
        return

    def ask(scene: BenchScene, _: Mapping[object, Item]) -> Iterator[Item]:
        for arm in ARMS:
            # each arm pays for its own tiles
            session = scene.session(host)
            for question in comparisons(scene.world, options.questions):
                started = time.process_time()
                answer = session.ask(question.text, geometry=arm)
                yield Item(
                    **question_facts(scene.world, question),
                    answer=answer.text,
                    hit=None,
                    arm=arm,
                    is_computed=answer.measurement is not None,
                    tiles=answer.cost.tiles_encoded,
                    seconds=time.process_time() - started,
                )

    make_folder(options.output)
    scenes = BenchScenes(options.output, options.sides, options.scenes, 1, options.seed)
    print(table(measure(scenes, ask)))


def distances_text(scenes: BenchScenes, host: Host) -> str:
    """How often measured distances between sites are right within their error, and how far off.

    Each site of a scene is in one distance at most.
    """
    within, off = [], []
    missing = 0
    for scene in scenes:
        session = scene.session(host)
        sites = list(scene.world.named_sites)
        random.Random(scene.world.seed).shuffle(sites)
        for one, two in zip(sites[::2], sites[1::2], strict=False):
            measured = session.measure(f"How many meters is the {one.kind} from the {two.kind}?")
            if not measured.text:
                missing += 1
                continue
            distance = measured.quantities[0]
            truth = GSD_M * math.dist(one.box.center, two.box.center)
            off.append(abs(distance.value - truth))
            within.append(off[-1] <= distance.error)
    return f"distances: {_within_text(within, missing)}, {median(off):.0f} m off in the median"


def areas_text(scenes: BenchScenes, host: Host) -> str:
    """How often measured areas of sites are right within their error, and how far off."""
    within, off = [], []
    missing = 0
    for scene in scenes:
        session = scene.session(host)
        for site in scene.world.named_sites:
            measured = session.measure(f"How many square meters large is the {site.kind}?")
            if not measured.text:
                missing += 1
                continue
            area, truth = measured.quantities[0], GSD_M**2 * site.box.area
            off.append(abs(area.value - truth) / truth)
            within.append(abs(area.value - truth) <= area.error)
    return f"areas: {_within_text(within, missing)}, {median(off):.0%} off in the median"


def _within_text(within: list[bool], missing: int) -> str:
    return f"{sum(within)} of {len(within)} within the error, {missing} without a number"


def table(items: list[Item]) -> str:
    """A row for each side and arm."""
    rows = []
    for side in sorted({item.side for item in items}):
        for arm, name in ARMS.items():
            some = [item for item in items if item.side == side and item.arm == arm]
            wrong = [item for item in some if not item.correct]
            located = sum(item.is_computed for item in some)
            rows.append(
                [
                    f"{side}",
                    name,
                    f"{len(some)}",
                    accuracy_text(some),
                    f"{len(some) - located}" if arm == "auto" else "–",
                    f"{sum(item.is_computed for item in wrong)}" if arm == "auto" else "–",
                    f"{fmean(item.tiles for item in some):.1f}",
                    f"{fmean(item.seconds for item in some):.2f}",
                ]
            )
    head = ["side", "answered by", "questions", "accuracy", "not located", "located and wrong"]
    return markdown_table([*head, "tiles", "CPU seconds"], rows)


if __name__ == "__main__":
    main()
