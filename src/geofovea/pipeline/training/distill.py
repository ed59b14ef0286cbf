"""Distillation of a region focus module from a host: reproducible, and resumable at any step.

Step ``i`` is a function of the weights before it and of sample ``i``. A run that was killed goes on
from its last state, and what it had logged beyond that is logged again.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from geofovea.errors import DataError, ModelError
from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.region_focus import (
    FOCUS_FILE,
    FOCUS_WEIGHTS_FILE,
    DistilledFocus,
    FocusCard,
    decoder_depth,
    default_layers,
    load_focus,
    save_focus,
    with_decoder_access,
)
from geofovea.pipeline.system.files import make_folder, write_file
from geofovea.pipeline.training.checkpoint import SAVE_EVERY_SECONDS, SaveClock, locked_run
from geofovea.pipeline.training.curriculum import cosine_pace
from geofovea.pipeline.training.distill_state import (
    STATE_FILE,
    Distillation,
    load_distillation,
    resumed,
    save,
)
from geofovea.pipeline.training.focus_quality import place_ranks, scorer
from geofovea.pipeline.training.focus_samples import FocusSample, FocusSamples
from geofovea.pipeline.training.focus_targets import observed_trend, row_targets
from geofovea.pipeline.training.losses import check_finite
from geofovea.pipeline.training.run_log import distillation_log
from geofovea.regionfocus.rfm.attention_debiasing import PlaceTrend
from geofovea.regionfocus.rfm.distillation_losses import box_loss, row_losses

__all__ = ["DistillationConfig", "distill", "install_focus", "write_module"]

_HELD_OUT_SAMPLES = 12


@dataclass(frozen=True, slots=True)
class DistillationConfig:
    """Everything that decides what a run makes, beside its host and its samples.

    The defaults are what `benchmarks/focus_quality.py` supports. The weight of the rows matters
    only beside boxes: without any, they are all that there is to learn from.

    Attributes:
        steps: Samples that are learned from, one a step.
        layers: Decoder layers of the host to copy, ascending; empty for ``default_layers``.
        learning_rate: Peak, for AdamW; it warms up linearly and falls along a cosine to 2 %.
        warmup: Steps of the warm-up.
        rows_weight: Weight of the losses on rows.
        boxes_weight: Weight of −log of the mass in the annotated boxes; 0 leaves boxes alone.
        sinks: Whether attention sinks are taken out of what is taught.
        trend: Whether the mean positional trend is.
        trend_lessons: Samples that the trend is measured on.

    Raises:
        DataError: If a number is impossible, or both weights are 0.
    """

    steps: int = 600
    layers: tuple[int, ...] = ()
    learning_rate: float = 1e-3
    warmup: int = 50
    rows_weight: float = 0.1
    boxes_weight: float = 1.0
    sinks: bool = False
    trend: bool = False
    trend_lessons: int = 40

    def __post_init__(self) -> None:
        weights = (self.rows_weight, self.boxes_weight)
        if (
            min(self.steps, self.trend_lessons) < 1
            or self.warmup < 0
            or not self.learning_rate > 0
            or not (min(weights) >= 0 and math.isfinite(sum(weights)) and any(weights))
        ):
            raise DataError(
                "a distillation needs at least 1 step and 1 sample for the trend, a learning rate "
                f"above 0, and weights of at least 0 that are not all 0; got {self}"
            )

    def pace_at(self, step: int) -> float:
        """Factor of the learning rate."""
        return cosine_pace(step, self.warmup, self.steps)


def distill(
    host: object,
    samples: FocusSamples,
    config: DistillationConfig,
    folder: Path,
    *,
    log_every: int = 20,
    measure_every: int = 200,
    save_every: float = SAVE_EVERY_SECONDS,
    stop_after: float = math.inf,
) -> Iterator[dict[str, Any]]:
    """Distil, or go on distilling, and yield one log record at a time.

    `load_distillation` gives the module when the run is over, or as it stood at the last save.

    Args:
        host: Any that exposes attention, see ``SupportsDecoderAccess``.
        samples: What to learn from.
        config: How.
        folder: Where state and log are kept; made if missing.
        log_every: Steps between records of the losses.
        measure_every: Steps between measurements on held-out samples.
        save_every: Seconds between states that a killed run can go on from.
        stop_after: Seconds after which to stop with a state, to be resumed later.

    Raises:
        ModelError: If the host exposes no attention, or has no such layers.
        DataError: If the folder holds another run, or a damaged one.
        TrainingError: If a loss is not a number; the last state stays.
        OutputError: If the folder cannot be written, or another training is running there.
    """
    teacher = with_decoder_access(host)
    config = replace(config, layers=config.layers or default_layers(teacher))
    make_folder(folder)
    with locked_run(folder):
        yield from _records(
            teacher, samples, config, folder, log_every, measure_every, save_every, stop_after
        )


def _records(
    teacher: SupportsDecoderAccess,
    samples: FocusSamples,
    config: DistillationConfig,
    folder: Path,
    log_every: int,
    measure_every: int,
    save_every: float,
    stop_after: float,
) -> Iterator[dict[str, Any]]:
    """See ``distill``; nobody else trains in the folder."""
    log = distillation_log(folder)
    run = _start(teacher, samples, config, folder)
    log.forget_beyond(run.step)
    clock = SaveClock(save_every)
    started = last_time = time.monotonic()
    last_step = run.step
    while run.step < config.steps:
        run.means.add(_take_step(teacher, run, config, samples.sample(run.step)))
        out_of_time = time.monotonic() - started > stop_after
        ends = run.step == config.steps or out_of_time
        if run.step % log_every == 0 or ends:
            now = time.monotonic()
            seconds = (now - last_time) / max(1, run.step - last_step)
            last_time, last_step = now, run.step
            record = {"step": run.step, "steps": config.steps} | run.means.taken()
            yield log.append(record | {"seconds_per_step": round(seconds, 3)})
        if (run.step % measure_every == 0 or ends) and (held_out := samples.held_out()):
            measurement = measure(run.module, teacher, held_out)
            if measurement:
                yield log.append({"step": run.step, "held_out": measurement})
        if clock.is_due or ends:
            save(run, folder)
            clock.restart()
        if out_of_time:
            return


def measure(
    module: DistilledFocus, host: SupportsDecoderAccess, samples: FocusSamples
) -> dict[str, float]:
    """Attention mass in boxes and share of questions hit, on some samples; empty without boxes."""
    ranks = list(place_ranks(scorer(module, host), samples, _HELD_OUT_SAMPLES))
    if not ranks:
        return {}
    return {
        "questions": len(ranks),
        "mass": round(fmean(f.mass for f in ranks), 4),
        "hit_1": round(fmean(f.rank < 1 for f in ranks), 4),
        "hit_4": round(fmean(f.rank < 4 for f in ranks), 4),
        "chance": round(fmean(f.chance for f in ranks), 4),
    }


def _start(
    host: SupportsDecoderAccess, samples: FocusSamples, config: DistillationConfig, folder: Path
) -> Distillation:
    module = DistilledFocus(host.decoder, config.layers)
    module.to(next(host.decoder.parameters()).device)
    card = FocusCard(
        base_model=str(getattr(host, "name", "unnamed")),
        host_hash=weights_hash(host.weights()),
        layers=config.layers,
        host_layers=decoder_depth(host),
        host_focus_layer=host.focus_layer,
        steps=config.steps,
        recipe=asdict(config) | {"lessons": samples.name},
    )
    if (folder / STATE_FILE).exists():
        return resumed(module, card, folder)
    trend = None
    if config.trend:
        trend = observed_trend(host, samples, config.layers[-1], config.trend_lessons)
    return Distillation(module, card, trend)


def _take_step(
    host: SupportsDecoderAccess, run: Distillation, config: DistillationConfig, sample: FocusSample
) -> dict[str, float]:
    for group in run.optimizer.param_groups:
        group["lr"] = config.learning_rate * config.pace_at(run.step)
    total, parts = sample_loss(host, run.module, sample, config, run.trend)
    check_finite(total.detach(), run.step + 1, "a lower --learning-rate")
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.module.parameters(), 1.0)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.step += 1
    return {"loss": total.item()} | {name: value.item() for name, value in parts.items()}


def sample_loss(
    host: SupportsDecoderAccess,
    module: DistilledFocus,
    sample: FocusSample,
    config: DistillationConfig,
    trend: PlaceTrend | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a sample says: the weighted loss, a scalar, and its parts by name."""
    rank = len(module.layer_ids) - 1
    right = sample.right
    sums: dict[str, Tensor] = {}
    for part in row_targets(host, sample, module.layer_ids, sinks=config.sinks, trend=trend):
        pack = part.pack.to(torch.float32)
        logits = module.rows(pack, range(rank + 1))
        share = len(pack.tails) / len(sample.questions)
        by_layer = [
            row_losses(logits[own], part.rows[layer], pack.key_mask, pack.image)
            for own, layer in enumerate(module.layer_ids)
        ]
        losses = {
            name: torch.stack([getattr(of_layer, name) for of_layer in by_layer]).mean()
            for name in ("row", "image", "logits")
        }
        of_boxes = right[part.questions].to(pack.prefix.device)
        losses["boxes"] = box_loss(logits[rank][..., pack.image], of_boxes)
        for name, value in losses.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + share * value
    rows = sums["row"] + sums["image"] + sums["logits"]
    return config.rows_weight * rows + config.boxes_weight * sums["boxes"], sums


def write_module(run: Path, host: object) -> FocusCard:
    """Write the module of a run, as it stands, into the run's folder.

    Raises:
        DataError: If the folder holds no run of this host.
        OutputError: If it cannot be written.
    """
    state = load_distillation(host, run)
    save_focus(state.module, state.card, run)
    return state.card


def install_focus(run: Path, model_folder: Path, host: object) -> None:
    """Copy a module beside the weights of the model that it was made from.

    The description is moved into place last: without it, there is no module.

    Raises:
        ModelError: If there is no module, it belongs to another host, or no such model folder.
        OutputError: If a file cannot be written.
    """
    load_focus(run, with_decoder_access(host))
    if not (model_folder / "config.json").is_file():
        raise ModelError(
            f"{model_folder} is not a model folder: a module can be installed beside weights of "
            "a local model, or of 'embedded'"
        )
    for name in (FOCUS_WEIGHTS_FILE, FOCUS_FILE):
        write_file(model_folder / name, lambda aside, name=name: shutil.copyfile(run / name, aside))  # type: ignore[misc]
