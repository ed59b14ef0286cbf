"""The state of a training run: weights, moments and step, in the folder of the run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geofovea.errors import DataError
from geofovea.pipeline.system.files import sole_user, write_text
from geofovea.pipeline.system.tensor_files import write_tensors
from geofovea.pipeline.training.curriculum import TrainingConfig, config_from_json
from geofovea.pipeline.training.run_log import StepMeans
from geofovea.pipeline.training.student import Student
from geofovea.tiling.machine.system_errors import why_unwritten

__all__ = [
    "PROGRESS_FILE",
    "SAVE_EVERY_SECONDS",
    "STATE_FILE",
    "SaveClock",
    "damaged_run",
    "load_means",
    "load_moments",
    "load_student",
    "locked_run",
    "means_of",
    "moments_of",
    "other_recipe",
    "read_run",
    "resume",
    "save_state",
    "write_run",
]

STATE_FILE = "training_state.safetensors"
PROGRESS_FILE = "training_state.json"
_STEP = "step"
_LOCK = "training.lock"
_MEANS = "means."
SAVE_EVERY_SECONDS = 60.0


@dataclass(slots=True)
class SaveClock:
    """When the next state of a run is due: a run that is killed loses a minute and a step at most.

    Steps of one part take a hundred times as long as those of another, so time decides.

    Attributes:
        seconds: Between two states.
    """

    seconds: float = SAVE_EVERY_SECONDS
    _last: float = field(default_factory=time.monotonic)

    @property
    def is_due(self) -> bool:
        """Whether that time is over since the last state, or since the run was started."""
        return time.monotonic() - self._last >= self.seconds

    def restart(self) -> None:
        """Count from now on, for a state has just been written."""
        self._last = time.monotonic()


@contextmanager
def locked_run(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder of a run.

    Two of them would write over each other's states, and a model could be written from that of the
    other one.

    Raises:
        OutputError: If one is running there now, or the folder cannot be written.
    """
    with sole_user(
        folder / _LOCK,
        f"another training is running in {folder}; wait for its end, or name another folder",
        lambda error: f"{folder} cannot be locked for a training: {why_unwritten(error)}",
    ):
        yield


def read_run(
    folder: Path, progress_file: str, state_file: str
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What the folder of a run says of it, and its tensors.

    Args:
        folder: Of the run.
        progress_file: Name of the JSON file that says what the run is.
        state_file: Name of the file with the tensors.

    Raises:
        DataError: If one of the files is missing or damaged.
    """
    try:
        progress = json.loads((folder / progress_file).read_text(encoding="utf-8"))
        tensors: dict[str, Tensor] = load_file(folder / state_file)
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise damaged_run(folder, progress_file, error) from error
    if not isinstance(progress, dict):
        raise damaged_run(folder, progress_file, f"{progress_file} is not a JSON object")
    return progress, tensors


def write_run(
    folder: Path,
    progress_file: str,
    state_file: str,
    progress: dict[str, Any],
    tensors: dict[str, Tensor],
) -> None:
    """Write what `read_run` reads, in place of what was there.

    Weights, moments and step belong into one file: a crash between two files would part them.

    Args:
        folder: Of the run.
        progress_file: Name of the JSON file.
        state_file: Name of the file with the tensors; it is written first.
        progress: What the run is.
        tensors: Its state.

    Raises:
        OutputError: If it cannot be written.
    """
    stored = {name: value.detach().cpu().clone().contiguous() for name, value in tensors.items()}
    write_tensors(folder / state_file, stored)
    write_text(folder / progress_file, json.dumps(progress, indent=1))


def other_recipe(folder: Path) -> DataError:
    """The error for a folder that holds a run that was made otherwise."""
    return DataError(
        f"{folder} holds a run with another recipe: name another folder, or remove that one"
    )


def damaged_run(folder: Path, progress_file: str, reason: object) -> DataError:
    """The error for a run whose state cannot be used, and how to begin again."""
    words = " ".join(str(reason).split())
    return DataError(
        f"the state of the run in {folder} is damaged ({words}): remove {progress_file} there to "
        "begin again, or name another folder"
    )


def moments_of(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """What an optimizer has gathered, under names ``PREFIX.INDEX.KIND``."""
    return {
        f"{prefix}.{index}.{name}": torch.as_tensor(value)
        for index, moments in optimizer.state_dict()["state"].items()
        for name, value in moments.items()
    }


def load_moments(optimizer: torch.optim.Optimizer, prefix: str, tensors: dict[str, Tensor]) -> None:
    """Give an optimizer what `moments_of` had of it; other tensors do not matter.

    Raises:
        ValueError: If a name has another form, or the moments are those of other parameters.
    """
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith(f"{prefix}."):
            index, name = key.removeprefix(f"{prefix}.").split(".")
            moments.setdefault(int(index), {})[name] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": moments, "param_groups": groups})


def means_of(means: StepMeans) -> dict[str, Tensor]:
    """What the steps since the last line of the log had to say, under names ``means.NAME``."""
    return {
        f"{_MEANS}{name}": torch.tensor(pair, dtype=torch.float64)
        for name, pair in means.sums.items()
    }


def load_means(tensors: dict[str, Tensor]) -> StepMeans:
    """What `means_of` had; nothing of a state that was written before there were means.

    Raises:
        ValueError: If a tensor is no sum with its number of steps.
    """
    pairs = {k.removeprefix(_MEANS): v for k, v in tensors.items() if k.startswith(_MEANS)}
    if any(pair.shape != (2,) or pair[1] < 1 for pair in pairs.values()):
        raise ValueError("means of steps are sums with numbers of steps")
    return StepMeans({name: (float(pair[0]), int(pair[1])) for name, pair in pairs.items()})


def save_state(
    student: Student,
    optimizers: tuple[torch.optim.Optimizer, ...],
    config: TrainingConfig,
    step: int,
    folder: Path,
    means: StepMeans,
) -> None:
    """Write the state into the folder of a run, in place of the one before.

    Raises:
        OutputError: If it cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in student.state_dict().items()}
    tensors[_STEP] = torch.tensor(step)
    # two names of one tensor cannot both be written; loading ties them again
    tensors.pop("model.llava.lm_head.weight", None)
    tensors |= means_of(means)
    for which, optimizer in enumerate(optimizers):
        tensors |= moments_of(optimizer, f"optimizer.{which}")
    progress = {"step": step, "recipe": asdict(config)}
    write_run(folder, PROGRESS_FILE, STATE_FILE, progress, tensors)


def load_student(folder: Path) -> tuple[Student, TrainingConfig]:
    """The student of a run as it stands, on the CPU, and the config it is made by.

    Raises:
        DataError: If the folder holds no training state, or a damaged one.
    """
    if not (folder / PROGRESS_FILE).exists():
        raise DataError(f"{folder} holds no training state: run geofovea train --output {folder}")
    progress, tensors = read_run(folder, PROGRESS_FILE, STATE_FILE)
    try:
        config = config_from_json(progress["recipe"])
        student = Student(config.shape)
        _load_weights(student, tensors)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise damaged_run(folder, PROGRESS_FILE, error) from error
    return student.eval(), config


def _load_weights(student: Student, tensors: dict[str, Tensor]) -> None:
    weights = {k[6:]: v for k, v in tensors.items() if k.startswith("model.")}
    missing, unexpected = student.load_state_dict(weights, strict=False)
    # the tied output matrix was not written
    if unexpected or set(missing) - {"llava.lm_head.weight"}:
        raise DataError(f"the training state does not fit: {missing=}, {unexpected=}")


def resume(
    student: Student,
    optimizers: tuple[torch.optim.Optimizer, ...],
    config: TrainingConfig,
    folder: Path,
) -> tuple[int, StepMeans]:
    """Load the state in a folder, if there is one.

    Returns:
        The step to go on from, and what the steps since the last line of the log had to say.

    Raises:
        DataError: If it is that of a run with another seed, start or shape, or damaged.
    """
    if not (folder / PROGRESS_FILE).exists():
        return 0, StepMeans()
    progress, tensors = read_run(folder, PROGRESS_FILE, STATE_FILE)
    recipe, ours = progress.get("recipe"), asdict(config)
    if not isinstance(recipe, dict):
        raise damaged_run(folder, PROGRESS_FILE, f"{PROGRESS_FILE} has no recipe")
    for key in ("seed", "start", "shape"):
        # runs of earlier releases all started from nothing
        theirs = recipe.get(key, "")
        if theirs != ours[key]:
            raise DataError(
                f"{folder} holds a run with {key} {theirs or 'nothing'}, not "
                f"{ours[key] or 'nothing'}: "
                "name another folder, or remove that one"
            )
    try:
        began = config_from_json(recipe).worlds
        if began != config.worlds:
            those, these = (" and ".join(map(str, each)) for each in (began, config.worlds))
            raise DataError(
                f"{folder} holds a run with world {those}, not {these}: name another folder, "
                "or remove that one"
            )
        _load_weights(student, tensors)
        for which, optimizer in enumerate(optimizers):
            load_moments(optimizer, f"optimizer.{which}", tensors)
        return int(tensors[_STEP]), load_means(tensors)
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise damaged_run(folder, PROGRESS_FILE, error) from error
