"""What a container allows this process of the machine's memory and cores.

Read from control groups of both versions, in the process's own group and all above it: the
tightest limit holds. File pages that nobody uses count as free, as ``docker stats`` has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["ContainerLimits", "container_limits"]

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class ContainerLimits:
    """Limits on this process; None where there is none.

    Attributes:
        total_bytes: Memory that it may have.
        free_bytes: What is left of that now.
        cores: Time of this many cores that it may have, rounded up.
    """

    total_bytes: int | None = None
    free_bytes: int | None = None
    cores: int | None = None


def container_limits(root: Path = _ROOT, own: Path = _OWN) -> ContainerLimits:
    """The tightest limits that hold here.

    Args:
        root: Where control groups are mounted.
        own: The groups of this process, as the kernel lists them.
    """
    totals, frees, cores = [], [], []
    for folder in _groups(root, own, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        if limit is None:
            continue
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes") or 0
        totals.append(limit)
        frees.append(max(0, limit - max(0, used - _reclaimable(folder))))
    for folder in _groups(root, own, "cpu"):
        share = _share(folder)
        if share is not None:
            cores.append(max(1, math.ceil(share)))
    return ContainerLimits(
        min(totals, default=None), min(frees, default=None), min(cores, default=None)
    )


def _groups(root: Path, own: Path, controller: str) -> Iterator[Path]:
    """Folders of the process's groups and of those above, of both versions."""
    lines: list[str] = []
    with suppress(OSError, ValueError):
        lines = own.read_text(encoding="utf-8").splitlines()
    # inside a container its own group is often mounted at the root
    for base in (root, root / controller):
        yield base
    for line in lines:
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            bases = [root, root / "unified"]
        elif controller in names.split(","):
            bases = [root / controller, root / names]
        else:
            continue
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for base in bases:
            for depth in range(1, len(parts) + 1):
                yield base.joinpath(*parts[:depth])


def _number(path: Path) -> int | None:
    """What a file holds; None for none, or for "max"."""
    with suppress(OSError, ValueError):
        return int(path.read_text(encoding="ascii"))
    return None


def _reclaimable(folder: Path) -> int:
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text(encoding="ascii").splitlines():
            name, _, value = line.partition(" ")
            if name in ("inactive_file", "total_inactive_file"):
                return int(value)
    return 0


def _share(folder: Path) -> float | None:
    """Cores of time in each period by cgroup v2, else by v1; None where neither sets a limit."""
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return int(quota) / int(period)
    quota_us, period_us = (_number(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
    # a quota of -1 is no limit
    if quota_us and period_us and quota_us > 0:
        return quota_us / period_us
    return None
