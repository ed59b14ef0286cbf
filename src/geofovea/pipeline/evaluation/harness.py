"""Answers a prompt about an image file: the function behind the models of other harnesses.

Scenes are opened from their path and read lazily. The last few stay open, because harnesses ask
about one image several times in a row.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from geofovea.errors import BudgetError, QuestionError
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.hosts.load_options import AUTO, LoadOptions
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.session.settings import AskSettings
from geofovea.regionfocus.strategies import (
    DEFAULT_DESCENT,
    DEFAULT_GEOMETRY,
    DEFAULT_REDUCTION,
)
from geofovea.tiling.opening import open_scene

__all__ = ["Answerer", "make_answerer", "only_image"]

_LOG = logging.getLogger(__name__)
_OPEN_SCENES = 4
Number = TypeVar("Number", int, float)
_LONGEST_ANSWER = 4096


class Answerer(Protocol):
    """Answers prompts about images."""

    def __call__(self, image: str, prompt: str, answer_tokens: int | None = None) -> str:
        """Answer a prompt; every warning is logged once.

        Args:
            image: Path of the image.
            prompt: Asked as it is.
            answer_tokens: Most tokens of the answer that the harness allows. It counts only if the
                settings have no limit of their own.

        Returns:
            The text of the answer.
        """
        ...


def make_answerer(
    model: str = AUTO,
    device: str = AUTO,
    *,
    tiles: int | None = None,
    tokens: int | None = None,
    seconds: float | None = None,
    focus: str | None = None,
    reduction: str = DEFAULT_REDUCTION,
    descent: str = DEFAULT_DESCENT,
    route: str = "auto",
    stop: StopAt | None = None,
    flatness: float | None = None,
    confidence: float | None = None,
    focus_model: str | None = None,
    geometry: str = DEFAULT_GEOMETRY,
    skip: str | None = None,
    resampler: str | None = None,
    bands: tuple[int, ...] | None = None,
    composite: str | None = None,
    band_map: Mapping[str, int] | None = None,
    endpoint: EndpointSettings | str | None = None,
    cache_tokens: bool | None = None,
    index: str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    device_map: str | None = None,
    quantization: str | None = None,
    positions: str | None = None,
    answer_tokens: int | None = None,
    threads: int | None = None,
    thinking: str | None = None,
    thought_tokens: int | None = None,
    compile_decode: bool = False,
) -> Answerer:
    """Load a model for a harness; numbers may come as text, as harnesses give them.

    A prompt is asked exactly as the harness writes it. Where ``answer_tokens`` is not given, an
    answer may be as long as the harness allows. The other arguments are those of ``geofovea.ask``,
    its budget as ``tiles``, ``tokens`` and ``seconds``; ``flatness`` and ``confidence`` are a
    ``stop`` in numbers.

    Raises:
        ModelError: If the model cannot be loaded.
        BudgetError: If a limit is impossible.
    """
    limits = {
        "tiles": _number("tiles", int, tiles),
        "tokens": _number("tokens", int, tokens),
        "seconds": _number("seconds", float, seconds),
    }
    stop = stop or StopAt(
        _number("flatness", float, flatness), _number("confidence", float, confidence)
    )
    settings = AskSettings(
        model,
        {name: limit for name, limit in limits.items() if limit is not None},
        AnswerOptions(
            focus, reduction, descent, route, stop, focus_model, geometry, skip, resampler
        ),
        bands=bands,
        composite=composite,
        band_map=band_map,
        load=LoadOptions(
            device,
            dtype,
            device_map,
            quantization,
            positions,
            _number("answer_tokens", int, answer_tokens),
            _number("threads", int, threads),
            thinking,
            _number("thought_tokens", int, thought_tokens),
            # harnesses give text
            str(compile_decode).lower() in ("true", "1"),
        ),
        endpoint=EndpointSettings(endpoint) if isinstance(endpoint, str) else endpoint,
        cache_tokens=cache_tokens,
        index=None if index is None else os.fspath(index),
    )
    settings.budget()
    if settings.has_model:
        # what cannot be loaded is refused before the first image
        settings.load_host()
    return _SessionAnswerer(settings)


class _SessionAnswerer:
    """An `Answerer` that keeps the sessions of the last few images open."""

    def __init__(self, settings: AskSettings) -> None:
        self._settings = settings
        self._sessions: OrderedDict[tuple[str, int | None], SceneSession] = OrderedDict()
        self._logged: set[str] = set()

    def __call__(self, image: str, prompt: str, answer_tokens: int | None = None) -> str:
        """See `Answerer`."""
        can_vary = self._settings.load.answer_tokens is None and answer_tokens
        limit = min(answer_tokens or 0, _LONGEST_ANSWER) if can_vary else None
        result = self._settings.ask(self._session(image, limit), prompt, kind="prompt")
        # a harness keeps only the text, so doubts go to the log, each sentence once
        for warning in result.warnings:
            if warning not in self._logged:
                self._logged.add(warning)
                _LOG.warning("%s: %s", image, warning)
        return result.text

    def _session(self, image: str, limit: int | None) -> SceneSession:
        """The session of an image whose answers have at most ``limit`` tokens."""
        key = image, limit
        if key not in self._sessions:
            scene = open_scene(image)
            host = self._settings.for_scenes([scene]).load_host()
            if limit and isinstance(host, LvlmHost):
                host = host.answering(limit)
            self._sessions[key] = self._settings.open_session(scene, host)
        self._sessions.move_to_end(key)
        session = self._sessions[key]
        if len(self._sessions) > _OPEN_SCENES:
            self._sessions.popitem(last=False)
        return session


def _number(name: str, kind: Callable[[Any], Number], value: object) -> Number | None:
    """A number that a harness may have left as text.

    Raises:
        BudgetError: If it is not such a number; a fraction of a tile or token is none.
    """
    if value is None:
        return None
    try:
        number = kind(value)
        if float(number) != float(str(value)):
            raise ValueError
    except (TypeError, ValueError) as error:
        expected = "a whole number" if kind is int else "a number"
        raise BudgetError(
            f"{name}={value!r} is not {expected}; give one, or leave it out"
        ) from error
    return number


def only_image(images: Sequence[str]) -> str:
    """The image of a request: the first, as in our own runs; a warning says that others are not.

    Raises:
        QuestionError: If the request has no image.
    """
    if not images:
        raise QuestionError("this model answers questions about images, and none was given")
    if len(images) > 1:
        warnings.warn(
            f"a question about {len(images)} images is asked about the first alone: a session "
            "holds one scene",
            stacklevel=3,
        )
    return images[0]
