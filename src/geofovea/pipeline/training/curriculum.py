"""Configuration: everything that decides what a training run makes, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from geofovea.pipeline.training.embedded_model import ModelShape
from geofovea.pipeline.training.samples import SampleSpec

__all__ = [
    "Phase",
    "TrainingConfig",
    "Turn",
    "config_from_json",
    "cosine_pace",
    "default_config",
    "further_config",
]


_HEADS_PACE = 5.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one step learns from.

    Attributes:
        lessons: How many, all of one shape.
        plan: Of them.
    """

    lessons: int
    plan: SampleSpec


@dataclass(frozen=True, slots=True)
class Phase:
    """Some steps that take turns in their kinds of samples.

    Attributes:
        steps: How many.
        turns: Kinds of steps, one after the other and over again.
        vision_frozen: Whether the vision tower stays as it is: what it sees is learned before what
            to say about it, and steps without its backward pass take half of the time.
    """

    steps: int
    turns: tuple[Turn, ...]
    vision_frozen: bool = False


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything that decides what a training run makes.

    Attributes:
        seed: Of the weights and of the samples.
        start: Model whose weights the run starts from: a folder, or ``embedded``. Empty starts from
            nothing.
        shape: Of the model.
        phases: One after the other.
        learning_rate: Peak for embeddings, heads and vectors (AdamW).
        matrix_learning_rate: Peak for the matrices of the layers (Muon). Both warm up linearly and
            fall along a cosine to 2 %.
        warmup: Steps of the warm-up.
        weight_decay: Of matrices; vectors have none.
        dense_weight: Weight of the dense labels.
        focus_weight: Weight of the focus.
        heard_weight: Weight of what the last word of a question has gathered of the others.
        heads_first: Steps that teach the heads of the dense labels and of the words of a question
            alone, at `_HEADS_PACE` times the peak: a model that was trained before comes without
            them, and new ones would pull it away from what it knows.
    """

    seed: int = 0
    start: str = ""
    shape: ModelShape = field(default_factory=ModelShape)
    phases: tuple[Phase, ...] = ()
    learning_rate: float = 1e-3
    matrix_learning_rate: float = 4e-3
    warmup: int = 200
    weight_decay: float = 0.05
    dense_weight: float = 4.0
    focus_weight: float = 1.0
    heard_weight: float = 1.0
    heads_first: int = 0

    @property
    def steps(self) -> int:
        """Steps of the whole run."""
        return sum(phase.steps for phase in self.phases)

    @property
    def worlds(self) -> tuple[int, ...]:
        """Versions of the synthetic world that the last phase shows; 1 if there is none."""
        turns = [turn for phase in self.phases[-1:] for turn in phase.turns]
        return tuple(sorted({turn.plan.world for turn in turns})) or (1,)

    def phase_at(self, step: int) -> Phase:
        """The phase that a step belongs to; steps beyond the end belong to the last."""
        for phase in self.phases:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return self.phases[-1]

    def turn_at(self, step: int) -> Turn:
        """The turn that a step takes; whose turn it is goes by the number of the step."""
        turns = self.phase_at(step).turns
        return turns[step % len(turns)]

    def pace_at(self, step: int) -> float:
        """Factor of the learning rates: warm-up, then one cosine over all phases.

        Measured: to start it again with the words raises the accuracy of an oracle, and loses the
        attention to the names of sites that the descent follows.
        """
        if step < self.heads_first:
            return _HEADS_PACE
        first = self.heads_first
        return cosine_pace(step - first, self.warmup, self.steps - first)


def cosine_pace(step: int, warmup: int, steps: int) -> float:
    """Factor of a learning rate: it warms up linearly and falls along a cosine to 2 %.

    Args:
        step: Steps taken.
        warmup: Steps of the warm-up.
        steps: Steps of the run; later ones stay at 2 %.
    """
    if step < warmup:
        return (step + 1) / warmup
    share = (step - warmup) / max(1, steps - warmup)
    return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1, share))) / 2


def default_config(
    scale: float = 1.0, seed: int = 0, batch: int = 4, worlds: tuple[int, ...] = (1,)
) -> TrainingConfig:
    """The config, its steps multiplied by ``scale``, with samples of ``batch`` scenes a step.

    All samples show worlds of the versions ``worlds``, which take turns.

    First tiles crowded with things, so that things get their names. Then three kinds of steps in
    turn: tiles that are all pad, with many questions, for what the words of a question have to do
    with the things; overviews, with as many, for what they have to do with the sites; and larger
    scenes from far away. At last the pyramid as a descent sees it, with the eyes as they are.

    Steps are small because early on their number counts, not their size: with the same tiles, 1,000
    steps of 4 samples name things far better than 250 of 16. Measured: asked about pads in scenes
    alone, among many other tokens, the model attends to any thing instead of the kind that it is
    asked for, for 8,000 steps.
    """
    each = [_Turns.of(batch, world) for world in worlds]
    crowds = tuple(turns.crowds for turns in each)
    wide = tuple(turn for turns in each for turn in (turns.pads, turns.maps, turns.far))
    whole = tuple(turn for turns in each for turn in (*turns.all, turns.near))
    return TrainingConfig(
        seed=seed,
        phases=(
            Phase(max(1, round(4000 * scale)), crowds),
            Phase(max(1, round(8000 * scale)), wide),
            Phase(max(1, round(8000 * scale)), whole, vision_frozen=True),
        ),
    )


def further_config(
    start: str,
    shape: ModelShape,
    scale: float = 1.0,
    seed: int = 0,
    batch: int = 4,
    worlds: tuple[int, ...] = (1,),
) -> TrainingConfig:
    """The config of a model that was trained before: all lessons in turn, at a fifth of the rates.

    Pads come twice as often as each other kind: they hold what trained models were measured to
    lack. First the words for what the model sees anyway, then the vision tower learns with them.

    Args:
        start: The model: a folder, or ``embedded``.
        shape: Of it.
        scale: Multiplies the steps.
        seed: Of the samples.
        batch: Scenes a step.
        worlds: Versions of the synthetic world that it learns; they take turns.
    """
    each = [_Turns.of(batch, world) for world in worlds]
    order = tuple(turn for turns in each for turn in (*turns.all, turns.pads))
    phases = (
        Phase(max(1, round(4000 * scale)), order, vision_frozen=True),
        Phase(max(1, round(2000 * scale)), order),
    )
    first, steps = TrainingConfig(phases=phases), sum(phase.steps for phase in phases)
    return replace(
        first,
        seed=seed,
        start=start,
        shape=shape,
        learning_rate=first.learning_rate / 5,
        matrix_learning_rate=first.matrix_learning_rate / 5,
        warmup=min(100, steps),
        heads_first=min(100, steps // 2),
    )


_PAD_KINDS = (
    "count",
    "object background",
    "verify",
    "object category",
    "object status",
    "presence",
    "count",
    "verify",
    "object color",
    "presence",
    "object status",
    "object shape",
    "verify",
)
"""What is asked about pads, and how often: what was measured to be weak comes more than once."""


_CHANGE_KINDS = ("appeared", "gone", "new count", "changed")


_CROWDED = SampleSpec(
    overview=False,
    coarse_levels=1,
    coarse_tiles=2,
    native_tiles=0,
    crowded_tiles=6,
    questions=0,
)
_PADS = SampleSpec(
    lone_pad=True, cut=0.35, close_up=0.2, kinds=_PAD_KINDS, reworded=0.5, questions=12
)
_MAPS = SampleSpec(
    coarse_levels=0,
    native_tiles=0,
    strangers=0.9,
    distracted=0.0,
    alone=0.0,
    questions=12,
    reworded=0.3,
    undated=0.1,
    scene_sides=(5120, 6144, 8192, 10240),
)
_FAR = SampleSpec(
    base_tiles=9,
    coarse_levels=1,
    coarse_tiles=3,
    native_tiles=0,
    strangers=0.8,
    distracted=0.0,
    alone=0.0,
    thinned=0.25,
    questions=24,
    reworded=0.3,
    undated=0.1,
)
_NEAR = SampleSpec(
    base_tiles=2,
    coarse_levels=1,
    coarse_tiles=1,
    native_tiles=5,
    strangers=0.1,
    alone=0.0,
    thinned=0.5,
    questions=20,
    reworded=0.3,
    undated=0.1,
)
_DATES = SampleSpec(lone_pad=True, dates=2, kinds=_CHANGE_KINDS, reworded=0.5, questions=6)
_DATED_SCENES = SampleSpec(
    dates=2,
    kinds=_CHANGE_KINDS,
    coarse_levels=0,
    native_tiles=4,
    distracted=0.0,
    alone=0.0,
    reworded=0.5,
    questions=8,
)


@dataclass(frozen=True, slots=True)
class _Turns:
    """The kinds of steps that the configs take turns in."""

    crowds: Turn
    pads: Turn
    maps: Turn
    far: Turn
    near: Turn
    dates: Turn
    dated_scenes: Turn

    @property
    def all(self) -> tuple[Turn, ...]:
        """Every kind with questions, once."""
        return (self.pads, self.maps, self.near, self.dates, self.far, self.dated_scenes)

    @staticmethod
    def of(batch: int, world: int) -> _Turns:
        """With samples of so many scenes a step, and more of those that are short.

        Args:
            batch: Scenes a step.
            world: Version of the synthetic world.
        """

        def turn(lessons: int, plan: SampleSpec) -> Turn:
            return Turn(max(1, lessons), replace(plan, world=world))

        return _Turns(
            crowds=turn(batch, _CROWDED),
            pads=turn(4 * batch, _PADS),
            maps=turn(4 * batch, _MAPS),
            far=turn(batch // 2, _FAR),
            near=turn(batch, _NEAR),
            dates=turn(2 * batch, _DATES),
            dated_scenes=turn(batch // 2, _DATED_SCENES),
        )


def config_from_json(record: dict[str, Any]) -> TrainingConfig:
    """The config that ``dataclasses.asdict`` made plain."""
    phases = tuple(
        Phase(
            p["steps"],
            tuple(
                Turn(
                    t["lessons"],
                    _plan_from_json(t["plan"]),
                )
                for t in p["turns"]
            ),
            p["vision_frozen"],
        )
        for p in record["phases"]
    )
    return TrainingConfig(**record | {"shape": ModelShape(**record["shape"]), "phases": phases})


def _plan_from_json(record: dict[str, Any]) -> SampleSpec:
    lists = {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
    return SampleSpec(**record | lists)
