"""Are questions that only near infrared answers answered from four bands, and at what cost?

    python benchmarks/band_questions.py --model runs/bands/model --output runs/band_questions

Worlds of version 2 that no training used are drawn, with near infrared. Every lawn is asked about
without a picture, from red, green and blue, from the NDVI composite, and from four bands, there
also with the place given. *Found* is the share of the lawns of which native tiles of the search
show at least half. In the first scenes, questions about what colors show are asked of the model as
it was, and of its part with and without the band.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from geofovea.datasets.synthetic.lawn_questions import ask_lawns
from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.versions import world_of
from geofovea.pipeline.evaluation.metrics import accuracy_text, hit_rate, tile_share
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.opening import open_scene
from world_replies import WorldReply

FIRST_SEED = 987_000
"""Beyond those of every training and of the published benches."""


@dataclass(frozen=True)
class BandReply(WorldReply):
    """One answer.

    Attributes:
        share: Of the place of the question, how much native tiles of the search show; None where
            there was none.
    """

    share: float | None = None


class BandScene:
    """One scene, ready to be asked about in all ways.

    Attributes:
        lawns: Of questions about lawns, by the name of the way.
        colors: Of the others.
    """

    def __init__(self, path: Path, host: object, seed: int, side: int) -> None:
        """Open sessions; nothing is read yet."""
        scene, self._seed, self._side = open_scene(path), seed, side
        self.reader = host.parts.band_reader(host).host
        four = SceneSession(scene, host, composite="rgb-nir", cache_tokens=False)
        colors = SceneSession(scene, self.reader, cache_tokens=False)
        ndvi = SceneSession(scene, self.reader, composite="ndvi", cache_tokens=False)
        stock = SceneSession(scene, host, cache_tokens=False)
        self.lawns = {"red, green, blue": colors, "NDVI composite": ndvi, "four bands": four}
        self.colors = {
            "the model alone": stock,
            "its part, red, green, blue": colors,
            "its part, four bands": four,
        }

    def reply(self, session: SceneSession, question: Question, *, place_given: bool) -> BandReply:
        """One answer, by a search or at the place of the question."""
        how = {"focus": "oracle", "boxes": [question.box]} if place_given else {}
        answer = session.ask(question.text, geometry="off", **how)
        target = question.box or question.places[0]
        share = None if place_given else tile_share(answer, [target])
        return self._judged(answer.text, question, share)

    def blind(self, question: Question) -> BandReply:
        """An answer without a picture, by the decoder of the part."""
        return self._judged(self.reader.generate(question.text, None).text, question, None)

    def _judged(self, text: str, question: Question, share: float | None) -> BandReply:
        return BandReply(self._seed, self._side, text == question.answer, text, share)


def replies_of(
    scene: BandScene, lawns: list[Question], others: list[Question]
) -> Iterator[tuple[str, str, BandReply]]:
    """All answers: what was asked, the way, the answer."""
    for question in lawns:
        yield "lawns", "no picture", scene.blind(question)
        for name, session in scene.lawns.items():
            yield "lawns", name, scene.reply(session, question, place_given=False)
        given = scene.reply(scene.lawns["four bands"], question, place_given=True)
        yield "lawns", "four bands, place given", given
    for question in others:
        for name, session in scene.colors.items():
            yield "colors", name, scene.reply(session, question, place_given=False)


def report(replies: dict[tuple[str, str], list[BandReply]]) -> str:
    """The table."""
    rows = []
    for (asked, way), own in replies.items():
        found = hit_rate(reply.share for reply in own)
        rate = "" if found is None else f"{found:.2f}"
        rows.append([asked, way, str(len(own)), accuracy_text(own), rate])
    return markdown_table(("questions about", "way", "questions", "accuracy", "found"), rows)


def main() -> None:
    """Ask all questions in all ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--scenes", type=int, default=16)
    parser.add_argument("--color-scenes", type=int, default=3)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--per-category", type=int, default=1)
    options = parser.parse_args()
    make_folder(options.output)
    host = load_host(options.model, threads=1)
    replies: dict[tuple[str, str], list[BandReply]] = {}
    for number in range(options.scenes):
        world = world_of(2, FIRST_SEED + number, options.side, options.side)
        path = options.output / f"scene_{options.side}_{number}.tif"
        if not path.exists():
            write_scene(world, path, bands=4)
        scene = BandScene(path, host, world.seed, options.side)
        lawns, others = ask_lawns(world, 100), []
        if number < options.color_scenes:
            others = ask_world(world, options.per_category)
        for asked, way, reply in replies_of(scene, lawns, others):
            replies.setdefault((asked, way), []).append(reply)
        table = report(replies)
        print(f"scene {number + 1} of {options.scenes}", table, sep="\n", flush=True)
        write_text(options.output / "band_questions.md", table)


if __name__ == "__main__":
    main()
