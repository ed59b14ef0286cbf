"""Samples of the synthetic world with everything that is frozen computed once, and kept on disk.

Most of the time of a step goes into rendering and encoding tiles. A part is trained beside a model
that does not change, so both are done once, and so are the answers of the whole model. Shard i is a
function of the seed and of i.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from geofovea.errors import DataError
from geofovea.pipeline.system.files import make_folder
from geofovea.pipeline.system.tensor_files import write_tensors
from geofovea.pipeline.training.embedded_model import vocabulary
from geofovea.pipeline.training.lessons.scene_tiles import ChooseTiles, choose_tiles
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.samples import SampleSpec, TrainingSample, training_samples
from geofovea.tiling.machine.system_errors import reason_of

__all__ = [
    "HELD_OUT",
    "LESSONS_A_SHARD",
    "LESSON_SPEC",
    "LessonArrays",
    "LessonStore",
    "Lessons",
    "at_answers",
    "stacked",
]

LESSON_SPEC = SampleSpec(
    base_tiles=2,
    coarse_levels=1,
    coarse_tiles=1,
    native_tiles=5,
    strangers=0.1,
    distracted=0.0,
    alone=0.1,
    dropped=0.0,
    questions=20,
    scene_sides=(4096, 8192, 16384),
)
"""The pyramid as a descent shows it, with nothing dropped: a part decides what is left."""

LESSONS_A_SHARD = 16
HELD_OUT = 10**6
"""Shards from this number on are for measuring; training never gets there."""


@dataclass(frozen=True, slots=True)
class LessonArrays:
    """Tensors of b lessons, each with a leading b; subclasses say which."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def at(self, index: Tensor) -> Self:
        """Some of the lessons, in float32."""
        parts = {f.name: getattr(self, f.name)[index] for f in fields(self)}
        return type(self)(
            **{k: v.float() if v.dtype == torch.float16 else v for k, v in parts.items()}
        )

    def batches(self, size: int) -> Iterator[Self]:
        """All lessons in their order, some at a time, in float32."""
        for first in range(0, len(self), size):
            yield self.at(torch.arange(first, min(first + size, len(self))))

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """All lessons of some shards."""
        return cls(**{f.name: torch.cat([getattr(p, f.name) for p in parts]) for f in fields(cls)})


@dataclass(frozen=True, slots=True)
class Lessons(LessonArrays):
    """b lessons of n vision tokens and q questions of l words, with a vocabulary of V words.

    Attributes:
        vision: ``(b, n, d)``, as the decoder gets them; those of a tile one after the other.
        visible: bool ``(b, n)``.
        group: int64 ``(b, n)``, tokens of one level share a number.
        words: int64 ``(b, q, l)``.
        targets: int64 ``(b, q, l)``, see ``TrainingSample``.
        answered: bool ``(b, q)``.
        category: int64 ``(b, q)``.
        teacher: ``(b, q, 2, V)``, logits of the whole model at the answer and behind it.
    """

    vision: Tensor
    visible: Tensor
    group: Tensor
    words: Tensor
    targets: Tensor
    answered: Tensor
    category: Tensor
    teacher: Tensor


def at_answers(logits: Tensor, targets: Tensor) -> Tensor:
    """Of logits ``(b, q, l, V)`` those at a question's end and at its answer, ``(b, q, 2, V)``."""
    place = answer_position(targets)[..., None] + torch.arange(2, device=targets.device)
    return logits.gather(2, place[..., None].expand(*place.shape, logits.shape[-1]))


class LessonStore:
    """Shards of lessons in a folder; what is not there yet is made.

    Several parts of one model can share a folder.

    Attributes:
        kind: What its lessons are.
    """

    kind: ClassVar[type[LessonArrays]] = Lessons

    def __init__(
        self, folder: Path, model: FrozenModel, seed: int, spec: SampleSpec = LESSON_SPEC
    ) -> None:
        """Choose a folder, which is made if missing.

        Raises:
            OutputError: If it cannot be made.
        """
        make_folder(folder)
        self._folder, self._model, self._seed, self._spec = folder, model, seed, spec
        self._words = {word: index for index, word in enumerate(vocabulary())}
        about = repr((seed, spec, model.shape, list(self._words), *self._made_of(model)))
        self._mark = hashlib.sha256(about.encode()).hexdigest()[:12]

    @staticmethod
    def _made_of(model: FrozenModel) -> tuple[str, ...]:
        """What else lessons depend on."""
        return (model.digest(),)

    def shard(self, number: int) -> Any:
        """The lessons of a shard, made now if need be.

        Raises:
            DataError: If its file is damaged.
            OutputError: If it cannot be written.
        """
        path = self._path(number)
        if not path.exists():
            made = self._made(number)
            stored = {f.name: _small(getattr(made, f.name)) for f in fields(self.kind)}
            write_tensors(path, stored)
        try:
            record = load_file(path)
            return self.kind(**{f.name: _wide(record[f.name]) for f in fields(self.kind)})
        except (OSError, KeyError, SafetensorError) as error:
            raise DataError(f"{path} holds no lessons ({reason_of(error)}): remove it") from error

    def has(self, number: int) -> bool:
        """Whether a shard has been made."""
        return self._path(number).exists()

    def _path(self, number: int) -> Path:
        return self._folder / f"lessons-{self._mark}-{number:07d}.safetensors"

    def _made(self, number: int) -> LessonArrays:
        return self._lessons(self._samples(number))

    def _samples(self, number: int, choose: ChooseTiles = choose_tiles) -> list[TrainingSample]:
        """What the lessons of a shard show and ask."""
        seed = (self._seed << 40) + number
        made = training_samples(seed, self._model.shape, self._spec, self._words, choose)
        return list(islice(made, LESSONS_A_SHARD))

    @torch.no_grad()
    def _lessons(self, samples: Sequence[TrainingSample]) -> Lessons:
        """Samples with their vision tokens, and what the whole model answers."""
        vision = self._model.tokens(stacked(samples, "tiles"), stacked(samples, "places"))
        names = ("visible", "group", "words", "targets", "answered", "category")
        own = {name: stacked(samples, name) for name in names}
        logits = self._model.logits(vision, own["visible"], own["words"])
        return Lessons(vision=vision, teacher=at_answers(logits, own["targets"]), **own)


def stacked(samples: Sequence[TrainingSample], name: str) -> Tensor:
    """A field of all samples, with a leading b."""
    return torch.from_numpy(np.stack([getattr(sample, name) for sample in samples]))


def _small(value: Tensor) -> Tensor:
    if value.is_floating_point():
        return value.half().contiguous()
    is_small = value.dtype in (torch.bool, torch.uint8)
    return value.contiguous() if is_small else value.to(torch.int16).contiguous()


def _wide(value: Tensor) -> Tensor:
    return value.long() if value.dtype == torch.int16 else value
