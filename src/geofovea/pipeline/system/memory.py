"""Memory of this process and its children, and a stop rule that keeps a descent within it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from geofovea.regionfocus.search.looks import LevelLook
from geofovea.tiling.machine.child_memory import peak_with_children

__all__ = ["MemoryStop", "peak_rss_mb", "peak_rss_since", "reset_peak_rss"]

_PAGES = Path("/proc/self/statm")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_MIB = 2**20


def peak_rss_mb() -> float:
    """The largest resident memory of this process with its children, in MB of 10⁶ bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes
    own = peak if sys.platform == "darwin" else peak * 1024
    return max(own, peak_with_children()) / 1e6


def _rss_mib() -> float:
    if _PAGES.exists():
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize() / _MIB
    return peak_rss_mb() * 1e6 / _MIB


def reset_peak_rss() -> float:
    """Forget the peak so far, where the system can (Linux), and give what is resident, in MB."""
    # 5 resets the high-water mark of the resident memory and nothing else: proc(5)
    with suppress(OSError):
        _CLEAR.write_text("5")
    return _rss_mib() * _MIB / 1e6


def peak_rss_since(before_mb: float) -> float:
    """How far resident memory rose above ``before_mb`` since `reset_peak_rss`, in MB, at least 0.

    Where the system cannot forget a peak, it is that of the process so far.
    """
    peak = peak_rss_mb()
    with suppress(OSError, StopIteration):
        lines = _STATUS.read_text(encoding="ascii").splitlines()
        mark = next(line for line in lines if line.startswith("VmHWM:"))
        peak = int(mark.split()[1]) * 1024 / 1e6
    return max(0.0, peak - before_mb)


@dataclass(frozen=True, slots=True)
class MemoryStop:
    """Ends a descent before the next level when a memory budget is used up.

    Attributes:
        host_mib: Limit on the resident memory of the process, or None.
        device_mib: Limit on the memory taken on the accelerator, or None.
    """

    host_mib: float | None
    device_mib: float | None

    def reason(
        self,
        candidate_scores: torch.Tensor,  # noqa: ARG002
        looks: Sequence[LevelLook] = (),  # noqa: ARG002
    ) -> str | None:
        """``"memory"`` when a limit is reached; see ``StopRule``."""
        return "memory" if self.is_reached else None

    @property
    def is_reached(self) -> bool:
        """Whether more memory is in use than one of the limits allows."""
        if self.host_mib is not None and _rss_mib() > self.host_mib:
            return True
        if self.device_mib is None or not torch.cuda.is_available():
            return False
        return torch.cuda.memory_allocated() / _MIB > self.device_mib
