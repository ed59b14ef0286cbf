"""The state of a distillation: module, moments, trend and step, in one file of its folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from geofovea.errors import DataError, ModelError
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.region_focus import (
    DistilledFocus,
    FocusCard,
    with_decoder_access,
)
from geofovea.pipeline.system.tensor_files import write_tensors
from geofovea.pipeline.training.checkpoint import (
    load_means,
    load_moments,
    means_of,
    moments_of,
)
from geofovea.pipeline.training.run_log import StepMeans
from geofovea.regionfocus.rfm.attention_debiasing import PlaceTrend

__all__ = ["STATE_FILE", "Distillation", "load_distillation", "resumed", "save"]

STATE_FILE = "distillation_state.safetensors"


@dataclass(slots=True, eq=False)
class Distillation:
    """A run as it stands.

    Attributes:
        module: What learns.
        card: What it is made from.
        trend: What is subtracted, if the config says so.
        step: Steps taken.
        means: Of the steps since the last line of the log.
        optimizer: Its moments.
    """

    module: DistilledFocus
    card: FocusCard
    trend: PlaceTrend | None
    step: int = 0
    means: StepMeans = field(default_factory=StepMeans)
    optimizer: torch.optim.AdamW = field(init=False)

    def __post_init__(self) -> None:
        parameters = list(self.module.parameters())
        self.optimizer = torch.optim.AdamW(parameters, lr=1.0, betas=(0.9, 0.95), weight_decay=0.01)


def save(run: Distillation, folder: Path) -> None:
    """Write the state, in place of the one before.

    It is one file, so that nothing can part weights, moments and step.

    Raises:
        OutputError: If it cannot be written.
    """
    tensors = {f"module.{name}": value for name, value in run.module.state_dict().items()}
    tensors |= moments_of(run.optimizer, "optimizer") | means_of(run.means)
    if run.trend is not None:
        tensors |= {"trend.moments": run.trend.moments, "trend.products": run.trend.products}
    stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    about = {"step": str(run.step), "card": json.dumps(asdict(run.card))}
    write_tensors(folder / STATE_FILE, stored, about)


def resumed(module: DistilledFocus, card: FocusCard, folder: Path) -> Distillation:
    """The run in a folder, goes on in a module of its host.

    Raises:
        DataError: If the folder holds another run, or the file is damaged.
    """
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
        run = Distillation(module, card, trend, step, load_means(tensors))
        prefix = "module."
        weights = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        module.load_state_dict(weights)
        load_moments(run.optimizer, "optimizer", tensors)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{path} is not a state of a distillation ({error!r}): name another folder, or remove "
            "that file to start again"
        ) from error
    return run


def _check_same_run(theirs: dict[str, Any], ours: dict[str, Any], folder: Path) -> None:
    # a model may have moved to another folder
    differs = [k for k in ours if k != "base_model" and theirs.get(k) != ours[k]]
    if not differs:
        return
    name = differs[0]
    changes = {key: value for key, value in ours.items() if key == name}
    if name == "recipe":
        earlier = theirs.get("recipe") or {}
        changes = {k: v for k, v in ours["recipe"].items() if earlier.get(k) != v}
    raise DataError(
        f"{folder} holds another run: its {name} differs, here it is {changes}; name another "
        "folder, or remove that one"
    )


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
            described = json.loads((state.metadata() or {})["card"])
        card = FocusCard(**described | {"layers": tuple(described["layers"])})
        if card.host_hash != weights_hash(teacher.weights()):
            raise DataError(f"{folder} holds a distillation of another host, {card.base_model!r}")
        module = DistilledFocus(teacher.decoder, card.layers)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError, ModelError) as error:
        raise DataError(f"{path} is not a state of a distillation ({error!r})") from error
    return resumed(module, card, folder)
