"""Recipes: everything that decides what a training run makes, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from geofovea.pipeline.embedded import ModelShape
from geofovea.pipeline.lessons import LessonPlan

__all__ = ["Phase", "Recipe", "default_recipe", "recipe_from_json"]


@dataclass(frozen=True, slots=True)
class Phase:
    """Some steps with one kind of lesson.

    Attributes:
        steps: How many.
        batch: Lessons a step.
        plan: Of the lessons.
        vision_frozen: Whether the vision tower stays as it is: what it sees is learnt before what
            to say about it, and steps without its backward pass take half of the time.
    """

    steps: int
    batch: int
    plan: LessonPlan
    vision_frozen: bool = False


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what a training run makes.

    Attributes:
        seed: Of the weights and of the lessons.
        shape: Of the model.
        phases: One after the other.
        learning_rate: Peak for embeddings, heads and vectors (AdamW).
        matrix_learning_rate: Peak for the matrices of the layers (Muon). Both warm up linearly and
            fall along a cosine to 2 %.
        warmup: Steps of the warm-up.
        weight_decay: Of matrices; vectors have none.
        dense_weight: Weight of the dense labels.
        focus_weight: Weight of the focus.
    """

    seed: int = 0
    shape: ModelShape = field(default_factory=ModelShape)
    phases: tuple[Phase, ...] = ()
    learning_rate: float = 1e-3
    matrix_learning_rate: float = 4e-3
    warmup: int = 200
    weight_decay: float = 0.05
    dense_weight: float = 4.0
    focus_weight: float = 1.0

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return sum(phase.steps for phase in self.phases)

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to; steps beyond the end belong to the last."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]

    def pace_at(self, step: int) -> float:
        """Factor of the learning rates: warm-up, then one cosine over all phases.

        Measured: to start it again with the words raises the accuracy of an oracle, and loses the
        attention to the names of sites that the descent follows.
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1, share))) / 2


def default_recipe(scale: float = 1.0, seed: int = 0, batch: int = 4) -> Recipe:
    """The recipe, its steps multiplied by ``scale``, with ``batch`` lessons a step.

    First tiles crowded with things, so that things get their names; then pads from near, with only
    a little of the scene around them, many lessons a second, until the eyes are good and after
    that for the words alone; then the pyramid as a descent sees it.

    Steps are small because early on their number counts, not their size: with the same tiles, 1,000
    steps of 4 lessons name things far better than 250 of 16.
    """
    crowded = LessonPlan(
        overview=False,
        coarse_levels=1,
        coarse_tiles=2,
        native_tiles=0,
        crowded_tiles=6,
        questions=0,
    )
    near = LessonPlan(
        overview=False,
        base_tiles=1,
        coarse_levels=0,
        native_tiles=4,
        crowded_tiles=3,
        strangers=0.2,
        alone=0.0,
        questions=20,
    )
    words = replace(near, crowded_tiles=0, questions=24)
    pyramid = LessonPlan(
        base_tiles=3,
        coarse_levels=1,
        coarse_tiles=1,
        native_tiles=6,
        strangers=0.5,
        questions=24,
    )
    return Recipe(
        seed=seed,
        phases=(
            Phase(max(1, round(4000 * scale)), batch, crowded),
            Phase(max(1, round(4000 * scale)), batch, near),
            Phase(max(1, round(2500 * scale)), batch, words, vision_frozen=True),
            Phase(max(1, round(4500 * scale)), batch, pyramid, vision_frozen=True),
        ),
    )


def recipe_from_json(given: dict[str, Any]) -> Recipe:
    """The recipe that ``dataclasses.asdict`` made plain."""
    phases = tuple(
        Phase(
            p["steps"],
            p["batch"],
            LessonPlan(**p["plan"] | {"scene_sides": tuple(p["plan"]["scene_sides"])}),
            p["vision_frozen"],
        )
        for p in given["phases"]
    )
    return Recipe(**given | {"shape": ModelShape(**given["shape"]), "phases": phases})
