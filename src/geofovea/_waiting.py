"""Threads of OpenMP that wait asleep: on a busy machine, those that spin take the cores of others.

OpenMP reads its variables once, when torch loads it, so they are set before that.
"""

from __future__ import annotations

import os
import sys

__all__ = ["wait_asleep"]

_CHOSEN_BY_USER = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


def wait_asleep() -> None:
    """Ask OpenMP to let threads sleep, unless the user said how, or torch is loaded already."""
    if "torch" not in sys.modules and not any(name in os.environ for name in _CHOSEN_BY_USER):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
