"""What this machine has, what is missing here, and which models fit."""

from __future__ import annotations

import os
import platform
import re
import shutil
import warnings
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from geofovea.pipeline.system.installation import Missing, installed_version, missing_packages
from geofovea.pipeline.system.model_catalog import (
    CATALOG,
    FOUR_BIT,
    QUESTION_TOKENS,
    KnownModel,
    bytes_needed,
    working_bytes,
)
from geofovea.tiling.machine.container_limits import container_limits
from geofovea.tiling.machine.cores import usable_cores

__all__ = ["TOGETHER", "Device", "Examination", "Fit", "Missing", "examine", "fits"]

_MEMINFO = Path("/proc/meminfo")
_CPUINFO = Path("/proc/cpuinfo")
_DRIVER = Path("/proc/driver/nvidia/version")
_PACKAGES = ("geofovea", "torch", "transformers", "huggingface_hub", "rasterio", "numpy", "httpx2")
TOGETHER = "--device-map auto"
"""Stands among the devices that hold a model, where several do so together."""
PRECISIONS = {"bfloat16": 2.0, "float32": 4.0, "4bit": FOUR_BIT}
"""Bytes of a parameter."""
ON_ACCELERATORS = ("4bit",)
"""Precisions in which no model runs on the CPU."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where a model can run.

    Attributes:
        name: For ``--device``.
        model: What it is.
        total_bytes: Its memory.
        free_bytes: What is free of it now.
    """

    name: str
    model: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether one model fits into one device in one precision.

    Attributes:
        model: Its name.
        hub_id: For ``--model``.
        needed_bytes: By precision, see `PRECISIONS`.
        devices: Names of devices with enough free memory, by precision; ``TOGETHER`` where
            only several accelerators have.
        in_process: Whether the family can be loaded here; otherwise an endpoint must.
        family: The ``model_type`` of its ``config.json``.
        license: As its model card names it.
        download_gb: Its weights on the hub, in 10⁹ bytes.
    """

    model: str
    hub_id: str
    needed_bytes: dict[str, int]
    devices: dict[str, tuple[str, ...]]
    in_process: bool
    family: str
    license: str
    download_gb: float


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found.

    Attributes:
        system: Operating system and architecture.
        python: Its version.
        cpu: The processor's name.
        cores: That this process may use.
        devices: The CPU with its memory first, then accelerators.
        versions: Of packages that matter, None for those that are missing.
        missing: What is not installed, too old, or broken.
        notes: What keeps accelerators from being used.
        fits: Of all known models.
        has_embedded: Whether the embedded model's weights are there.
        focus: How the focus of models that are at hand was chosen, by name.
        question_tokens: Of the question that the fits are for.
    """

    system: str
    python: str
    cpu: str
    cores: int
    devices: tuple[Device, ...]
    versions: dict[str, str | None]
    missing: tuple[Missing, ...]
    notes: tuple[str, ...]
    fits: tuple[Fit, ...]
    has_embedded: bool
    focus: Mapping[str, str] = field(default_factory=dict)
    question_tokens: int = QUESTION_TOKENS

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for ``json.dumps``."""
        return asdict(self)


def examine(
    families: Collection[str],
    *,
    has_embedded: bool,
    focus: Mapping[str, str] | None = None,
    question_tokens: int = QUESTION_TOKENS,
) -> Examination:
    """Look at this machine; no model is loaded.

    Args:
        families: Those that can be loaded here, by ``model_type``.
        has_embedded: Whether the embedded model's weights are there.
        focus: How the focus of models that are at hand was chosen, by name.
        question_tokens: Of the question that models have to have memory for.
    """
    accelerators, notes = _accelerators()
    devices = (_host(), *accelerators)
    return Examination(
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        python=platform.python_version(),
        cpu=_cpu_name(),
        cores=usable_cores(),
        devices=devices,
        versions={name: installed_version(name) for name in _PACKAGES},
        missing=missing_packages(),
        notes=notes,
        fits=tuple(fits(model, devices, families, question_tokens) for model in CATALOG),
        has_embedded=has_embedded,
        focus=dict(focus or {}),
        question_tokens=question_tokens,
    )


def fits(
    model: KnownModel,
    devices: tuple[Device, ...],
    families: Collection[str],
    question_tokens: int = QUESTION_TOKENS,
) -> Fit:
    """Where a model fits, by what is free now.

    Args:
        model: What it needs.
        devices: What there is.
        families: Those that can be loaded here, by ``model_type``.
        question_tokens: Of the question.
    """
    needed, holding = {}, {}
    for name, size in PRECISIONS.items():
        needed[name] = round(bytes_needed(model, size, question_tokens))
        able = tuple(d for d in devices if d.name != "cpu" or name not in ON_ACCELERATORS)
        room = round(working_bytes(model, size, question_tokens))
        holding[name] = _holding(needed[name], room, able)
    return Fit(
        model.name,
        model.hub_id,
        needed,
        holding,
        model.family in families,
        model.family,
        model.license,
        round(model.download_gb, 2),
    )


def _holding(size: int, room: int, devices: tuple[Device, ...]) -> tuple[str, ...]:
    """Devices that hold this much, alone or, where no accelerator does alone, together.

    Args:
        size: Of weights, keys, values, and room to work in.
        room: That room alone, which every device needs.
        devices: What there is.
    """
    alone = tuple(device.name for device in devices if device.free_bytes >= size)
    accelerators = [device for device in devices if device.name != "cpu"]
    together = sum(device.free_bytes for device in accelerators)
    rooms = room * max(0, len(accelerators) - 1)
    if len(accelerators) > 1 and alone in ((), ("cpu",)) and together >= size + rooms:
        return (*alone, TOGETHER)
    return alone


def _host() -> Device:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    if _MEMINFO.exists():
        match = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
        free = int(match[1]) * 1024 if match else total
    # a container may be allowed less than the machine has
    limits = container_limits()
    total = min(total, limits.total_bytes or total)
    free = min(free, total if limits.free_bytes is None else limits.free_bytes)
    return Device("cpu", _cpu_name(), total, free)


def _accelerators() -> tuple[tuple[Device, ...], tuple[str, ...]]:
    """GPUs that torch can use, and why it cannot use others."""
    has_driver = _DRIVER.exists() or shutil.which("nvidia-smi") is not None
    try:
        with warnings.catch_warnings():
            # of what is missing, which is told among the rest
            warnings.simplefilter("ignore")
            import torch
    except Exception:  # not there, or its libraries do not fit: told among what is missing
        return (), (("an NVIDIA driver is here, and torch is not",) if has_driver else ())
    if torch.version.cuda is None and torch.version.hip is None:
        note = (
            f"an NVIDIA driver is here, and torch {torch.__version__} is built for the CPU alone: "
            "pip install --force-reinstall torch"
        )
        return (), ((note,) if has_driver else ())
    with warnings.catch_warnings(record=True) as messages:
        warnings.simplefilter("always")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not count:
        why = " ".join(str(messages[0].message).split())[:200] if messages else "no GPU was found"
        build = f"CUDA {torch.version.cuda}" if torch.version.cuda else f"ROCm {torch.version.hip}"
        return (), (f"torch is built for {build}, but: {why}",)
    devices, notes = [], []
    for index in range(count):
        try:
            free, total = torch.cuda.mem_get_info(index)
            devices.append(Device(f"cuda:{index}", torch.cuda.get_device_name(index), total, free))
        except RuntimeError as error:
            notes.append(f"cuda:{index} cannot be asked: {' '.join(str(error).split())[:200]}")
    return tuple(devices), tuple(notes)


def _cpu_name() -> str:
    if _CPUINFO.exists():
        match = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
        if match:
            return match[1].strip()
    return platform.processor() or "unknown"
