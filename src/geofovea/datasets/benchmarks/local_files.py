"""Where a benchmark's files are on this disk, and which of its images are not.

Nothing is downloaded: benchmarks have licenses that people accept for themselves. What is missing
is named, with where to get it and where to put it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from geofovea._plurals import counted
from geofovea.datasets.benchmarks.benchmark import Benchmark
from geofovea.datasets.records.sample import Collection, Sample
from geofovea.datasets.tables.table_parts import missing_shards
from geofovea.errors import DataError
from geofovea.tiling.machine.paths import is_file

__all__ = ["Images", "find_annotations", "find_images", "read_benchmark"]


@dataclass(frozen=True, slots=True)
class Images:
    """The images of some samples.

    Attributes:
        paths: Path on disk by the name that the annotation gives.
        missing: Names that lead to no file, in the order of the samples.
    """

    paths: dict[str, Path]
    missing: tuple[str, ...]

    def of(self, sample: Sample) -> tuple[Path, ...] | None:
        """Paths of all images of a sample, or None where one is missing."""
        if any(image not in self.paths for image in sample.images):
            return None
        return tuple(self.paths[image] for image in sample.images)

    def describe_missing(self, most: int = 5) -> str:
        """How many images are missing, and the first of them by name."""
        names = ", ".join(self.missing[:most])
        more = f" and {len(self.missing) - most} more" if len(self.missing) > most else ""
        total = len(self.paths) + len(self.missing)
        return f"{len(self.missing)} of {total} images are missing: {names}{more}"


def find_annotations(benchmark: Benchmark, root: Path) -> Path:
    """The annotation file of a benchmark below its folder.

    Raises:
        DataError: If it is not there; the message says what to download and where to put it.
    """
    for name in benchmark.annotations:
        for path in sorted(root.glob(name)) if "*" in name else [root / name]:
            if path.is_file():
                return path
    what = "there is no folder" if not root.is_dir() else "there is no annotation file in"
    raise DataError(
        f"{what} {root}; for {benchmark.title} {benchmark.instructions}. Looked for "
        f"{', '.join(benchmark.annotations)}. License of the data: {benchmark.license}"
    )


def read_benchmark(benchmark: Benchmark, root: Path, annotations: Path | None = None) -> Collection:
    """The samples of a benchmark; parts that the names of the others count are noted if missing.

    Raises:
        DataError: If the annotation file is missing or malformed.
    """
    path = annotations or find_annotations(benchmark, root)
    collection = benchmark.read(path, root)
    absent = missing_shards(path)
    if not absent:
        return collection
    names = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
    note = (
        f"{counted(len(absent), 'part of the benchmark is', 'parts of the benchmark are')} missing "
        f"beside {path.name}: {names}. Their questions are left out: these are not the figures of "
        "the whole benchmark"
    )
    return replace(collection, notes=(*collection.notes, note))


def find_images(root: Path, samples: Iterable[Sample]) -> Images:
    """Look for every image below ``root``.

    Annotations name images from different folders upwards, so leading folders of a name are left
    out one by one until a file is found.
    """
    paths: dict[str, Path] = {}
    missing: dict[str, None] = {}
    for sample in samples:
        for image in sample.images:
            if image in paths or image in missing:
                continue
            parts = PurePosixPath(image).parts
            candidates = (root.joinpath(*parts[start:]) for start in range(len(parts)))
            # says no to what no file can be called
            path = next((c for c in candidates if is_file(c)), None)
            if path is None:
                missing[image] = None
            else:
                paths[image] = path
    return Images(paths, tuple(missing))
