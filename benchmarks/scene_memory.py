"""Questions answered from a scene memory, beside the same questions without one.

    python benchmarks/scene_memory.py --output runs/scene_memory

Worlds that no training used are drawn. The questions about a scene are asked without a memory, in
one session; then from memories that store and read in several ways: once from an empty one, which
the questions fill, and once from one on disk that holds all tiles of all levels. What is printed:
accuracy with its interval over scenes; how much it differs from that without a memory, with the
interval of the difference; the share of answers that are those without a memory; CPU
seconds of a further question beside one without a memory, from a memory that fills and from a full
one; how much less CPU all questions of a scene take from a full memory, opening included, than each
in a session of its own; bits a value with all that is stored beside them; megabytes a gigapixel.
A stopped run resumes after the last scene that was finished.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

from geofovea.datasets.scoring.metrics import interval_text
from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import World, make_world
from geofovea.pipeline.engine.memory_fill import fill_memory, tiles_of_levels
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.evaluation.metrics import accuracy_text, difference_interval
from geofovea.pipeline.focus.token_pair import token_pair_beside
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.cache_policies.kv_spec import parse_kv
from geofovea.tiling.opening import open_scene
from side_by_side import cpu_seconds
from world_replies import WorldReply, same_share

FIRST_SEED = 990_000
"""Beyond those of every training and of the published benches."""
STOCK = "no memory"
WAYS = (
    "exact",
    "plain:4",
    "plain:2",
    "zipcache",
    "vidkv",
    "plain:2+tokenselect:0.05",
    "plain:2+compresskv:0.1",
)
_MEGABYTES = 2000.0


@dataclass(frozen=True)
class Reply(WorldReply):
    """One answer, and what it cost.

    Attributes:
        cpu: Seconds of CPU.
        is_first: Whether it was the first question of its session.
    """

    cpu: float
    is_first: bool


@dataclass
class Way:
    """All answers in one way.

    Attributes:
        filling: From a memory that the questions fill, or without one; empty for ways that differ
            from another in what they read alone.
        full: From a memory on disk that holds everything.
        opening: CPU seconds of opening each scene with a full memory.
        bits: Bits a value of each scene, with everything that is stored.
        megabytes_a_gigapixel: Of each scene.
    """

    filling: list[Reply] = field(default_factory=list)
    full: list[Reply] = field(default_factory=list)
    opening: list[float] = field(default_factory=list)
    bits: list[float] = field(default_factory=list)
    megabytes_a_gigapixel: list[float] = field(default_factory=list)

    def __iadd__(self, other: Way) -> Way:
        """With the answers about further scenes."""
        for name in vars(self):
            getattr(self, name).extend(getattr(other, name))
        return self

    @classmethod
    def from_record(cls, record: dict[str, list[Any]]) -> Way:
        """What `asdict` made of it."""
        replies = {name: [Reply(**each) for each in record[name]] for name in ("filling", "full")}
        return cls(**(record | replies))


@dataclass(frozen=True)
class Bench:
    """One scene and its questions.

    Attributes:
        host: The model.
        path: Of the scene.
        world: What it shows.
        questions: What is asked.
    """

    host: Host
    path: Path
    world: World
    questions: Sequence[Question]

    def session(self, kv: str, *, on_disk: bool) -> SceneSession:
        """A session, with a memory unless it is the stock way."""
        memory = None if kv == STOCK else MemoryOptions(_MEGABYTES, kv)
        if hasattr(self.host, "forget_prefixes"):
            self.host.forget_prefixes()
        if pair := token_pair_beside(self.host, self.host.name):
            pair.forget()
        return SceneSession(open_scene(self.path), self.host, cache_tokens=on_disk, memory=memory)

    def replies(self, session: SceneSession) -> list[Reply]:
        """All questions, one after the other."""
        return [
            self.reply(session, question, is_first=number == 0)
            for number, question in enumerate(self.questions)
        ]

    def reply(self, session: SceneSession, question: Question, *, is_first: bool) -> Reply:
        """One question."""
        before = cpu_seconds()
        answer = session.ask(question.text)
        cpu = cpu_seconds() - before
        is_right = answer.text == question.answer
        return Reply(self.world.seed, self.world.width, is_right, answer.text, cpu, is_first)

    def alone(self, count: int) -> float:
        """CPU seconds of all questions, each in a session of its own without a memory.

        Args:
            count: Questions that are asked so; the others are taken to cost as much.
        """
        replies = [
            self.reply(self.session(STOCK, on_disk=False), question, is_first=True)
            for question in self.questions[:: max(1, len(self.questions) // count)][:count]
        ]
        return mean(reply.cpu for reply in replies) * len(self.questions)

    def ask(self, kv: str, way: Way) -> None:
        """All questions in one way."""
        if kv == STOCK or parse_kv(kv).reader is None:
            way.filling += self.replies(self.session(kv, on_disk=False))
        if kv == STOCK:
            return
        self.fill(kv, way)
        before = cpu_seconds()
        session = self.session(kv, on_disk=True)
        way.opening.append(cpu_seconds() - before)
        way.full += self.replies(session)

    def fill(self, kv: str, way: Way) -> None:
        """Store everything on disk, and say how much it is."""
        session = self.session(kv, on_disk=True)
        memory, pyramid = session.memory, session.pyramid
        if memory is None:
            raise ValueError(f"{kv} has no memory to fill")
        fill_memory(memory, tiles_of_levels(pyramid), int(_MEGABYTES * 1e6))
        config = memory.prompts.decoder.config
        values = 2 * config.num_hidden_layers * config.num_key_value_heads * _head_dim(config)
        way.bits.append(8 * memory.nbytes / (memory.tokens * values))
        pixels = self.world.width * self.world.height
        way.megabytes_a_gigapixel.append(memory.nbytes / 1e6 / (pixels / 1e9))


def _head_dim(config: object) -> int:
    """Numbers of a key of one head."""
    own = getattr(config, "head_dim", None)
    return own or config.hidden_size // config.num_attention_heads  # type: ignore[attr-defined]


def run(options: argparse.Namespace) -> str:
    """Ask all questions about all scenes in all ways, scene after scene; the table."""
    host = load_host(options.model, threads=1)
    ways, alone, table = {kv: Way() for kv in (STOCK, *options.kv)}, 0.0, ""
    for number in range(options.scenes):
        of_scene, of_alone = measured(host, options, options.seed + number)
        alone += of_alone
        for kv, way in of_scene.items():
            ways[kv] += way
        table = report(ways, alone)
        print(f"scene {number + 1} of {options.scenes}, {time.process_time():.0f} s", flush=True)
        # what was measured stands there if the rest is not waited for
        write_text(options.output / "scene_memory.md", table)
    return table


def measured(host: Host, options: argparse.Namespace, seed: int) -> tuple[dict[str, Way], float]:
    """All answers about one scene, and `Bench.alone`; from an earlier run if that was the same."""
    wanted = {name: getattr(options, name) for name in ("model", "side", "per_category", "kv")}
    kept = options.output / f"scene_{seed}.json"
    if kept.exists():
        record = json.loads(kept.read_text())
        if record["options"] == wanted:
            return {kv: Way.from_record(way) for kv, way in record["ways"].items()}, record["alone"]
    world = make_world(seed, options.side, options.side)
    path = options.output / f"scene_{options.side}_{seed}.tif"
    if not path.exists():
        write_scene(world, path)
    bench = Bench(host, path, world, ask_world(world, options.per_category))
    alone, ways = bench.alone(options.alone), {kv: Way() for kv in (STOCK, *options.kv)}
    for kv, way in ways.items():
        bench.ask(kv, way)
    of_ways = {kv: asdict(way) for kv, way in ways.items()}
    write_text(kept, json.dumps({"options": wanted, "ways": of_ways, "alone": alone}))
    return ways, alone


def report(ways: dict[str, Way], apart: float) -> str:
    """The table.

    Args:
        ways: All answers.
        apart: CPU seconds of all questions, each in a session of its own.
    """
    stock = ways[STOCK].filling
    later = median(r.cpu for r in stock if not r.is_first)
    rows = [
        _row(STOCK, stock, stock, [
            "1", "-", f"{apart / sum(r.cpu for r in stock):.1f}", "-", "-",
        ]),
    ]  # fmt: skip
    for kv, way in ways.items():
        if kv == STOCK:
            continue
        filling = [r.cpu for r in way.filling if not r.is_first]
        full = median(r.cpu for r in way.full if not r.is_first)
        whole = sum(r.cpu for r in way.full) + sum(way.opening)
        rows.append(_row(kv, way.full, stock, [
            f"{median(filling) / later:.2f}" if filling else "-",
            f"{full / later:.2f}",
            f"{apart / whole:.1f}",
            f"{mean(way.bits):.2f}",
            f"{mean(way.megabytes_a_gigapixel):.0f}",
        ]))  # fmt: skip
    titles = (
        "--kv",
        "accuracy",
        "difference",
        "same",
        "CPU, filling",
        "CPU, full",
        "times faster",
        "bits a value",
        "MB a gigapixel",
    )
    return markdown_table(titles, rows)


def _row(name: str, replies: Sequence[Reply], stock: Sequence[Reply], rest: list[str]) -> list[str]:
    same, (more, *interval) = same_share(replies, stock), difference_interval(replies, stock)
    difference = "-" if replies is stock else f"{more:+.3f} {interval_text(*interval, '+.3f')}"
    return [name, accuracy_text(replies), difference, f"{same:.3f}", *rest]


def main() -> None:
    """Run all ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="Of the first scene.")
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--per-category", type=int, default=2)
    parser.add_argument("--alone", type=int, default=2)
    parser.add_argument("--kv", nargs="+", default=list(WAYS))
    options = parser.parse_args()
    make_folder(options.output)
    os.environ["GEOFOVEA_CACHE_DIR"] = str(options.output / "cache")
    print(run(options))


if __name__ == "__main__":
    main()
