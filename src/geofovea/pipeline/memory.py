"""Memory of this process, and a stop rule that keeps a descent within it."""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from geofovea.regionfocus.descent import LevelLook

__all__ = ["MemoryStop", "peak_rss_mb"]

_PAGES = Path("/proc/self/statm")
_MIB = 2**20


def peak_rss_mb() -> float:
    """The largest resident memory that this process has had, in MB of 10⁶ bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Linux counts in KiB, macOS in bytes
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def _rss_mib() -> float:
    if _PAGES.exists():
        return int(_PAGES.read_text().split()[1]) * resource.getpagesize() / _MIB
    return peak_rss_mb() * 1e6 / _MIB


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
        if self.host_mib is not None and _rss_mib() > self.host_mib:
            return "memory"
        if self.device_mib is not None and torch.cuda.is_available():
            taken = torch.cuda.memory_allocated() / _MIB
            return "memory" if taken > self.device_mib else None
        return None
