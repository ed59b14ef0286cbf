"""Benchmarks by name; each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from geofovea.errors import DataError

if TYPE_CHECKING:
    from geofovea.datasets.benchmarks.benchmark import Benchmark

__all__ = ["BENCHMARK_NAMES", "load_benchmark"]

_HOMES = {
    "lrs-vqa": "benchmarks.lrs_vqa",
    "mme-realworld-rs": "benchmarks.mme_realworld",
    "xlrs-bench": "benchmarks.xlrs_bench",
    "lrs-gro": "benchmarks.lrs_gro",
    "rshr-bench": "benchmarks.rshr_bench",
    "rsvqa-lr": "benchmarks.rsvqa:LOW",
    "rsvqa-hr": "benchmarks.rsvqa:HIGH",
    "hr-bench": "benchmarks.hr_bench",
    "vstar": "benchmarks.vstar",
    "synthetic": "benchmarks.synthetic",
}
BENCHMARK_NAMES = tuple(_HOMES)


def load_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        DataError: If no benchmark has that name.
    """
    if name not in _HOMES:
        raise DataError(f"unknown benchmark {name!r}: choose one of {', '.join(BENCHMARK_NAMES)}")
    module, _, attribute = _HOMES[name].partition(":")
    benchmark: Benchmark = getattr(
        import_module(f"geofovea.datasets.{module}"), attribute or "BENCHMARK"
    )
    return benchmark
