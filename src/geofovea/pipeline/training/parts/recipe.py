"""What decides how a part is trained, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from geofovea.errors import DataError
from geofovea.regionfocus.resamplers.registry import RESAMPLER_NAMES

__all__ = ["PART_NAMES", "WORDS_FOR_LAWNS", "PartRecipe", "default_recipe"]

PART_NAMES = (*RESAMPLER_NAMES, "dyvte", "saisa", "atp", "deepstack", "bands", "dual_encoder")

WORDS_FOR_LAWNS = {"lawn": "grass", "healthy": "green"}
"""Words of questions about lawns that the model never learned, and what they are written as."""


@dataclass(frozen=True, slots=True)
class PartRecipe:
    """Everything that decides what a training run makes.

    Attributes:
        method: One of ``PART_NAMES``.
        seed: Of lessons, weights and batches.
        steps: Of the whole run; a run that is resumed may have another number.
        shards: Of lessons that it learns from.
        lessons: A step.
        questions: Of a lesson in a step; None for all of them.
        learning_rate: Its peak, for new weights.
        decoder_rate: The same for differences of the decoder.
        warmup: Steps of the warm-up; afterwards the pace falls along a cosine to 2 %.
        weight_decay: Of matrices.
        rank: Of the differences of the decoder; 0 leaves the decoder as it is.
        settings: Of the part's modules.
        worlds: Versions of the synthetic world that the lessons show; they take turns by shard.

    Raises:
        DataError: If a number is impossible.
    """

    method: str
    seed: int = 0
    steps: int = 1200
    shards: int = 70
    lessons: int = 4
    questions: int | None = None
    learning_rate: float = 2e-3
    decoder_rate: float = 2e-3
    warmup: int = 50
    weight_decay: float = 0.01
    rank: int = 16
    settings: Mapping[str, Any] = field(default_factory=dict)
    worlds: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        if self.method not in PART_NAMES:
            raise DataError(f"no part is called {self.method!r}; choose {', '.join(PART_NAMES)}")
        for name in ("steps", "shards", "lessons"):
            if getattr(self, name) < 1:
                raise DataError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.worlds:
            raise DataError("a part learns from at least one world, such as worlds=(1,)")
        if self.method == "bands" and 1 in self.worlds:
            raise DataError("the first world has no near infrared; train bands with worlds=(2,)")

    def as_json(self) -> dict[str, Any]:
        """The recipe as values that JSON can hold."""
        return asdict(replace(self, settings=dict(self.settings)))


_OF_METHOD: dict[str, dict[str, Any]] = {
    "quecc": {"questions": 4},
    "dyvte": {"steps": 6000, "rank": 0, "learning_rate": 1e-3, "settings": {"hidden": 64}},
    "saisa": {"steps": 6000, "rank": 0, "learning_rate": 1e-3},
    "atp": {
        "steps": 240,
        "shards": 14,
        "rank": 0,
        "questions": 2,
        "learning_rate": 1e-2,
        "warmup": 20,
        "settings": {"target": 0.25, "weight": 5.0},
    },
    "deepstack": {"steps": 300, "shards": 14},
    "dual_encoder": {
        "steps": 8000,
        "shards": 192,
        "rank": 0,
        "settings": {"dimension": 128, "features": 384, "hidden": 512},
    },
    "bands": {
        "steps": 200,
        "shards": 16,
        "worlds": (2,),
        "settings": {
            "wavelengths_um": [0.842],
            "words": WORDS_FOR_LAWNS,
            "domain": "synthetic 2",
        },
    },
}


def default_recipe(method: str, *, seed: int = 0, steps: int | None = None) -> PartRecipe:
    """The recipe by which a method is trained here.

    Raises:
        DataError: If there is no such method.
    """
    recipe = PartRecipe(method, seed, **_OF_METHOD.get(method, {}))
    return recipe if steps is None else replace(recipe, steps=steps)
