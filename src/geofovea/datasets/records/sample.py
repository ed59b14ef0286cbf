"""One question of any benchmark with its truth, and all questions of an annotation file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geofovea.errors import DataError
from geofovea.tiling.pyramid import Box

__all__ = ["LETTERS", "Collection", "Sample", "checked_collection"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Sample:
    """One question with its truth.

    Attributes:
        id: Unique in its benchmark.
        images: Paths of the scenes, relative to the benchmark's root; ``/`` separates folders.
        question: Without any instruction on the form of the answer.
        answers: The truth: one word or phrase, or the letters of the right choices.
        category: What kind of question it is.
        source: The collection of the image, where a benchmark has several.
        choices: Texts of the choices in the order of their letters; empty for a free answer.
        multi_select: Whether several letters may be right together.
        boxes: Where the evidence is, in scene pixels; empty where it is not annotated.
        image_size: ``(width, height)``, or None where it is not given.
        meta: All other fields, as read.
    """

    id: str
    images: tuple[str, ...]
    question: str
    answers: tuple[str, ...]
    category: str
    source: str = ""
    choices: tuple[str, ...] = ()
    multi_select: bool = False
    boxes: tuple[Box, ...] = ()
    image_size: tuple[int, int] | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("an id", self.id), ("a question", self.question)):
            if not value.strip():
                raise DataError(f"a sample needs {name}, got {value!r}")
        if not self.images:
            raise DataError(f"sample {self.id} names no image")
        if len(self.choices) > len(LETTERS):
            raise DataError(
                f"sample {self.id} has {len(self.choices)} choices, more than the {len(LETTERS)} "
                "that have a letter"
            )
        for image in self.images:
            if image.startswith(("/", "\\")) or ".." in image.split("/") or ":" in image:
                raise DataError(f"the image {image!r} is not a path below the benchmark's folder")

    @property
    def letters(self) -> str:
        """Letters of the choices, such as ``ABCD``."""
        return LETTERS[: len(self.choices)]

    @property
    def object_size(self) -> float | None:
        """Longer side of the largest annotated box in pixels, or None."""
        return max((max(b.width, b.height) for b in self.boxes), default=None)


@dataclass(frozen=True, slots=True)
class Collection:
    """The samples of a benchmark as found on disk.

    Attributes:
        samples: In the order of the file, ids unique.
        notes: What a careful reader should know, such as boxes outside their image.
    """

    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


def checked_collection(samples: Iterable[Sample], notes: Iterable[str] = ()) -> Collection:
    """A collection whose ids are known to differ.

    Raises:
        DataError: If two samples have one id, or there is none at all.
    """
    by_id: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in by_id:
            raise DataError(
                f"the id {sample.id!r} occurs twice: answers could not be told apart; "
                "remove one of the rows"
            )
        by_id[sample.id] = sample
    if not by_id:
        raise DataError("the annotation file holds no question")
    return Collection(tuple(by_id.values()), tuple(notes))
