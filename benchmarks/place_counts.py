"""Is a number at one place more often right if things are counted one by one?

Worlds that no training has seen are asked how many there are of a kind at a site, twice: as ``ask``
answers, which counts at one place, and with ``geometry="off"``, where the model reads the number.

    python benchmarks/place_counts.py --scenes 8
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    measure,
)
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tables import markdown_table

ARMS = {"read from all tokens": "off", "counted one by one": "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(BenchAnswer):
    """One answer.

    Attributes:
        arm: One of ``ARMS``.
        question: What was asked.
        tokens: Vision tokens that reached the decoder.
    """

    arm: str
    question: str
    tokens: int


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--questions", type=int, default=6, help="of a scene")
    parser.add_argument("--seed", type=int, default=942_000)
    parser.add_argument("--output", type=Path, default=Path("runs/place_counts"))
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    host = load_host(options.model)

    def ask(scene: BenchScene, _: Mapping[object, Item]) -> Iterator[Item]:
        session = scene.session(host)
        for question in scene.questions:
            if question.category != "count":
                continue
            for arm, geometry in ARMS.items():
                answer = session.ask(question.text, geometry=geometry)
                yield Item(
                    side=scene.world.width,
                    scene=scene.world.seed,
                    category="count",
                    answer=answer.text,
                    truth=question.answer,
                    hit=None,
                    arm=arm,
                    question=question.text,
                    tokens=answer.cost.tokens_llm,
                )

    make_folder(options.output)
    folder, sides = options.output, [options.side]
    scenes = BenchScenes(folder, sides, options.scenes, options.questions, options.seed)
    print(table(measure(scenes, ask)))


def table(items: list[Item]) -> str:
    """A row for each arm, then what changed between the two."""
    rows = []
    for arm in ARMS:
        some = [item for item in items if item.arm == arm]
        tokens = round(fmean(item.tokens for item in some))
        rows.append([arm, str(len(some)), accuracy_text(some), str(tokens)])
    read, counted = ([i.answer == i.truth for i in items if i.arm == arm] for arm in ARMS)
    won = sum(one > other for one, other in zip(counted, read, strict=True))
    lost = sum(one < other for one, other in zip(counted, read, strict=True))
    header = ("number", "questions", "right", "tokens")
    return f"{markdown_table(header, rows)}\n\nwon {won}, lost {lost}"


if __name__ == "__main__":
    main()
