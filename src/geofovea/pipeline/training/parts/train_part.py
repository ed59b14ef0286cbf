"""Training of a part beside a model: one loop for all of them, reproducible and resumable.

What step i learns from is a function of the seed and of i, so a run that was stopped goes on as if
it had not been.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from geofovea.errors import DataError
from geofovea.pipeline.system.files import make_folder, write_file, write_text
from geofovea.pipeline.training.checkpoint import load_moments, moments_of
from geofovea.pipeline.training.curriculum import cosine_pace
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import HELD_OUT, LESSON_SPEC, Lessons, LessonStore
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.pipeline.training.run_log import RunLog
from geofovea.pipeline.training.samples import SampleSpec

__all__ = ["TrainedPart", "part_log", "train_part", "trained_tensors"]

_STATE_FILE = "part_state.safetensors"
_PROGRESS_FILE = "part_state.json"
_HELD_OUT_SHARDS = 4
_LOG_EVERY = 25
_MEASURE_EVERY = 400


class TrainedPart(Protocol):
    """Something that learns beside a model."""

    settings: dict[str, Any]

    def loss(self, lessons: Lessons, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """What is to fall, and what is worth logging."""
        ...

    def measure(self, lessons: Lessons) -> dict[str, float]:
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


def make_part(model: FrozenModel, recipe: PartRecipe) -> nn.Module:
    """The part of a recipe as it is before the first step."""
    torch.manual_seed(recipe.seed)
    if recipe.method == "dyvte":
        from geofovea.pipeline.training.parts.exits import ExitPart

        return ExitPart(model, recipe)
    if recipe.method == "saisa":
        from geofovea.pipeline.training.parts.saisa import SaisaPart

        return SaisaPart(model, recipe)
    from geofovea.pipeline.training.parts.resampled import ResampledPart

    return ResampledPart(model, recipe)


def train_part(
    model: FrozenModel,
    recipe: PartRecipe,
    folder: Path,
    *,
    lessons: Path | None = None,
    spec: SampleSpec = LESSON_SPEC,
    stop_after: float = math.inf,
) -> Iterator[dict[str, Any]]:
    """Train a part, or go on training, and yield one log record at a time.

    Args:
        model: What it is trained beside.
        recipe: How. The number of steps may differ from that of a run that is resumed; nothing
            else may.
        folder: Where state and log are kept; made if missing.
        lessons: Where lessons are kept, which parts of one model can share; in the folder if None.
        spec: What they show.
        stop_after: Seconds after which to stop with a state, to be resumed later.

    Raises:
        DataError: If the folder holds the state of another run.
        OutputError: If the folder cannot be made.
    """
    started = time.monotonic()
    make_folder(folder)
    torch.set_flush_denormal(True)
    part: Any = make_part(model, recipe)
    optimizer = torch.optim.AdamW(
        part.rates(recipe), betas=(0.9, 0.95), weight_decay=recipe.weight_decay
    )
    peaks = [group["lr"] for group in optimizer.param_groups]
    step = _resumed(part, optimizer, recipe, folder)
    log = part_log(folder)
    log.forget_beyond(step)
    store = LessonStore(lessons or folder / "lessons", model, recipe.seed, spec)
    known = Lessons.joined(list(store.shards(0, recipe.shards)))
    if hasattr(part, "prepare"):
        part.prepare(known)
    held_out = Lessons.joined(list(store.shards(HELD_OUT, _HELD_OUT_SHARDS)))
    last = time.monotonic()
    while step < recipe.steps:
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * cosine_pace(step, recipe.warmup, recipe.steps)
        draw = torch.Generator().manual_seed((recipe.seed << 32) + step)
        chosen = torch.randint(len(known), (recipe.lessons,), generator=draw)
        loss, record = part.loss(known.at(chosen), draw)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(part.parameters(), 1.0)
        optimizer.step()
        step += 1
        is_over = step == recipe.steps or time.monotonic() - started > stop_after
        if step % _LOG_EVERY == 0 or is_over:
            now = time.monotonic()
            pace = {"seconds": round(now - last, 2)}
            last = now
            numbers = {name: round(value, 4) for name, value in record.items()}
            yield log.append({"step": step, "steps": recipe.steps, **numbers, **pace})
        if step % _MEASURE_EVERY == 0 or is_over:
            yield log.append({"step": step, "held_out": part.measure(held_out)})
            _save(part, optimizer, recipe, step, folder)
        if is_over:
            return


def _save(
    part: Any, optimizer: torch.optim.Optimizer, recipe: PartRecipe, step: int, folder: Path
) -> None:
    tensors = {f"part.{name}": value for name, value in _learned(part).items()}
    tensors |= {f"made.{name}": value for name, value in part.tensors().items()}
    # in one file with the weights, or a crash between two files would part them
    tensors |= moments_of(optimizer, "optimizer") | {"step": torch.tensor(step)}
    stored = {name: value.detach().clone().contiguous() for name, value in tensors.items()}
    write_file(folder / _STATE_FILE, lambda aside: save_file(stored, aside))
    progress = recipe.as_json() | {"made_with": part.settings}
    write_text(folder / _PROGRESS_FILE, json.dumps(progress, indent=1))


def _resumed(part: Any, optimizer: torch.optim.Optimizer, recipe: PartRecipe, folder: Path) -> int:
    """Load the state in a folder, if there is one, and return the step to go on from."""
    if not (folder / _PROGRESS_FILE).exists():
        return 0
    known = json.loads((folder / _PROGRESS_FILE).read_text())
    known.pop("made_with", None)
    ours = json.loads(json.dumps(recipe.as_json()))
    if known | {"steps": 0} != ours | {"steps": 0}:
        raise DataError(
            f"{folder} holds a run with another recipe: name another folder, or remove that one"
        )
    tensors = load_file(folder / _STATE_FILE)
    for name, value in _learned(part).items():
        value.data.copy_(tensors[f"part.{name}"])
    load_moments(optimizer, "optimizer", tensors)
    return int(tensors["step"])


def trained_tensors(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], int]:
    """What the part of a run is made of, what its modules are made with, and the steps it took.

    Raises:
        DataError: If the folder holds no state of a part.
    """
    if not (folder / _PROGRESS_FILE).exists():
        raise DataError(f"{folder} holds no state of a part: run geofovea train --with")
    tensors = load_file(folder / _STATE_FILE)
    made = {k.removeprefix("made."): v for k, v in tensors.items() if k.startswith("made.")}
    settings = json.loads((folder / _PROGRESS_FILE).read_text())["made_with"]
    return made, settings, int(tensors["step"])


def _learned(part: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in part.named_parameters() if value.requires_grad}
