"""Questions answered from a scene memory, beside the same questions without one.

    python benchmarks/scene_memory.py --output runs/scene_memory

Worlds that no training used are drawn, and each question is asked without a memory and from one
that stores exactly, in four bits, and as VidKV does. A way begins each scene anew. What is printed:
accuracy with its interval over scenes, the share of answers that are the stock ones, CPU seconds of
the first question of a scene and of a later one as ratios, and bytes for each vision token.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median

from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.world import World, make_world
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.evaluation.metrics import accuracy_text
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder, write_text
from geofovea.pipeline.system.tables import markdown_table
from geofovea.tiling.opening import open_scene
from side_by_side import cpu_seconds

FIRST_SEED = 990_000
"""Beyond those of every training and of the published benches."""
WAYS: dict[str, MemoryOptions | None] = {
    "no memory": None,
    "exact": MemoryOptions(policy="exact"),
    "4 bits": MemoryOptions(policy="plain"),
    "vidkv": MemoryOptions(policy="vidkv"),
}


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        scene: Seed of its world.
        side: Of its scene, in pixels.
        correct: Whether it is the right word.
        text: The word.
        cpu: Seconds of CPU.
        is_first: Whether it was the first question of its scene.
    """

    scene: int
    side: int
    correct: bool
    text: str
    cpu: float
    is_first: bool


@dataclass
class Way:
    """All answers in one way.

    Attributes:
        replies: In the order of the questions.
        bytes_a_token: Of each scene, at its end; empty without a memory.
    """

    replies: list[Reply] = field(default_factory=list)
    bytes_a_token: list[float] = field(default_factory=list)

    def cpu(self, *, first: bool) -> float:
        """Median of the first questions of the scenes, or of the later ones."""
        return median(reply.cpu for reply in self.replies if reply.is_first is first)


def ask_all(host: Host, folder: Path, scenes: int, side: int, each: int) -> dict[str, Way]:
    """Ask all questions about all scenes in all ways, scene after scene."""
    ways = {name: Way() for name in WAYS}
    for number in range(scenes):
        world = make_world(FIRST_SEED + number, side, side)
        path = folder / f"scene_{number}.tif"
        if not path.exists():
            write_scene(world, path)
        questions = ask_world(world, each)
        for name, memory in WAYS.items():
            ask_scene(host, path, world, questions, memory, ways[name])
        print(f"scene {number + 1} of {scenes}", flush=True)
    return ways


def ask_scene(
    host: Host,
    path: Path,
    world: World,
    questions: Sequence[Question],
    memory: MemoryOptions | None,
    way: Way,
) -> None:
    """Ask the questions about one scene in one way."""
    if hasattr(host, "forget_prefixes"):
        host.forget_prefixes()
    session = SceneSession(open_scene(path), host, cache_tokens=False, memory=memory)
    for number, question in enumerate(questions):
        before = cpu_seconds()
        answer = session.ask(question.text)
        cpu = cpu_seconds() - before
        is_right = answer.text == question.answer
        way.replies.append(Reply(world.seed, world.width, is_right, answer.text, cpu, number == 0))
    if session.memory is not None:
        way.bytes_a_token.append(session.memory.nbytes / max(1, session.memory.tokens))


def report(ways: dict[str, Way]) -> str:
    """The table."""
    stock = ways["no memory"]
    rows = []
    for name, way in ways.items():
        same = mean(a.text == b.text for a, b in zip(way.replies, stock.replies, strict=True))
        rows.append([
            name,
            accuracy_text(way.replies),
            f"{same:.3f}",
            f"{way.cpu(first=True) / stock.cpu(first=True):.2f}",
            f"{way.cpu(first=False) / stock.cpu(first=False):.2f}",
            f"{mean(way.bytes_a_token):.0f}" if way.bytes_a_token else "-",
        ])  # fmt: skip
    titles = ("memory", "accuracy", "same", "CPU, first", "CPU, later", "bytes a token")
    return markdown_table(titles, rows)


def main() -> None:
    """Run all ways and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--per-category", type=int, default=2)
    options = parser.parse_args()
    make_folder(options.output)
    host = load_host(options.model, threads=1)
    ways = ask_all(host, options.output, options.scenes, options.side, options.per_category)
    table = report(ways)
    print(table)
    write_text(options.output / "scene_memory.md", table)


if __name__ == "__main__":
    main()
