"""How a question is answered: one value for every way in, from Python to the command line.

Imports nothing heavy, for the command line lists its options without any model.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from geofovea._arguments import shown
from geofovea.errors import ModelError, QuestionError
from geofovea.regionfocus.strategies import (
    DEFAULT_DESCENT,
    DEFAULT_GEOMETRY,
    DEFAULT_REDUCTION,
    GEOMETRY_NAMES,
)

if TYPE_CHECKING:
    from geofovea.pipeline.focus.stopping import StopAt

__all__ = ["AnswerOptions", "check_names"]


_NAMES = ("focus", "reduction", "descent", "route", "focus_model", "geometry", "skip", "resampler")


def check_names(options: object, fields: Iterable[str]) -> None:
    """Refuse options that hold something else than the name that they are.

    Args:
        options: What holds them.
        fields: Their names; one that is None names nothing.

    Raises:
        ModelError: Naming the first of them.
    """
    for name in fields:
        value = getattr(options, name)
        if value is not None and not isinstance(value, str):
            raise ModelError(f"{name}={shown(value)} is not a name; give it as text")


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How a question is answered; what is impossible is refused with the question.

    Attributes:
        focus: One of ``FOCUS_NAMES``; None is what the model does by default.
        reduction: A chain of ``REDUCTION_NAMES``; see ``parse_chain``.
        descent: One of ``DESCENT_NAMES``.
        route: One of ``ROUTE_NAMES``.
        stop: When to end a descent before its tiles are spent; None never does.
        focus_model: Folder or hub id of the dual encoder of the focus ``similarity``.
        geometry: ``auto`` computes the answers to questions about where places lie and how large
            they are; ``off`` leaves them to the model.
        skip: What vision tokens skip inside the layers of the decoder: ``NAME`` or ``NAME:START``
            with one of ``LAYER_METHOD_NAMES`` and a first layer; or ``saisa`` or ``atp``, if the
            model carries trained weights of it. None skips nothing.
        resampler: What makes few tokens of each tile for the answer: ``NAME`` or ``NAME:TOKENS``
            with one of ``RESAMPLER_NAMES`` and the most tokens of a tile; the model must carry
            trained weights of it. None leaves tokens to the reduction.

    Raises:
        QuestionError: If ``geometry`` is neither ``auto`` nor ``off``, or ``stop`` is not a
            ``StopAt``.
        ModelError: If a name is not a text.
    """

    focus: str | None = None
    reduction: str = DEFAULT_REDUCTION
    descent: str = DEFAULT_DESCENT
    route: str = "auto"
    stop: StopAt | None = None
    focus_model: str | None = None
    geometry: str = DEFAULT_GEOMETRY
    skip: str | None = None
    resampler: str | None = None

    def __post_init__(self) -> None:
        # by its name, for its class brings torch
        if self.stop is not None and type(self.stop).__name__ != "StopAt":
            raise QuestionError(f"stop is a geofovea.StopAt, got {shown(self.stop)}")
        check_names(self, _NAMES)
        if self.geometry not in GEOMETRY_NAMES:
            raise QuestionError(
                f"geometry={self.geometry!r} is not one of {', '.join(GEOMETRY_NAMES)}"
            )
