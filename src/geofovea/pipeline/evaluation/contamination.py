"""``geofovea eval BENCHMARK --train PATH``: benchmark images that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geofovea.datasets.benchmarks.local_files import find_images
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.contamination import (
    ImageHash,
    Match,
    find_leaks,
    hash_folder,
    hash_image,
    read_hashes,
)
from geofovea.errors import DataError
from geofovea.pipeline.system.progress import progress_bar

__all__ = ["Leaks", "look_for_leaks"]


@dataclass(frozen=True, slots=True)
class Leaks:
    """What was found.

    Attributes:
        images: Benchmark images that were looked at.
        missing: Those that were not there to be looked at.
        others: Training images that they were compared with.
        undecoded: Images of both sides that could be compared as files only.
        matches: Benchmark images that the training images hold.
        questions: Questions about those.
    """

    images: int
    missing: int
    others: int
    undecoded: int
    matches: tuple[Match, ...]
    questions: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def look_for_leaks(root: Path, samples: Sequence[Sample], trained_on: Sequence[Path]) -> Leaks:
    """Compare the benchmark's images with training images.

    Args:
        root: Folder of the benchmark.
        samples: Its questions.
        trained_on: Folders of images, or lists of hashes.

    Raises:
        DataError: If no benchmark image is here, or a path is neither.
    """
    images = find_images(root, samples)
    if not images.paths:
        raise DataError(f"nothing to compare: {images.describe_missing()}")
    with progress_bar("hashing benchmark images") as advance:
        hashes = []
        for count, (name, path) in enumerate(images.paths.items(), 1):
            hashes.append(hash_image(path, name))
            advance(count / len(images.paths))
    others = list(_training_hashes(trained_on))
    matches = tuple(find_leaks(hashes, others))
    leaked = {match.image for match in matches}
    return Leaks(
        images=len(hashes),
        missing=len(images.missing),
        others=len(others),
        undecoded=sum(image.near is None for image in (*hashes, *others)),
        matches=matches,
        questions=sum(bool(leaked.intersection(sample.images)) for sample in samples),
    )


def _training_hashes(trained_on: Sequence[Path]) -> Iterator[ImageHash]:
    for path in trained_on:
        if path.is_file():
            yield from read_hashes(path)
        else:
            with progress_bar(f"hashing {path}") as advance:
                yield from hash_folder(path, advance)
