"""Does an answer say that the scene may not show what a question takes for granted?

Worlds that no training has seen are asked about every kind of site, those that they show once and
those that they do not show, and about every kind of thing at the sites that they show. A question
should have a warning if the site, or the thing there, is not shown, and no other time. The size of
a site, and of a thing at it, should be computed if it is there alone.

    python benchmarks/absences.py --scenes 8
    python benchmarks/absences.py --scenes 8 --world 2
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from geofovea.datasets.synthetic.versions import VERSIONS
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    measure,
)
from geofovea.pipeline.hosts.load import demo_model_of, load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tables import markdown_table

QUESTION = "What color is the {thing} at the {site}?"
SIGN = "the scene may not show the "
ASKED = ("ask, place", "measure, place", "ask, thing", "measure, thing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(BenchAnswer):
    """One answer: ``there`` where it takes what was named for shown by the scene, else ``not``.

    Attributes:
        asked: One of ``ASKED``.
    """

    asked: str


def verdicts(session: SceneSession, world: World) -> Iterator[tuple[str, str, bool, bool]]:
    """What was asked, of which name, whether it is there, and whether it is taken for there."""
    named = {site.kind: site for site in world.named_sites}
    # of a kind that stands there twice, nobody knows which is meant
    unclear = {site.kind for site in world.sites if site not in world.named_sites}
    for kind in SITES:
        if kind in unclear:
            continue
        is_there = kind in named
        known = next(iter(named[kind].things)).kind if is_there else THINGS[0]
        yield ASKED[0], kind, is_there, is_believed(session, known, kind)
        size = session.measure(f"How large is the {kind}?")
        yield ASKED[1], kind, is_there, bool(size.text)
        for thing in THINGS if is_there else ():
            name, shown = f"{thing} at {kind}", len(named[kind].of_kind(thing))
            yield ASKED[2], name, shown > 0, is_believed(session, thing, kind)
            if shown < 2:
                size = session.measure(f"How large is the {thing} at the {kind}?")
                yield ASKED[3], name, shown > 0, bool(size.text)


def is_believed(session: SceneSession, thing: str, site: str) -> bool:
    """Whether an answer has no doubt that there is a thing at a site."""
    answer = session.ask(QUESTION.format(thing=thing, site=site))
    return not any(SIGN in warning for warning in answer.warnings)


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=942_000)
    parser.add_argument("--output", type=Path, default=Path("runs/absences"))
    parser.add_argument("--world", type=int, default=1, choices=VERSIONS)
    parser.add_argument("--model", help="the demo model of the world by default")
    options = parser.parse_args()
    host = load_host(options.model or demo_model_of([options.world]))

    def ask(scene: BenchScene, _: Mapping[object, Item]) -> Iterator[Item]:
        world = scene.world
        for asked, name, is_there, is_taken in verdicts(scene.session(host), world):
            yield Item(
                side=world.width,
                scene=world.seed,
                category=name,
                answer="there" if is_taken else "not",
                truth="there" if is_there else "not",
                hit=None,
                asked=asked,
            )

    make_folder(options.output)
    places = options.output, [options.side], options.scenes, 1, options.seed
    scenes = BenchScenes(*places, version=options.world)
    print(table(measure(scenes, ask)))


def table(items: list[Item]) -> str:
    """A row for each kind of question and truth."""
    rows = []
    for asked in ASKED:
        for truth in ("there", "not"):
            some = [item for item in items if (item.asked, item.truth) == (asked, truth)]
            rows.append([asked, truth, str(len(some)), accuracy_text(some)])
    return markdown_table(("asked", "it is", "questions", "right"), rows)


if __name__ == "__main__":
    main()
