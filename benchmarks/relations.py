"""How often are comparisons of places right, left open or wrong, and do stated errors hold?

All named sites of synthetic scenes are compared by twos and threes, in words: directions, sizes,
distances, orders. The truth is computed in the same way from the boxes of the world. An answer is
open if it says that the numbers are too close to tell. Of numbers, the table says how many lie
within their stated error, which is made for 19 of 20.

    python benchmarks/relations.py --scenes 12
    python benchmarks/relations.py --scenes 12 --world 2
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import shapely

from geofovea.datasets.synthetic.versions import VERSIONS
from geofovea.datasets.synthetic.world import GSD_M, Site, World
from geofovea.pipeline.answers.measurement import LocatedPlace, Measurement, Quantity
from geofovea.pipeline.evaluation.synthetic_bench import BenchScenes
from geofovea.pipeline.hosts.load import demo_model_of, load_host
from geofovea.pipeline.relations.compute import compute
from geofovea.pipeline.relations.place_question import PlaceQuestion
from geofovea.pipeline.relations.vocabulary import UNITS
from geofovea.pipeline.session.measuring import check_measurable
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.scene import Scene

DIRECTIONS = ("north", "south", "east", "west")
ENDS = ("right", "open", "not found", "wrong")
NUMBERS = ("distance", "area", "length", "width", "total area", "gap")
_PRECISE = 1e-6
"""Side of a token in the truth, in pixels: it has no error."""


def words_of(sites: Mapping[str, Site], rng: random.Random) -> Iterator[tuple[str, str]]:
    """Questions about some sites, each after its kind."""
    for name in sites:
        yield "area", f"How large is the {name}?"
        yield "length", f"How long is the {name}?"
        yield "width", f"How wide is the {name}?"
    for pair in itertools.combinations(sites, 2):
        one, two = rng.sample(pair, 2)
        yield "distance", f"How far is the {one} from the {two}?"
        yield "gap", f"What is the gap between the {one} and the {two}?"
        yield "total area", f"How large are the {one} and the {two} together?"
        yield "direction", f"Is the {one} {rng.choice(DIRECTIONS)} of the {two}?"
        yield "bearing", f"In which direction from the {two} is the {one}?"
        yield "larger", f"Is the {one} {rng.choice(('larger', 'smaller'))} than the {two}?"
        yield "longer", f"Is the {one} longer than the {two}?"
        away = GSD_M * math.dist(sites[one].box.center, sites[two].box.center)
        share = rng.choice((0.4, 0.6, 1.3, 1.6))
        yield "within", f"Is the {one} within {max(50, round(share * away))} m of the {two}?"
    for three in itertools.combinations(sites, 3):
        one, two, other = rng.sample(three, 3)
        listed = f"the {one}, the {two} or the {other}"
        end = rng.choice(DIRECTIONS)
        yield "largest", f"Which is {rng.choice(('largest', 'smallest'))}: {listed}?"
        yield "nearer", f"Is the {one} closer to the {two} than the {other}?"
        yield "nearest", f"Which is closest to the {one}: the {two} or the {other}?"
        yield "farthest", f"Which lies farthest {end}: {listed}?"
        yield "between", f"Is the {one} between the {two} and the {other}?"


def truth_of(words: str, world: World, scene: Scene) -> Measurement:
    """The answer from the boxes of a world."""
    question = check_measurable(words)
    assert isinstance(question, PlaceQuestion)
    regions = {site.kind: shapely.box(*site.box.as_tuple()) for site in world.named_sites}
    places = [LocatedPlace(name, regions[name], 0, _PRECISE, 1.0) for name in question.places]
    return compute(question, words, places, scene)


def end_of(measured: Measurement, truth: Measurement) -> str:
    """How an answer with a verdict ended: one of `ENDS`."""
    if measured.leaning is not None:
        return "open"
    if not measured.text:
        return "not found"
    return "right" if measured.text == truth.text else "wrong"


def is_held(number: Quantity, truth: Quantity) -> bool:
    """Whether the truth lies within the error of a number, in whatever units they are."""
    size = UNITS[number.unit].size
    return abs(size * number.value - UNITS[truth.unit].size * truth.value) <= size * number.error


def ends_table(ends: Mapping[str, Counter[str]]) -> str:
    """How answers with a verdict ended, by kind and over all."""
    every = sum(ends.values(), Counter[str]())
    rows = [
        [kind, str(some.total()), *(f"{some[end] / some.total():.2f}" for end in ENDS)]
        for kind, some in [*ends.items(), ("**all**", every)]
    ]
    return markdown_table(["asked", "questions", *ENDS], rows)


def held_table(held: Mapping[str, list[bool]]) -> str:
    """How many numbers lie within their error, by kind and over all."""
    every = [each for some in held.values() for each in some]
    rows = [
        [kind, str(len(some)), f"{sum(some) / len(some):.2f}"]
        for kind, some in [*held.items(), ("**all**", every)]
    ]
    return markdown_table(["number", "measured", "within the error"], rows)


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--scenes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=970_000)
    parser.add_argument("--world", type=int, choices=VERSIONS, default=1)
    parser.add_argument("--output", type=Path, default=Path("runs/relations"))
    options = parser.parse_args()
    host = load_host(demo_model_of([options.world]))
    make_folder(options.output)
    scenes = BenchScenes(
        options.output, [options.side], options.scenes, 1, options.seed, version=options.world
    )
    ends: defaultdict[str, Counter[str]] = defaultdict(Counter)
    held: defaultdict[str, list[bool]] = defaultdict(list)
    for scene in scenes:
        session = scene.session(host)
        sites = {site.kind: site for site in scene.world.named_sites}
        for kind, words in words_of(sites, random.Random(scene.world.seed)):
            measured = session.measure(words)
            truth = truth_of(words, scene.world, session.scene)
            if kind not in NUMBERS:
                ends[kind][end_of(measured, truth)] += 1
            elif measured.text:
                held[kind].append(is_held(measured.quantities[0], truth.quantities[0]))
        print(f"{scene.path.name}: {sum(map(Counter.total, ends.values()))} verdicts", flush=True)
    print(ends_table(ends))
    print(held_table(held))


if __name__ == "__main__":
    main()
