"""Distillation of a region focus module from a host: reproducible, and resumable at any step.

Step ``i`` is a function of the weights before it and of lesson ``i``. State is one safetensors file
that is moved into place; a run that was killed goes on from the last one, and what it had logged
beyond that is logged again.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from geofovea.errors import DataError, ModelError, TrainingError
from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.region_focus import (
    DistilledFocus,
    FocusCard,
    decoder_depth,
    default_layers,
    with_decoder_access,
)
from geofovea.pipeline.system.files import make_folder, write_file, write_text
from geofovea.pipeline.training.focus_quality import found_places, scorer
from geofovea.pipeline.training.focus_samples import FocusLesson, FocusLessons
from geofovea.pipeline.training.focus_targets import observed_trend, row_targets
from geofovea.regionfocus.rfm.attention_debiasing import PlaceTrend
from geofovea.regionfocus.rfm.distillation_losses import box_loss, row_losses

__all__ = [
    "Distillation",
    "DistillationRecipe",
    "distill",
    "load_distillation",
    "read_distillation_log",
]

STATE_FILE = "distillation_state.safetensors"
LOG_FILE = "distillation_log.jsonl"
_HELD_OUT_LESSONS = 12


@dataclass(frozen=True, slots=True)
class DistillationRecipe:
    """Everything that decides what a run makes, beside its host and its lessons.

    The defaults are what `benchmarks/focus_quality.py` supports. The weight of the rows matters
    only beside boxes: without any, they are all that there is to learn from.

    Attributes:
        steps: Lessons that are learnt from, one a step.
        layers: Decoder layers of the host to copy, ascending; empty for ``default_layers``.
        learning_rate: Peak, for AdamW; it warms up linearly and falls along a cosine to 2 %.
        warmup: Steps of the warm-up.
        rows_weight: Weight of the losses on rows.
        boxes_weight: Weight of −log of the mass in the annotated boxes; 0 leaves boxes alone.
        sinks: Whether attention sinks are taken out of what is taught.
        trend: Whether the mean positional trend is.
        trend_lessons: Lessons that the trend is measured on.

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
                "a distillation needs at least 1 step and 1 lesson for the trend, a learning rate "
                f"above 0, and weights of at least 0 that are not all 0; got {self}"
            )

    def pace_at(self, step: int) -> float:
        """Factor of the learning rate."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, share))) / 2


@dataclass(slots=True, eq=False)
class Distillation:
    """A run as it stands.

    Attributes:
        module: What learns.
        card: What it is made from.
        trend: What is subtracted, if the recipe says so.
        step: Steps taken.
        optimizer: Its moments.
    """

    module: DistilledFocus
    card: FocusCard
    trend: PlaceTrend | None
    step: int = 0
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        parameters = list(self.module.parameters())
        self.optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.95), weight_decay=0.01)


def distill(
    host: object,
    lessons: FocusLessons,
    recipe: DistillationRecipe,
    folder: Path,
    *,
    log_every: int = 20,
    save_every: int = 100,
    measure_every: int = 200,
    stop_after: float = math.inf,
) -> Iterator[dict[str, Any]]:
    """Distil, or go on distilling, and yield one log record at a time.

    `load_distillation` gives the module when the run is over, or as it stood at the last save.

    Args:
        host: Any that exposes attention, see ``SupportsDecoderAccess``.
        lessons: What to learn from.
        recipe: How.
        folder: Where state and log are kept; made if missing.
        log_every: Steps between records of the losses.
        save_every: Steps between states that a killed run can go on from.
        measure_every: Steps between measurements on held-out lessons.
        stop_after: Seconds after which to stop with a state, to be resumed later.

    Raises:
        ModelError: If the host exposes no attention, or has no such layers.
        DataError: If the folder holds another run, or a damaged one.
        TrainingError: If a loss is no number; the last state stays.
        OutputError: If the folder cannot be written.
    """
    teacher = with_decoder_access(host)
    recipe = replace(recipe, layers=recipe.layers or default_layers(teacher))
    make_folder(folder)
    run = _begun(teacher, lessons, recipe, folder)
    _forget_log_beyond(folder, run.step)
    started = last_time = time.monotonic()
    last_step = run.step
    while run.step < recipe.steps:
        losses = _take_step(teacher, run, recipe, lessons.lesson(run.step))
        out_of_time = time.monotonic() - started > stop_after
        ends = run.step == recipe.steps or out_of_time
        if run.step % log_every == 0 or ends:
            now = time.monotonic()
            seconds = (now - last_time) / max(1, run.step - last_step)
            last_time, last_step = now, run.step
            record = {"step": run.step, "steps": recipe.steps, **losses}
            yield _log(folder, record | {"seconds_per_step": round(seconds, 3)})
        if (run.step % measure_every == 0 or ends) and (spared := lessons.held_out()):
            found = measured(run.module, teacher, spared)
            if found:
                yield _log(folder, {"step": run.step, "held_out": found})
        if run.step % save_every == 0 or ends:
            _save(run, folder)
        if out_of_time:
            return


def measured(
    module: DistilledFocus, host: SupportsDecoderAccess, lessons: FocusLessons
) -> dict[str, float]:
    """Attention mass in boxes and share of questions hit, on some lessons; empty without boxes."""
    found = list(found_places(scorer(module, host), lessons, _HELD_OUT_LESSONS))
    if not found:
        return {}
    return {
        "questions": len(found),
        "mass": round(fmean(f.mass for f in found), 4),
        "hit_1": round(fmean(f.rank < 1 for f in found), 4),
        "hit_4": round(fmean(f.rank < 4 for f in found), 4),
        "chance": round(fmean(f.chance for f in found), 4),
    }


def _begun(
    host: SupportsDecoderAccess, lessons: FocusLessons, recipe: DistillationRecipe, folder: Path
) -> Distillation:
    module = DistilledFocus(host.decoder, recipe.layers)
    module.to(next(host.decoder.parameters()).device)
    card = FocusCard(
        base_model=str(getattr(host, "name", "unnamed")),
        host_hash=weights_hash(host.weights()),
        layers=recipe.layers,
        host_layers=decoder_depth(host),
        host_focus_layer=host.focus_layer,
        steps=recipe.steps,
        recipe=asdict(recipe) | {"lessons": lessons.name},
    )
    if (folder / STATE_FILE).exists():
        return _resumed(module, card, folder)
    trend = None
    if recipe.trend:
        trend = observed_trend(host, lessons, recipe.layers[-1], recipe.trend_lessons)
    return Distillation(module, card, trend)


def _take_step(
    host: SupportsDecoderAccess, run: Distillation, recipe: DistillationRecipe, lesson: FocusLesson
) -> dict[str, float]:
    for group in run.optimizer.param_groups:
        group["lr"] = recipe.learning_rate * recipe.pace_at(run.step)
    total, parts = lesson_loss(host, run.module, lesson, recipe, run.trend)
    if not bool(total.isfinite()):
        raise TrainingError(
            f"the loss of step {run.step + 1} is {total.item()}; the state of an earlier step is "
            "kept: start in a new folder with a lower --learning-rate"
        )
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(run.module.parameters(), 1.0)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.step += 1
    return {"loss": total.item()} | {name: value.item() for name, value in parts.items()}


def lesson_loss(
    host: SupportsDecoderAccess,
    module: DistilledFocus,
    lesson: FocusLesson,
    recipe: DistillationRecipe,
    trend: PlaceTrend | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a lesson says: the weighted loss, a scalar, and its parts by name."""
    rank = len(module.layer_ids) - 1
    right = lesson.right
    sums: dict[str, Tensor] = {}
    for part in row_targets(host, lesson, module.layer_ids, sinks=recipe.sinks, trend=trend):
        pack = part.pack.to(torch.float32)
        found = module.rows(pack, range(rank + 1))
        share = len(pack.tails) / len(lesson.questions)
        by_layer = [
            row_losses(found[own], part.rows[layer], pack.seen, pack.image)
            for own, layer in enumerate(module.layer_ids)
        ]
        named = {
            name: torch.stack([getattr(losses, name) for losses in by_layer]).mean()
            for name in ("row", "image", "logits")
        }
        of_boxes = right[part.questions].to(pack.prefix.device)
        named["boxes"] = box_loss(found[rank][..., pack.image], of_boxes)
        for name, value in named.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + share * value
    rows = sums["row"] + sums["image"] + sums["logits"]
    return recipe.rows_weight * rows + recipe.boxes_weight * sums["boxes"], sums


def _save(run: Distillation, folder: Path) -> None:
    """One file, so that nothing can part weights, moments and step."""
    tensors = {f"module.{name}": value for name, value in run.module.state_dict().items()}
    for index, moments in run.optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    if run.trend is not None:
        tensors |= {"trend.moments": run.trend.moments, "trend.products": run.trend.products}
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = {"step": str(run.step), "card": json.dumps(asdict(run.card))}
    write_file(folder / STATE_FILE, lambda aside: save_file(stored, aside, metadata=about))


def _resumed(module: DistilledFocus, card: FocusCard, folder: Path) -> Distillation:
    path = folder / STATE_FILE
    try:
        with safe_open(path, "pt") as state:
            about = state.metadata() or {}
            tensors = {name: state.get_tensor(name) for name in state.keys()}  # noqa: SIM118
        theirs, step = json.loads(about["card"]), int(about["step"])
        _check_same_run(theirs, json.loads(json.dumps(asdict(card))), folder)
        trend = None
        if "trend.moments" in tensors:
            trend = PlaceTrend(tensors["trend.products"].shape[1])
            trend.moments, trend.products = tensors["trend.moments"], tensors["trend.products"]
        run = Distillation(module, card, trend, step)
        module.load_state_dict(_under("module.", tensors))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under("optimizer.", tensors).items():
            index, kind = name.split(".")
            moments.setdefault(int(index), {})[kind] = value
        groups = run.optimizer.state_dict()["param_groups"]
        run.optimizer.load_state_dict({"state": moments, "param_groups": groups})
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{path} is no state of a distillation ({error!r}): name another folder, or remove "
            "that file to start again"
        ) from error
    return run


def _check_same_run(theirs: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    # a model may have moved to another folder
    differs = [k for k in ours if k != "base_model" and theirs.get(k) != ours[k]]
    if not differs:
        return
    name = differs[0]
    given = {key: value for key, value in ours.items() if key == name}
    if name == "recipe":
        held = theirs.get("recipe") or {}
        given = {k: v for k, v in ours["recipe"].items() if held.get(k) != v}
    raise DataError(
        f"{folder} holds another run: its {name} differs, here it is {given}; name another folder, "
        "or remove that one"
    )


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def load_distillation(host: object, folder: Path) -> Distillation:
    """The run in a folder as it stood at its last state.

    Raises:
        ModelError: If the host exposes no attention.
        DataError: If the folder holds no run of this host.
    """
    teacher = with_decoder_access(host)
    path = folder / STATE_FILE
    if not path.exists():
        raise DataError(f"{folder} holds no distillation: run geofovea distill --output {folder}")
    try:
        with safe_open(path, "pt") as state:
            given = json.loads((state.metadata() or {})["card"])
        card = FocusCard(**given | {"layers": tuple(given["layers"])})
        if card.host_hash != weights_hash(teacher.weights()):
            raise DataError(f"{folder} holds a distillation of another host, {card.base_model!r}")
        module = DistilledFocus(teacher.decoder, card.layers)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ModelError) as error:
        raise DataError(f"{path} is no state of a distillation ({error!r})") from error
    return _resumed(module, card, folder)


def read_distillation_log(folder: Path) -> list[dict[str, Any]]:
    """All records of a run, oldest first; none if it has none yet."""
    path = folder / LOG_FILE
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def _log(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    with (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")
    return record


def _forget_log_beyond(folder: Path, step: int) -> None:
    """A killed run has logged steps that are taken again; its last line may be half a line."""
    path = folder / LOG_FILE
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    write_text(path, "\n".join(kept))
