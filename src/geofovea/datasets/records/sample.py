"""One question of any benchmark, how it is judged, and the benchmark that it belongs to.

Every benchmark is one file that owns its records, its prompt and its scorers and ends in a
``Benchmark``; what runs models and writes reports knows no benchmark by name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geofovea.errors import DataError
from geofovea.tiling.pyramid import Box

__all__ = [
    "MODES",
    "Benchmark",
    "Collection",
    "Figure",
    "Judge",
    "PublishedScore",
    "Sample",
    "Verdict",
    "checked_collection",
]

MODES = ("official", "strict", "lenient")
"""Ways to judge, always reported together: ``official`` is the rule of published scores with its
faults, ``strict`` wants the exact answer, ``lenient`` what a reader would accept."""

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
class Verdict:
    """What a scorer says of one answer.

    Attributes:
        correct: Whether it counts as right.
        rule: Which rule decided: ``equal``, ``synonym``, ``number``, ``letter`` ... for a right
            answer, and for a wrong one what it was taken as.
        taken: The answer as the rule read it, after extraction.
    """

    correct: bool
    rule: str
    taken: str


Judge = Callable[[Sample, str], Verdict]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a benchmark: accuracies of groups, averaged group by group.

    Attributes:
        name: As the benchmark calls it.
        keys: Groups from the outside in; ``()`` is plain accuracy, one key the mean over its
            groups, two keys the mean over the outer groups of the mean over their inner ones.
        only: Which samples count.
        groups: How many groups the outermost mean is divided by, where that is fixed: a group
            without answers then counts as 0.
    """

    name: str
    keys: tuple[Callable[[Sample], Hashable], ...] = ()
    only: Callable[[Sample], bool] = lambda _: True
    groups: int | None = None


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A number that somebody published.

    Attributes:
        system: What was measured.
        figure: Name of the figure that it compares to.
        value: In percent.
        source: Where it is stated.
        caveat: What makes it differ from ours; empty if nothing is known.
    """

    system: str
    figure: str
    value: float
    source: str
    caveat: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """The samples of a benchmark as found on disk.

    Attributes:
        samples: In the order of the file, ids unique.
        notes: What a careful reader should know, such as boxes outside their image.
    """

    samples: tuple[Sample, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Everything that is particular to one benchmark.

    Attributes:
        name: As the command line has it.
        title: As people have it.
        annotations: Names of the annotation file below the root, the first that is there is read.
        read: Reads one annotation file; the second argument is the root, for benchmarks that
            keep their images inside the annotation.
        prompt: What the published protocol asks a model.
        judges: Makes the judges of all ``MODES`` from a dictionary of synonyms.
        figures: The numbers that are reported, the headline first.
        instructions: What to download and where to put it.
        licence: Of the data.
        version: Of prompt and scorers; part of every report.
        published: Scores of others.
        prediction_fields: Names under which answers files of this benchmark keep the answer,
            tried before the usual ones.
    """

    name: str
    title: str
    annotations: tuple[str, ...]
    read: Callable[[Path, Path], Collection]
    prompt: Callable[[Sample], str]
    judges: Callable[[Any], Mapping[str, Judge]]
    figures: tuple[Figure, ...]
    instructions: str
    licence: str
    version: str = "1"
    published: tuple[PublishedScore, ...] = ()
    prediction_fields: tuple[str, ...] = ()


def checked_collection(samples: Iterable[Sample], notes: Iterable[str] = ()) -> Collection:
    """A collection whose ids are known to differ.

    Raises:
        DataError: If two samples have one id, or there is none at all.
    """
    found: dict[str, Sample] = {}
    for sample in samples:
        if sample.id in found:
            raise DataError(
                f"the id {sample.id!r} occurs twice: answers could not be told apart; "
                "remove one of the rows"
            )
        found[sample.id] = sample
    if not found:
        raise DataError("the annotation file holds no question")
    return Collection(tuple(found.values()), tuple(notes))
