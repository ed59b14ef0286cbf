"""What a careful reader of any answer from a scene and a host should know."""

from __future__ import annotations

import sys
import warnings as python_warnings
from collections.abc import Sequence
from typing import Protocol

from geofovea.datasets.synthetic.wordings import (
    FORMS,
    is_of_untaught_kind,
    is_worded_as_taught,
)
from geofovea.errors import DemoModelWarning
from geofovea.pipeline.hosts.base import (
    Host,
    SupportsAttentionMode,
    SupportsSpecialWords,
    unknown_words_text,
)
from geofovea.pipeline.session.model_choice import is_beyond, is_synthetic
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.place_notes import place_notes
from geofovea.tiling.pixels.radiometry import Radiometry
from geofovea.tiling.scene import Scene

__all__ = [
    "answer_warnings",
    "budget_warnings",
    "uncalibrated_warnings",
    "warn_of_demo",
]

_WHY_STOPPED = {
    "time": "the time budget ended the descent before native resolution",
    "memory": "the memory budget ended the descent before native resolution",
    "confident": "the descent ended early: the model was sure enough of what it had seen",
    "flat": "the descent ended early: nothing stood out that could be looked at more closely",
    "nodata": "the descent ended early: what it pointed at holds no valid pixels",
}


def answer_warnings(
    scene: Scene,
    radiometry: Radiometry,
    host: Host,
    question: str,
    stopped: str,
    choices: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Sentences about how pixels are shown, what the host knows, and why the descent ended.

    Args:
        scene: What was looked at.
        radiometry: How its pixels were shown.
        host: The model.
        question: What it was asked.
        stopped: See ``Descent``.
        choices: What it was given to choose from.
        names: What it was asked to find, where the answer was computed from that; else None.
    """
    words = (question, *choices) if names is None else names
    warnings = [*radiometry.warnings]
    if host.capabilities.domain != "general":
        if is_beyond(host, scene):
            warnings.append(_beyond_warning(host, scene))
        if unknown := host.unknown_words(" ".join(words)):
            warnings.append(unknown_words_text(f"the {host.name} model", unknown))
        if is_of_untaught_kind(question):
            warnings.append(
                f"the {host.name} model has not learned questions about roofs: its answer is a "
                "guess"
            )
        elif not unknown and names is None and not is_worded_as_taught(question):
            warnings.append(
                f"the {host.name} model learned a few wordings of questions, and this is none of "
                "them: it may answer another question; ask, for example: "
                + FORMS["object color"][1].format(thing="plane", site="airport")
            )
    if isinstance(host, SupportsSpecialWords):
        warnings += host.omitted_words(question)
    if scene.georef == "none":
        warnings.append("the scene has no georeference: evidence is in pixels only")
        warnings += [scene.georeference.note] if scene.georeference.note else []
    else:
        warnings += place_notes(scene)
    if stopped in _WHY_STOPPED:
        warnings.append(_WHY_STOPPED[stopped])
    return tuple(warnings)


def _beyond_warning(host: Host, scene: Scene) -> str:
    if is_synthetic(scene):
        return (
            f"the {host.name} model has learned another version of the synthetic world than this "
            "scene shows: its answer is a guess"
        )
    return (
        f"the {host.name} model is a demo that knows synthetic scenes only, and this is "
        "not one: its answer is a guess; 'geofovea models' lists real models"
    )


def budget_warnings(budget: Budget, seconds: float, peak_rss_mb: float) -> tuple[str, ...]:
    """Sentences about limits that were not kept: they end a search, and never an answer.

    Args:
        budget: What was allowed.
        seconds: What the answer took.
        peak_rss_mb: Largest memory of the process with its children, in MB of 10⁶ bytes.
    """
    warnings = []
    if budget.seconds is not None and seconds > budget.seconds:
        warnings.append(
            f"the answer took {seconds:.2f} s of the {budget.seconds:g} s allowed: the first look "
            "and the answer itself are never left out"
        )
    peak_mib = peak_rss_mb * 1e6 / 2**20
    if budget.host_ram_mb is not None and peak_mib > budget.host_ram_mb:
        warnings.append(
            f"the process has held {peak_mib:.0f} MiB of memory, {budget.host_ram_mb:g} were "
            "allowed: set a smaller tile or token budget, or load the model with another dtype"
        )
    return tuple(warnings)


_told_uncalibrated: set[str] = set()


def uncalibrated_warnings(host: Host) -> tuple[str, ...]:
    """A sentence about a focus that nobody measured; only once for each model of a process."""
    is_default = isinstance(host, SupportsAttentionMode) and host.focus_origin == "default"
    if not is_default or host.name in _told_uncalibrated:
        return ()
    _told_uncalibrated.add(host.name)
    return (
        f"where {host.name} looks was never measured: 'geofovea calibrate --model {host.name}' "
        "finds the layers of its attention that point best",
    )


class Guess(Protocol):
    """What a model says of a scene, and whether it only guesses."""

    @property
    def is_demo(self) -> bool:
        """Whether a demo model guessed about a scene of a kind that it does not know."""
        ...

    @property
    def model(self) -> str:
        """Name of the host."""
        ...

    @property
    def scene(self) -> Scene:
        """What was asked about."""
        ...


def warn_of_demo(*answers: Guess | Exception) -> None:
    """A Python warning for each answer that is a guess of the demo model, at the caller's line."""
    for answer in answers:
        if not isinstance(answer, Exception) and answer.is_demo:
            why = (
                "which shows another version of the synthetic world than it has learned"
                if is_synthetic(answer.scene)
                else "which is not synthetic: name a real model; 'geofovea models' lists some"
            )
            python_warnings.warn(
                f"the demo model {answer.model} guessed about {answer.scene.path}, {why}",
                DemoModelWarning,
                stacklevel=_depth_of_caller(),
            )


def _depth_of_caller() -> int:
    """Frames from whoever called this up to the first one outside of this package."""
    depth, frame = 0, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("geofovea."):
        depth, frame = depth + 1, frame.f_back
    return depth + 1
