"""Memory of child processes, which counts for the process that started them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from geofovea.tiling.machine.forks import ForkSafeLock

__all__ = ["ChildMemory", "peak_with_children", "resident_bytes"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096

_lock = ForkSafeLock()
_peak_bytes = 0
_now: dict[int, int] = {}


class ChildMemory:
    """Follows the memory of one child while it runs; a context that ends with it."""

    def __init__(self, pid: int) -> None:
        """Take the number of a child process."""
        self._pid = pid

    def __enter__(self) -> ChildMemory:
        self.look()
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            _now.pop(self._pid, None)

    def look(self) -> None:
        """See how much the child holds now."""
        self.note(_bytes_of(self._pid, "VmHWM"))

    def note(self, child_bytes: int) -> None:
        """Count what the child has said that it held at most."""
        global _peak_bytes
        with _lock:
            _now[self._pid] = max(child_bytes, _now.get(self._pid, 0))
            _peak_bytes = max(_peak_bytes, resident_bytes() + sum(_now.values()))


def peak_with_children() -> int:
    """The most that this process and its children have held together, in bytes; 0 without any."""
    return _peak_bytes


def resident_bytes() -> int:
    """Resident memory of this process now, 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    return 0


def _bytes_of(pid: int, name: str) -> int:
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return 0
