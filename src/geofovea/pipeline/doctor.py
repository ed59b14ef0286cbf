"""What this machine has, what is missing here, and which models fit."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any

from geofovea.pipeline.families import FAMILIES
from geofovea.pipeline.model_catalogue import CATALOGUE, KnownModel, bytes_needed
from geofovea.tiling.cores import usable_cores

__all__ = ["Device", "Examination", "Fit", "Missing", "examine", "fits"]

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_CPUINFO = Path("/proc/cpuinfo")
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([A-Za-z0-9._-]+)['\"]")
_SHOWN = ("geofovea", "torch", "transformers", "huggingface_hub", "rasterio", "numpy", "httpx2")
QUESTION_TOKENS = 4096
"""Tokens that a question is taken to have: the default budget, the words, and some air."""
PRECISIONS = {"bfloat16": 2.0, "float32": 4.0}


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
class Missing:
    """Something that is not installed.

    Attributes:
        package: What is missing.
        extra: The extra of geofovea that brings it, empty for a requirement of geofovea itself.
        command: What installs it.
    """

    package: str
    extra: str
    command: str


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether one model fits into one device in one precision.

    Attributes:
        model: Its name.
        hub_id: For ``--model``.
        needed_bytes: By precision.
        devices: Names of devices with enough free memory, by precision.
        in_process: Whether this version loads the family itself; otherwise an endpoint must.
    """

    model: str
    hub_id: str
    needed_bytes: dict[str, int]
    devices: dict[str, tuple[str, ...]]
    in_process: bool


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
        missing: What is not installed.
        fits: Of all known models.
        has_embedded: Whether the embedded model's weights are there.
    """

    system: str
    python: str
    cpu: str
    cores: int
    devices: tuple[Device, ...]
    versions: dict[str, str | None]
    missing: tuple[Missing, ...]
    fits: tuple[Fit, ...]
    has_embedded: bool

    def to_json(self) -> dict[str, Any]:
        """All fields, ready for ``json.dumps``."""
        return asdict(self)


def examine() -> Examination:
    """Look at this machine; nothing is loaded onto a device."""
    from geofovea.pipeline.embedded import embedded_model_path

    devices = (_host(), *_accelerators())
    return Examination(
        system=f"{platform.system()} {platform.release()} ({platform.machine()})",
        python=platform.python_version(),
        cpu=_cpu_name(),
        cores=usable_cores(),
        devices=devices,
        versions={name: _version(name) for name in _SHOWN},
        missing=_missing(),
        fits=tuple(fits(model, devices) for model in CATALOGUE),
        has_embedded=(embedded_model_path() / "config.json").exists(),
    )


def fits(model: KnownModel, devices: tuple[Device, ...]) -> Fit:
    """Where a model fits, by what is free now."""
    needed = {
        name: round(bytes_needed(model, size, QUESTION_TOKENS)) for name, size in PRECISIONS.items()
    }
    return Fit(
        model.name,
        model.hub_id,
        needed,
        {
            name: tuple(device.name for device in devices if device.free_bytes >= size)
            for name, size in needed.items()
        },
        model.family in FAMILIES,
    )


def _host() -> Device:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    free = total
    if _MEMINFO.exists():
        found = re.search(r"^MemAvailable:\s+(\d+) kB", _MEMINFO.read_text(), re.MULTILINE)
        free = int(found[1]) * 1024 if found else total
    if _CGROUP.exists() and (limit := _CGROUP.read_text().strip()).isdecimal():
        # a container may be allowed less than the machine has
        total, free = min(total, int(limit)), min(free, int(limit))
    return Device("cpu", _cpu_name(), total, free)


def _accelerators() -> tuple[Device, ...]:
    try:
        import torch
    except ImportError:
        return ()
    found = []
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, total = torch.cuda.mem_get_info(index)
        found.append(Device(f"cuda:{index}", torch.cuda.get_device_name(index), total, free))
    return tuple(found)


def _cpu_name() -> str:
    if _CPUINFO.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _missing() -> tuple[Missing, ...]:
    """What the package's own metadata names and is not installed."""
    try:
        requirements = distribution("geofovea").requires or []
    except PackageNotFoundError:
        return (Missing("geofovea", "", "pip install geofovea"),)
    missing = []
    for requirement in requirements:
        name = _REQUIREMENT.match(requirement)
        extra = _EXTRA.search(requirement)
        if name is None or _version(name[1]) is not None:
            continue
        if extra is None:
            missing.append(Missing(name[1], "", "pip install --upgrade geofovea"))
        else:
            command = f"pip install 'geofovea[{extra[1]}]'"
            missing.append(Missing(name[1], extra[1], command))
    return tuple(missing)
