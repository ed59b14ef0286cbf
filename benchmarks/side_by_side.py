"""What the benchmarks share: fresh processes, CPU seconds, peak memory, tables, and the machine.

It imports nothing but the standard library: a parent that stays small keeps the peaks of its
children honest, for Linux counts the memory of the process that starts another into the new one's.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "aligned",
    "cell",
    "child_cpu_seconds",
    "cpu_seconds",
    "machine",
    "peak_mib",
    "report",
    "run_child",
]


def cpu_seconds() -> float:
    """CPU seconds of this process so far, and of those of its children that have ended."""
    return sum(_cpu(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def child_cpu_seconds(command: Sequence[str], env: Mapping[str, str]) -> float:
    """CPU seconds of a new Python process and its children; what it prints is dropped.

    Args:
        command: Arguments of the interpreter.
        env: Its whole environment.

    Raises:
        subprocess.CalledProcessError: If it fails.
    """
    before = _cpu(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *command], env=env, check=True, capture_output=True)
    return _cpu(resource.RUSAGE_CHILDREN) - before


def _cpu(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def peak_mib(*, with_children: bool = False) -> float:
    """The largest resident set of this process so far; plus that of its largest child, if asked."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)[: 1 + with_children]
    return sum(resource.getrusage(each).ru_maxrss for each in who) / unit


def run_child(
    script: str,
    arguments: Sequence[str],
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> dict[str, Any]:
    """Do one task in a fresh process, which prints one JSON object last.

    Args:
        script: The file of the benchmark, which is run with ``--child`` and the arguments.
        arguments: What to do.
        env: Variables beside those of this process.
        timeout: Seconds by the clock.

    Returns:
        The object; ``{"reason": ...}`` if the process failed or took too long.
    """
    command = [sys.executable, script, "--child", *arguments]
    try:
        process = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=timeout,
            env=os.environ | dict(env or {}),
        )
    except subprocess.TimeoutExpired:
        return {"reason": f"ended after {timeout:g} s"}
    if process.returncode == 0:
        return dict(json.loads(process.stdout.splitlines()[-1]))
    if process.returncode < 0:
        return {"reason": f"ended by signal {-process.returncode}"}
    return {"reason": f"failed with exit code {process.returncode}"}


def machine(**more: object) -> dict[str, object]:
    """What a figure depends on: system, Python, cores, threads, and ``more``."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "not set"),
        **more,
    }


def cell(row: Mapping[str, Any], name: str, form: str) -> str:
    """A number of a row in a format such as ``"{:.2f} s"``; a dash where the row lacks it."""
    return form.format(row[name]) if name in row else "-"


def aligned(lines: Sequence[Sequence[str]], side: str = ">") -> str:
    """Lines of cells as a table whose columns line up, to the right or (``<``) to the left."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(f"{text:{side}{width}}" for text, width in zip(line, widths, strict=True))
        for line in lines
    )


def report(
    facts: Mapping[str, object], table: str, rows: Sequence[object], file: Path | None
) -> None:
    """Print the machine and a table, and write all numbers to a JSON file where one is named."""
    print(", ".join(f"{name} {value}" for name, value in facts.items()), end="\n\n")
    print(table)
    if file:
        file.write_text(json.dumps({"machine": facts, "rows": rows}, indent=2) + "\n")
