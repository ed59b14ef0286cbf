"""Training of a part beside a model: one loop for all of them, reproducible and resumable.

What step i learns from is a function of the seed and of i, so a stopped run resumes as if it had
never stopped.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from geofovea.errors import DataError
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.training.checkpoint import (
    SAVE_EVERY_SECONDS,
    SaveClock,
    damaged_run,
    load_means,
    load_moments,
    locked_run,
    means_of,
    moments_of,
    other_recipe,
    read_run,
    write_run,
)
from geofovea.pipeline.training.curriculum import cosine_pace
from geofovea.pipeline.training.losses import check_finite
from geofovea.pipeline.training.parts.band_lessons import BandLessonStore
from geofovea.pipeline.training.parts.bands import BandPart
from geofovea.pipeline.training.parts.dual import DualPart
from geofovea.pipeline.training.parts.exits import ExitPart
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import HELD_OUT, LESSON_SPEC, LessonStore
from geofovea.pipeline.training.parts.phrase_lessons import PhraseLessonStore
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.pipeline.training.parts.resampled import ResampledPart
from geofovea.pipeline.training.parts.saisa import SaisaPart
from geofovea.pipeline.training.parts.stacked_lessons import StackedLessonStore
from geofovea.pipeline.training.parts.stacks import StackPart
from geofovea.pipeline.training.parts.thresholds import ThresholdPart
from geofovea.pipeline.training.run_log import RunLog, StepMeans
from geofovea.pipeline.training.samples import SampleSpec

__all__ = ["TrainedPart", "has_state", "part_log", "train_part", "trained_tensors"]

_STATE_FILE = "part_state.safetensors"
_PROGRESS_FILE = "part_state.json"
_HELD_OUT_SHARDS = 4
_LOG_EVERY = 25
_MEASURE_EVERY = 400


class TrainedPart(Protocol):
    """Something that learns beside a model."""

    settings: dict[str, Any]

    def prepare(self, lessons: Any) -> None:
        """Compute once what is learned from, or put weights where a first step begins."""
        ...

    def loss(self, lessons: Any, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """What is to fall, and what is worth logging."""
        ...

    def measure(self, lessons: Any) -> dict[str, float]:
        """What is known of it on held-out lessons."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What it is made of, under the names in its file."""
        ...

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """Parameters with their peak rates."""
        ...


def part_log(run: Path) -> RunLog:
    """The log of a run."""
    return RunLog(run / "part_log.jsonl")


def _make_part(model: FrozenModel, recipe: PartRecipe) -> nn.Module:
    """The part of a recipe as it is before the first step."""
    torch.manual_seed(recipe.seed)
    return _PARTS.get(recipe.method, ResampledPart)(model, recipe)


_PARTS: dict[str, type[nn.Module]] = {
    "dyvte": ExitPart,
    "saisa": SaisaPart,
    "atp": ThresholdPart,
    "deepstack": StackPart,
    "bands": BandPart,
    "dual_encoder": DualPart,
}
"""What learns for a method; the others are resamplers."""

_STORES: dict[str, type[LessonStore]] = {
    "deepstack": StackedLessonStore,
    "bands": BandLessonStore,
    "dual_encoder": PhraseLessonStore,
}
"""Lessons of methods that need their own."""


def train_part(
    model: FrozenModel,
    recipe: PartRecipe,
    folder: Path,
    *,
    lessons: Path | None = None,
    spec: SampleSpec = LESSON_SPEC,
    stop_after: float = math.inf,
    save_every: float = SAVE_EVERY_SECONDS,
) -> Iterator[dict[str, Any]]:
    """Train a part, or go on training, and yield one log record at a time.

    Lessons are made first, and a record tells of each shard. Where the time is over before all are
    there, the run has no state yet, and the same call continues with the next shard.

    Args:
        model: What it is trained beside.
        recipe: How. The number of steps may differ from that of a run that is resumed; nothing
            else may.
        folder: Where state and log are kept; made if missing.
        lessons: Where lessons are kept, which parts of one model can share; in the folder if None.
        spec: What they show, of the recipe's worlds.
        stop_after: Seconds after which to stop, to be resumed later: once all lessons are there,
            after one step at least.
        save_every: Seconds between states that a killed run can go on from.

    Raises:
        DataError: If the folder holds the state of another run, or a damaged one.
        TrainingError: If a loss is not a number; the last state stays.
        OutputError: If the folder cannot be written, or another training is running there.
    """
    make_folder(folder)
    with locked_run(folder):
        yield from _records(model, recipe, folder, lessons, spec, stop_after, save_every)


def _records(
    model: FrozenModel,
    recipe: PartRecipe,
    folder: Path,
    lessons: Path | None,
    spec: SampleSpec,
    stop_after: float,
    save_every: float,
) -> Iterator[dict[str, Any]]:
    """See ``train_part``; nobody else trains in the folder."""
    started = time.monotonic()
    torch.set_flush_denormal(True)
    run = _Run(_make_part(model, recipe), recipe, folder)
    kind = _STORES.get(recipe.method, LessonStore)
    stores = [
        kind(lessons or folder / "lessons", model, recipe.seed, replace(spec, world=world))
        for world in recipe.worlds
    ]
    numbers = [*range(recipe.shards), *range(HELD_OUT, HELD_OUT + _HELD_OUT_SHARDS)]
    shards = [(stores[number % len(stores)], number) for number in numbers]
    yield from _make_lessons(shards, started + stop_after)
    if not all(store.has(number) for store, number in shards):
        return
    known, held_out = (
        kind.kind.joined([store.shard(number) for store, number in some])
        for some in (shards[: recipe.shards], shards[recipe.shards :])
    )
    run.begin(known)
    if not run.step:
        # what it has to beat
        yield run.measured(held_out)
    last, clock = time.monotonic(), SaveClock(save_every)
    while run.step < recipe.steps:
        run.means.add(run.take_step(known))
        is_over = run.step == recipe.steps or time.monotonic() - started > stop_after
        if run.step % _LOG_EVERY == 0 or is_over:
            now = time.monotonic()
            where = {"step": run.step, "steps": recipe.steps}
            yield run.log.append(where | run.means.taken() | {"seconds": round(now - last, 2)})
            last = now
        if run.step % _MEASURE_EVERY == 0 or is_over:
            yield run.measured(held_out)
        if clock.is_due or is_over:
            run.save()
            clock.restart()
        if is_over:
            return


def _make_lessons(
    shards: Sequence[tuple[LessonStore, int]], deadline: float
) -> Iterator[dict[str, Any]]:
    """Make the shards of lessons that are missing, and yield a record of each.

    Args:
        shards: All that are wanted: where each is kept, and its number there.
        deadline: Reading of the monotonic clock after which no further one is begun.
    """
    missing = [(store, number) for store, number in shards if not store.has(number)]
    for left, (store, number) in zip(range(len(missing) - 1, -1, -1), missing, strict=True):
        store.shard(number)
        yield {"shards_of_lessons": len(shards) - left, "of": len(shards)}
        if time.monotonic() > deadline:
            return


class _Run:
    """A part, its optimizer and the step it is at, in the folder of a run."""

    def __init__(self, part: Any, recipe: PartRecipe, folder: Path) -> None:
        """Go on with the state in the folder, if there is one."""
        self.part, self.recipe, self.folder = part, recipe, folder
        self._optimizer = torch.optim.AdamW(
            part.rates(recipe), betas=(0.9, 0.95), weight_decay=recipe.weight_decay
        )
        self._peaks = [group["lr"] for group in self._optimizer.param_groups]
        self.means = StepMeans()
        self.step = self._resumed()
        self.log = part_log(folder)
        # a run without a state measures again what it has to beat
        self.log.forget_beyond(self.step or -1)

    def begin(self, known: Any) -> None:
        """Let the part compute what it learns from; a state, if there is one, stands above that."""
        self.part.prepare(known)
        # a part that puts its weights where a first step begins did so before, in the first run
        self.step = self._resumed()

    def take_step(self, known: Any) -> dict[str, float]:
        """Learn from the lessons of the next step; what is worth logging of it."""
        recipe, optimizer = self.recipe, self._optimizer
        pace = cosine_pace(self.step, recipe.warmup, recipe.steps)
        for group, peak in zip(optimizer.param_groups, self._peaks, strict=True):
            group["lr"] = peak * pace
        draw = torch.Generator().manual_seed((recipe.seed << 32) + self.step)
        chosen = torch.randint(len(known), (recipe.lessons,), generator=draw)
        record: dict[str, float]
        loss, record = self.part.loss(known.at(chosen), draw)
        check_finite(loss.detach(), self.step + 1, "another --seed or --scale")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.part.parameters(), 1.0)
        optimizer.step()
        self.step += 1
        return {"loss": loss.item()} | record

    def measured(self, held_out: Any) -> dict[str, Any]:
        """What the part does on lessons that it does not learn from, logged."""
        return self.log.append({"step": self.step, "held_out": self.part.measure(held_out)})

    def save(self) -> None:
        """Write the state in place of the one before."""
        part = self.part
        tensors = {f"part.{name}": value for name, value in _learned(part).items()}
        tensors |= {f"made.{name}": value for name, value in part.tensors().items()}
        tensors |= moments_of(self._optimizer, "optimizer") | means_of(self.means)
        tensors["step"] = torch.tensor(self.step)
        progress = self.recipe.as_json() | {"made_with": part.settings}
        write_run(self.folder, _PROGRESS_FILE, _STATE_FILE, progress, tensors)

    def _resumed(self) -> int:
        """Load the state in the folder, if there is one, and return the step to go on from."""
        path = self.folder / _PROGRESS_FILE
        if not path.exists():
            return 0
        theirs, tensors = read_run(self.folder, _PROGRESS_FILE, _STATE_FILE)
        theirs.pop("made_with", None)
        # earlier states name one world, and the first ones none
        theirs.setdefault("worlds", [theirs.pop("world", 1)])
        ours = json.loads(json.dumps(self.recipe.as_json()))
        if theirs | {"steps": 0} != ours | {"steps": 0}:
            raise other_recipe(self.folder)
        try:
            for name, value in _learned(self.part).items():
                value.data.copy_(tensors[f"part.{name}"])
            load_moments(self._optimizer, "optimizer", tensors)
            self.means = load_means(tensors)
            return int(tensors["step"])
        except (KeyError, ValueError, RuntimeError) as error:
            raise damaged_run(self.folder, _PROGRESS_FILE, error) from error


def has_state(folder: Path) -> bool:
    """Whether a run has taken a step, and so has a part to write."""
    return (folder / _PROGRESS_FILE).exists()


def trained_tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], int]:
    """What the part of a run is made of, what its modules are made with, and the steps it took.

    Raises:
        DataError: If the folder holds no state of a part, or a damaged one.
    """
    if not has_state(folder):
        raise DataError(f"{folder} holds no state of a part: run geofovea train --with")
    progress, tensors = read_run(folder, _PROGRESS_FILE, _STATE_FILE)
    made = {k.removeprefix("made."): v for k, v in tensors.items() if k.startswith("made.")}
    try:
        return made, progress["made_with"], int(tensors["step"])
    except KeyError as error:
        raise damaged_run(folder, _PROGRESS_FILE, error) from error


def _learned(part: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in part.named_parameters() if value.requires_grad}
