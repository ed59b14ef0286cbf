"""How often is the place that is named the extreme of its class really the extreme one?

Worlds that no training has seen. Every kind of thing that stands in one at least twice is asked
about: the northernmost and the two westernmost, the closest to a site, the largest. Each is
answered from the same list of places twice: as found, and with a second look at each place before
it is named. A wrong answer is parted by its cause: a false alarm is named, the extreme thing was
not found, or the order is wrong.

    python benchmarks/extremes.py --scenes 8
    python benchmarks/extremes.py --side 16384 --scenes 1 --seed 961000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofovea.datasets.synthetic.world import Thing, World
from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.evaluation.synthetic_bench import (
    BenchAnswer,
    BenchScene,
    BenchScenes,
    measure,
)
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.places.place_list import Places
from geofovea.pipeline.places.second_look import SecondLook
from geofovea.pipeline.places.things import located_place
from geofovea.pipeline.relations.extremes import Extent, compute_extreme
from geofovea.pipeline.relations.superlatives import Superlative, parse_superlative
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.pyramid import Box

ARMS = ("as found", "second look")
SURE = 0.8
RIGHT, FALSE_ALARM, MISSED, ORDER = "right", "a false alarm", "not found", "order"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(BenchAnswer):
    """One answer; ``answer`` is ``right`` or the cause of the error.

    Attributes:
        arm: One of ``ARMS``.
        confidence: As the answer has it.
    """

    arm: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Case:
    """A question, its kind, and the things that are right in their order."""

    kind: str
    text: str
    right: tuple[Thing, ...]
    others: tuple[Thing, ...]


def cases(world: World) -> Iterator[Case]:
    """What is asked about a world."""
    things: dict[str, list[Thing]] = {}
    for site in world.sites:
        for thing in site.things:
            things.setdefault(thing.kind, []).append(thing)
    for kind, some in sorted(things.items()):
        if len(some) < 2:
            continue
        yield _case("direction", f"the northernmost {kind}", some, lambda t: t.y)
        yield _case("direction", f"the two westernmost {kind}s", some, lambda t: t.x, 2)
        for site in world.named_sites[:1]:
            x, y = site.box.center
            text = f"Which {kind} is closest to the {site.kind}?"
            yield _case("distance", text, some, lambda t, x=x, y=y: math.hypot(t.x - x, t.y - y))
        if len({thing.half_length for thing in some}) == len(some):
            yield _case("size", f"the largest {kind}", some, lambda t: -t.half_length)


def _case(
    kind: str, text: str, things: Sequence[Thing], key: Callable[[Thing], float], count: int = 1
) -> Case:
    order = sorted(things, key=key)
    return Case(kind, text, tuple(order[:count]), tuple(order[count:]))


def verdict(case: Case, measured: Measurement, found: Sequence[Box]) -> str:
    """``right``, or what is wrong with the places that were named."""
    if not measured.text:
        return MISSED
    boxes = [place.box_scene for place in measured.places[: len(case.right)]]
    named = [_thing_at(box, (*case.right, *case.others)) for box in boxes]
    if None in named:
        return FALSE_ALARM
    if set(named) == set(case.right):
        return RIGHT
    is_there = all(any(box.intersection(thing.box) for box in found) for thing in case.right)
    return ORDER if is_there else MISSED


def _thing_at(box: Box, things: Sequence[Thing]) -> Thing | None:
    """The thing that shares most with a box, if any shares a quarter of the smaller one."""

    def share(thing: Thing) -> float:
        common = box.intersection(thing.box)
        return 0.0 if common is None else common.area / min(box.area, thing.box.area)

    best = max(things, key=share)
    return best if share(best) >= 0.25 else None


def answers(
    session: SceneSession, case: Case, places: Places, site: LocatedPlace | None
) -> Iterator[tuple[str, Measurement]]:
    """What is named for a case, in each arm."""
    question = parse_superlative(case.text)
    assert isinstance(question, Superlative)
    for arm in ARMS:
        calls = DirectCalls(session.host, session.tiles)
        budget = Budget(tiles=64, tokens=100_000)
        again = SecondLook(
            session.tiles, session.pyramid, question.thing, calls, QuestionUsage(), budget, 64
        )

        def look(place: LocatedPlace, again: SecondLook = again) -> float | None:
            return again.probability(place.box_scene)

        yield (
            arm,
            compute_extreme(
                question,
                [located_place(place) for place in places],
                session.scene,
                Extent(places.coverage.share, places.coverage.recall),
                site if question.reference else None,
                None if arm == ARMS[0] else look,
            ),
        )


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seed", type=int, default=961_000)
    parser.add_argument("--output", type=Path, default=Path("runs/extremes"))
    parser.add_argument("--model", default="embedded")
    options = parser.parse_args()
    host = load_host(options.model)

    def ask(scene: BenchScene, _: Mapping[object, Item]) -> Iterator[Item]:
        session = scene.session(host)
        located = session.measure(f"How large is the {scene.world.named_sites[0].kind}?").places
        places: dict[str, Places] = {}
        for case in cases(scene.world):
            thing = case.right[0].kind
            if thing not in places:
                places[thing] = session.find(thing)
            if case.kind == "distance" and not located:
                continue
            site = located[0] if located else None
            for arm, measured in answers(session, case, places[thing], site):
                yield Item(
                    side=scene.world.width,
                    scene=scene.world.seed,
                    category=case.kind,
                    answer=verdict(case, measured, [place.box_scene for place in places[thing]]),
                    truth=RIGHT,
                    hit=None,
                    arm=arm,
                    confidence=measured.confidence,
                )

    make_folder(options.output)
    scenes = BenchScenes(options.output, [options.side], options.scenes, 1, options.seed)
    print(table(measure(scenes, ask)))


def table(items: list[Item]) -> str:
    """A row for each kind and arm, and one for all kinds."""
    rows = []
    for kind in (*sorted({item.category for item in items}), "all"):
        for arm in ARMS:
            some = [i for i in items if kind in (i.category, "all") and i.arm == arm]
            sure = [item for item in some if item.confidence >= SURE]
            rows.append(
                [
                    kind,
                    arm,
                    str(len(some)),
                    accuracy_text(some),
                    *(str(sum(i.answer == c for i in some)) for c in (FALSE_ALARM, MISSED, ORDER)),
                    f"{sum(not item.correct for item in sure)} of {len(sure)}",
                ]
            )
    head = ["kind", "arm", "questions", "right", FALSE_ALARM, MISSED, ORDER]
    return markdown_table([*head, f"wrong of those with confidence {SURE}"], rows)


if __name__ == "__main__":
    main()
