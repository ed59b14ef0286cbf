"""The loop of every bench: synthetic scenes on disk, their questions, and an answer to each.

Scenes are files on disk from held-out seeds. Every answer takes the whole way, from a path to text.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.synthetic.questions import Question, ask_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.versions import check_version, world_of
from geofovea.datasets.synthetic.world import World
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.answer_file import AnswerFile, Item
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.hosts.load import model_digest
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.progress import progress_bar
from geofovea.tiling.opening import open_scene

__all__ = [
    "BenchAnswer",
    "BenchScene",
    "BenchScenes",
    "Measurement",
    "bench_settings",
    "measure",
    "measure_ways",
    "question_facts",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchAnswer:
    """One answer to one question about a synthetic scene; each bench adds what it measures.

    Attributes:
        side: Side of the scene in pixels.
        scene: Seed of the scene; intervals resample scenes.
        category: Of the question.
        answer: What was answered.
        truth: What is right.
        hit: Whether the tiles or tokens that count covered at least half of the box (`metrics`);
            None without a box.
    """

    side: int
    scene: int
    category: str
    answer: str
    truth: str
    hit: bool | None

    @property
    def correct(self) -> bool:
        """Exact match; answers of the synthetic world are single words in lower case."""
        return self.answer == self.truth


def question_facts(world: World, question: Question) -> dict[str, Any]:
    """What a ``BenchAnswer`` holds of its question, whatever the answer is."""
    return {
        "side": world.width,
        "scene": world.seed,
        "category": question.category,
        "truth": question.answer,
    }


@dataclass(frozen=True, slots=True)
class BenchScene:
    """A scene of a bench.

    Attributes:
        path: Of its file.
        world: What it shows.
        questions: About it.
    """

    path: Path
    world: World
    questions: Sequence[Question]

    def session(self, host: Host) -> SceneSession:
        """The scene with a model, and with no tile in memory."""
        return SceneSession(open_scene(self.path), host)


@dataclass(frozen=True, slots=True)
class BenchScenes:
    """The scenes of a bench; they are written where they are missing, and used again.

    Attributes:
        folder: Of their files, which exists when they are gone through.
        sides: Of the scenes in pixels.
        of_each_side: Scenes of each side.
        per_category: Questions of each category.
        seed: Of the first scene; those of training are below 900,000.
        sides_in_turn: Whether every side comes with one scene before any comes with its second.
        version: Of the synthetic world, one of ``VERSIONS``.

    Raises:
        DataError: If there is nothing to ask, or no such version.
    """

    folder: Path
    sides: Sequence[int]
    of_each_side: int
    per_category: int
    seed: int
    sides_in_turn: bool = False
    version: int = 1

    def __post_init__(self) -> None:
        check_version(self.version)
        if self.of_each_side < 1 or self.per_category < 1 or not self.sides:
            raise DataError(
                "a bench needs at least one side, one scene and one question a category"
            )

    def __len__(self) -> int:
        return len(self.sides) * self.of_each_side

    def __iter__(self) -> Iterator[BenchScene]:
        seeds = range(self.seed, self.seed + self.of_each_side)
        places = [(side, seed) for side in self.sides for seed in seeds]
        if self.sides_in_turn:
            places = [(side, seed) for seed in seeds for side in self.sides]
        for side, seed in places:
            world = world_of(self.version, seed, side, side)
            # scenes of the first version bear the names that they had when there was one
            mark = "" if self.version == 1 else f"_world{self.version}"
            path = self.folder / f"scene_{side}_{seed}{mark}.tif"
            if not path.exists():
                write_scene(world, path)
            yield BenchScene(path, world, ask_world(world, self.per_category))


Measurement = Callable[[BenchScene, Mapping[Hashable, Item]], Iterator[Item]]
"""What is measured on a scene, an item at a time; those whose key has an answer are not asked."""


def measure(
    scenes: BenchScenes, measurement: Measurement[Item], file: AnswerFile[Item] | None = None
) -> list[Item]:
    """Go through all scenes.

    Args:
        scenes: With their questions.
        measurement: What is asked about each.
        file: Holds answers of an earlier run, and gets each new one as soon as it is there.

    Returns:
        All items of these scenes, those that were there among them, in the order of the questions.

    Raises:
        OutputError: If a scene or an answer cannot be written.
    """
    items: list[Item] = []
    with progress_bar("asking") as advance:
        for number, scene in enumerate(scenes, 1):
            for item in measurement(scene, {} if file is None else file.answers):
                if file is not None:
                    file.add(item)
                items.append(item)
            advance(number / len(scenes))
    return items


def measure_ways(
    folder: Path,
    sides: Sequence[int],
    scenes: int,
    seed: int,
    host: Host,
    budgets: Sequence[int],
    kind: type[Item],
    measurement: Measurement[Item],
    loading: Mapping[str, Any] | None = None,
    version: int = 1,
) -> list[Item]:
    """Measure ways to find or count things, some of them under budgets of tiles.

    Scenes and items that are already in the folder are used again.

    Args:
        folder: For the scenes and ``items.jsonl``.
        sides: Of the scenes in pixels.
        scenes: Scenes of each side.
        seed: Of the first scene.
        host: The model.
        budgets: Tiles of the ways under a budget.
        kind: Of the items.
        measurement: What is measured on a scene.
        loading: Options that loaded the model, as far as they differ from their defaults.
        version: Of the synthetic world, one of ``VERSIONS``.

    Raises:
        DataError: If there is nothing to measure, or the folder holds a run with other settings.
        OutputError: If the folder cannot be written.
    """
    if not budgets or min(budgets) < 1:
        raise DataError(f"a budget has at least one tile, got {list(budgets)}")
    places = BenchScenes(folder, sides, scenes, 1, seed, version=version)
    make_folder(folder)
    settings = bench_settings(host, loading, version, budgets=list(budgets))
    return measure(places, measurement, AnswerFile(folder / "items.jsonl", kind, settings))


def bench_settings(
    host: Host, loading: Mapping[str, Any] | None, version: int, **others: Any
) -> dict[str, Any]:
    """What answers of a bench depend on, beside their keys.

    Args:
        host: The model.
        loading: Options that loaded it, as far as they differ from their defaults.
        version: Of the synthetic world, one of ``VERSIONS``.
        **others: What the bench adds.
    """
    settings = {"model": host.name, "model_digest": model_digest(host.name), **others}
    if loading:
        settings["loading"] = dict(loading)
    if version != 1:
        # runs from the time when there was one version have not named it, and still continue
        settings["world"] = version
    return settings
