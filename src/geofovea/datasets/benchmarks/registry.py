"""Benchmarks by name; each is loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module

from geofovea.datasets.records.sample import Benchmark
from geofovea.errors import DataError

__all__ = ["BENCHMARK_NAMES", "load_benchmark"]

_HOMES = {
    "lrs-vqa": "lrs_vqa",
    "mme-realworld-rs": "mme_realworld",
    "xlrs-bench": "xlrs_bench",
    "lrs-gro": "lrs_gro",
    "rshr-bench": "rshr_bench",
    "rsvqa-lr": "rsvqa:LOW",
    "rsvqa-hr": "rsvqa:HIGH",
    "hr-bench": "hr_bench",
    "vstar": "vstar",
    "synthetic": "synthetic",
}
BENCHMARK_NAMES = tuple(_HOMES)


def load_benchmark(name: str) -> Benchmark:
    """The benchmark of a name.

    Raises:
        DataError: If there is none of that name.
    """
    if name not in _HOMES:
        raise DataError(f"unknown benchmark {name!r}: choose one of {', '.join(BENCHMARK_NAMES)}")
    module, _, attribute = _HOMES[name].partition(":")
    found: Benchmark = getattr(
        import_module(f"geofovea.datasets.{module}"), attribute or "BENCHMARK"
    )
    return found
