"""Does an answer say that the scene may not show the place that a question names?

Worlds that no training has seen are asked about every kind of site: those that they show once, and
those that they do not show. A question about a thing there should have a warning if the site is
not there, and no other time. The size of a site should be computed if it is there alone.

    python benchmarks/absent_places.py --scenes 8
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from geofovea.datasets.synthetic.vocabulary import SITES
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    measure,
)
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tables import markdown_table

QUESTION = "What color is the plane at the {site}?"
SIGN = "the scene may not show the "
DOORS = ("ask", "measure")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(BenchAnswer):
    """One answer: ``there`` where it takes the place for one that the scene shows, else ``not``.

    Attributes:
        door: One of ``DOORS``.
    """

    door: str


def verdicts(session: SceneSession, site: str) -> Iterator[tuple[str, bool]]:
    """Whether each of the doors takes a site for one that is there."""
    answer = session.ask(QUESTION.format(site=site))
    yield DOORS[0], not any(SIGN in warning for warning in answer.warnings)
    yield DOORS[1], bool(session.measure(f"How large is the {site}?").text)


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=942_000)
    parser.add_argument("--output", type=Path, default=Path("runs/absent_places"))
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    host = load_host(options.model)

    def ask(scene: BenchScene, _: Mapping[object, Item]) -> Iterator[Item]:
        session, world = scene.session(host), scene.world
        named = {site.kind for site in world.named_sites}
        # of a kind that stands there twice, nobody knows which is meant
        unclear = {site.kind for site in world.sites} - named
        for site in SITES:
            if site in unclear:
                continue
            for door, is_there in verdicts(session, site):
                yield Item(
                    side=world.width,
                    scene=world.seed,
                    category=site,
                    answer="there" if is_there else "not",
                    truth="there" if site in named else "not",
                    hit=None,
                    door=door,
                )

    make_folder(options.output)
    scenes = BenchScenes(options.output, [options.side], options.scenes, 1, options.seed)
    print(table(measure(scenes, ask)))


def table(items: list[Item]) -> str:
    """A row for each door and truth."""
    rows = []
    for door in DOORS:
        for truth in ("there", "not"):
            some = [item for item in items if (item.door, item.truth) == (door, truth)]
            rows.append([door, truth, str(len(some)), accuracy_text(some)])
    return markdown_table(("by", "the place is", "questions", "right"), rows)


if __name__ == "__main__":
    main()
