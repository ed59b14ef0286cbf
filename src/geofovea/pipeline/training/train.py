"""Training of the embedded model from nothing on the synthetic world: reproducible and resumable.

Batch ``i`` is a function of the config's seed and of ``i`` alone, so a run that was stopped goes on
as if it had not been.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from geofovea.pipeline.hosts.load import folder_of
from geofovea.pipeline.hosts.load_options import check_device
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.training.checkpoint import (
    SAVE_EVERY_SECONDS,
    SaveClock,
    locked_run,
    resume,
    save_state,
)
from geofovea.pipeline.training.curriculum import Phase, TrainingConfig
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.lessons.spec import LESSON_KINDS
from geofovea.pipeline.training.losses import Losses, check_finite
from geofovea.pipeline.training.run_log import RunLog, training_log
from geofovea.pipeline.training.samples import training_samples
from geofovea.pipeline.training.starting import start_from
from geofovea.pipeline.training.student import Student

__all__ = ["train"]

_HELD_OUT = 10**9
"""Batches from this number on are for measuring; training never gets there."""

_HELD_OUT_BATCHES = 6
"""As many measure each turn of a phase."""

_MOST_SHAPES = 32


class _Batches(Dataset[dict[str, Tensor]]):
    """Batch ``i`` of a config, made on demand, so that workers share nothing."""

    def __init__(self, config: TrainingConfig) -> None:
        self._config = config
        self._word_ids = {word: index for index, word in enumerate(vocabulary())}

    def __len__(self) -> int:
        return self._config.steps

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        turn = self._config.turn_at(index)
        seed = (self._config.seed << 40) + index
        samples = list(
            islice(
                training_samples(seed, self._config.shape, turn.plan, self._word_ids), turn.lessons
            )
        )
        return {
            name: torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))
            for name in vars(samples[0])
        }


def train(
    config: TrainingConfig,
    folder: Path,
    *,
    device: str = "cpu",
    workers: int = 1,
    compiled: bool = True,
    log_every: int = 50,
    measure_every: int = 500,
    save_every: float = SAVE_EVERY_SECONDS,
    stop_after: float = math.inf,
) -> Iterator[dict[str, Any]]:
    """Train, or go on training, and yield one log record at a time.

    Args:
        config: What to make. The number of steps may differ from that of the run being resumed;
            the shape and the seed may not.
        folder: Where state and log are kept; made if missing.
        device: A torch device.
        workers: Processes that make samples.
        compiled: Whether to compile the model first.
        log_every: Steps between records of the training loss.
        measure_every: Steps between measurements on held-out samples.
        save_every: Seconds between states that a killed run can go on from.
        stop_after: Seconds after which to stop with a checkpoint, to be resumed later.

    Raises:
        ModelError: If the config starts from a folder without a model of its shape and its words,
            or there is no such device.
        DataError: If the folder holds the state of a run with another seed, start or shape.
        TrainingError: If a loss is not a number; the last state stays.
        OutputError: If the folder cannot be written, or another training is running there.
    """
    check_device(device)
    make_folder(folder)
    with locked_run(folder):
        yield from _records(
            config,
            folder,
            device,
            workers,
            compiled,
            log_every,
            measure_every,
            save_every,
            stop_after,
        )


def _records(
    config: TrainingConfig,
    folder: Path,
    device: str,
    workers: int,
    compiled: bool,
    log_every: int,
    measure_every: int,
    save_every: float,
    stop_after: float,
) -> Iterator[dict[str, Any]]:
    """See ``train``; nobody else trains in the folder."""
    log = training_log(folder)
    # must come before the first parallel region, for its threads inherit the setting: attention
    # that has learned to ignore most tokens is full of numbers too small for a CPU's fast path
    torch.set_flush_denormal(True)
    torch.manual_seed(config.seed)
    student = Student(config.shape).to(device)
    if config.start:
        start_from(student, folder_of(config.start))
    optimizers = _optimizers(student, config)
    step, means = resume(student, optimizers, config, folder)
    log.forget_beyond(step)
    # every kind of step has a shape of its own, with the vision tower and without
    torch._dynamo.config.recompile_limit = _MOST_SHAPES
    forward = torch.compile(student, dynamic=False) if compiled else student
    clock = SaveClock(save_every)
    started, last_time, last_step = time.monotonic(), time.monotonic(), step
    for batch in _loader(config, step, workers):
        _set_pace(optimizers, config.pace_at(step))
        student.vision_frozen = config.phase_at(step).vision_frozen
        student.heads_alone = step < config.heads_first
        losses = _step(forward, student, optimizers, config, batch, step, device)
        means.add(_summary(losses, batch))
        step += 1
        out_of_time = time.monotonic() - started > stop_after
        ends = step == config.steps or out_of_time
        if step % log_every == 0 or ends:
            now = time.monotonic()
            pace = _pace(step - last_step, now - last_time)
            last_time, last_step = now, step
            record = {"step": step, "steps": config.steps, **means.taken(), **pace}
            yield _logged(log, record)
        asks = any(turn.plan.questions for turn in config.phase_at(step - 1).turns)
        if asks and (step % measure_every == 0 or ends):
            # a trial of a few steps is not measured for longer than it learned
            batches = min(_HELD_OUT_BATCHES, config.steps)
            held_out = measure(student, config, step, device, batches)
            yield _logged(log, {"step": step, "held_out": held_out})
        if clock.is_due or ends:
            save_state(student, optimizers, config, step, folder, means)
            clock.restart()
        if out_of_time:
            return


def _loader(config: TrainingConfig, first_step: int, workers: int) -> DataLoader[Any]:
    """Makes the batches of all steps from the first on, in other processes if there are workers."""
    return DataLoader(
        _Batches(config),
        sampler=range(first_step, config.steps),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=6 if workers else None,
        multiprocessing_context="spawn" if workers else None,
    )


def _optimizers(student: Student, config: TrainingConfig) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the layers, AdamW for all else (tables, heads, vectors)."""
    llava = student.llava.model
    parts = (llava.vision_tower, llava.multi_modal_projector, llava.language_model)
    linear = [m for part in parts for m in part.modules() if isinstance(m, nn.Linear)]
    in_layers = {id(m.weight) for m in linear}
    matrices = [p for p in student.parameters() if id(p) in in_layers]
    others = [p for p in student.parameters() if id(p) not in in_layers]
    muon = torch.optim.Muon(
        matrices,
        lr=config.matrix_learning_rate,
        weight_decay=config.weight_decay,
        # one step moves a matrix as far as AdamW would
        adjust_lr_fn="match_rms_adamw",
    )
    adam = torch.optim.AdamW(
        [
            {"params": [p for p in others if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in others if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        betas=(0.9, 0.95),
        fused=True,
    )
    for optimizer in (muon, adam):
        for parameters in optimizer.param_groups:
            parameters["peak"] = parameters["lr"]
    return muon, adam


def _set_pace(optimizers: tuple[torch.optim.Optimizer, ...], pace: float) -> None:
    """Set every learning rate to a share of its peak."""
    for optimizer in optimizers:
        for parameters in optimizer.param_groups:
            parameters["lr"] = parameters["peak"] * pace


def _step(
    forward: Any,
    student: nn.Module,
    optimizers: tuple[torch.optim.Optimizer, ...],
    config: TrainingConfig,
    batch: dict[str, Tensor],
    step: int,
    device: str,
) -> Losses:
    on_device = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    with torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        losses = cast(Losses, forward(on_device))
    total = (
        losses.answer
        + config.dense_weight * losses.dense
        + config.focus_weight * losses.focus
        + config.heard_weight * losses.question_words
    )
    check_finite(total.detach(), step + 1, "another --seed or --batch")
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(student.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return losses


def measure(
    student: Student, config: TrainingConfig, step: int, device: str, batches: int
) -> dict[str, Any]:
    """Measure a student on ``batches`` held-out batches of each turn of the phase of a step.

    Returns:
        The accuracy of each category and over all, and for each turn the attention mass on the
        right tokens of each level.
    """
    phase = config.phase_at(step - 1)
    right: dict[str, list[float]] = {name: [] for name in LESSON_KINDS}
    masses = []
    for turn in phase.turns:
        if not turn.plan.questions:
            continue
        held_out = Phase(2 * _HELD_OUT, (turn,))
        batches_of_scenes = _Batches(replace(config, phases=(held_out,)))
        mass = []
        for index in range(batches):
            losses, batch = _look_at(student, batches_of_scenes[_HELD_OUT + index], device)
            for category, correct, answered in zip(
                batch["category"].flatten().tolist(),
                losses.correct.flatten().tolist(),
                batch["answered"].flatten().tolist(),
                strict=True,
            ):
                if answered:
                    right[LESSON_KINDS[category]].append(correct)
            mass.append(losses.mass.flatten(0, 1))
        means = torch.cat(mass).nanmean(0).tolist()
        masses.append([round(m, 3) for m in means if not math.isnan(m)])
    accuracy = {name: round(float(np.mean(v)), 4) for name, v in right.items() if v}
    return {
        "accuracy": accuracy,
        "overall": round(float(np.mean(list(accuracy.values()))), 4),
        "focus_mass": masses,
    }


def _look_at(
    student: Student, batch: dict[str, Tensor], device: str
) -> tuple[Losses, dict[str, Tensor]]:
    """Losses without learning, and the batch on the device."""
    on_device = {name: value.to(device) for name, value in batch.items()}
    with torch.no_grad(), torch.autocast(torch.device(device).type, dtype=torch.bfloat16):
        return student(on_device), on_device


def _summary(losses: Losses, batch: dict[str, Tensor]) -> dict[str, float]:
    """What is worth logging of a step; one without questions has the dense loss alone."""
    questions = batch["words"].shape[0] * batch["words"].shape[1]
    record = {"dense": losses.dense.item(), "questions": questions}
    if not questions:
        return record
    answered = batch["answered"].to(losses.correct.device)
    return record | {
        "answer": losses.answer.item(),
        "focus": losses.focus.item(),
        "heard": losses.question_words.item(),
        "correct": (losses.correct * answered).sum().item() / max(1, int(answered.sum())),
    }


def _pace(steps: int, seconds: float) -> dict[str, float]:
    return {"seconds": round(seconds, 2), "steps_per_second": round(steps / seconds, 3)}


def _logged(log: RunLog, record: dict[str, Any]) -> dict[str, Any]:
    return log.append({"time": round(time.time(), 1), **record})
