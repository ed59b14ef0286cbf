"""From the word for a focus to the focus, for one scene and one host."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea._arguments import shown
from geofovea.datasets.synthetic.vocabulary import sites_in
from geofovea.errors import ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.focus.dual_encoder import load_dual_encoder
from geofovea.pipeline.focus.indexed import IndexedFocus, indexed_likeness
from geofovea.pipeline.focus.prompted import PromptedFocus
from geofovea.pipeline.focus.similarity import SimilarityFocus
from geofovea.pipeline.hosts.base import (
    Host,
    SupportsAttentionMode,
    SupportsImages,
    SupportsRegionFocus,
)
from geofovea.pipeline.hosts.endpoint.images import tiles_from_tokens
from geofovea.pipeline.hosts.flops import ShownTokens
from geofovea.pipeline.index.scene_index import SceneIndex
from geofovea.regionfocus.focus import AttentionFocus, Focus, OracleFocus, RegionFocus
from geofovea.regionfocus.strategies import FOCUS_NAMES
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.pyramid import Box, Tile
from geofovea.tiling.reader import TileReader

__all__ = [
    "FocusFactory",
    "check_focus",
    "check_meant",
    "default_focus",
    "focus_model_of",
    "place_question",
]

_EMBEDDING_BYTES = 32 * 2**20


def default_focus(host: Host, index: SceneIndex | None = None) -> str:
    """The focus of a question that names none: the index, else the host's own means."""
    if index is not None:
        return "similarity"
    return "prompted" if isinstance(host, SupportsImages) else "attention"


def place_question(place: str) -> str:
    """What a focus follows to a place that is named."""
    return f"What is the {place}?"


def _followed(question: str, unsought: frozenset[str]) -> str:
    """What the attention of a model follows: the place of a question about what it cannot seek.

    Args:
        question: What is asked.
        unsought: See `Capabilities`.
    """
    sites = sites_in(question)
    if len(sites) != 1 or unsought.isdisjoint(re.findall(r"\w+", question.lower())):
        return question
    return place_question(sites[0])


def focus_model_of(focus: str, named: str | None, index: SceneIndex | None) -> str | None:
    """The dual encoder of a focus: the one that is named, else that of the index."""
    return index.encoder if named is None and index and focus == "similarity" else named


def check_focus(
    host: Host, name: str, *, boxes: Sequence[Box] = (), focus_model: str | None = None
) -> None:
    """Refuse a focus that cannot be made; see ``FocusFactory.make``.

    Raises:
        ModelError: If there is no such focus, the host lacks what it needs, no model for it is
            named, or what is named is for another.
        GeometryError: If an oracle is given no box.
    """
    check_meant(name, boxes=boxes, focus_model=focus_model)
    if name == "oracle":
        OracleFocus(boxes)
    elif name == "attention":
        _attention_host(host)
    elif name == "rfm":
        _region_focus_host(host)
    elif name == "prompted":
        _pictures_host(host)
    elif name == "similarity":
        _encoder_name(focus_model)
    else:
        raise ModelError(f"unknown focus {name!r}; choose one of {', '.join(FOCUS_NAMES)}")


def check_meant(name: str, *, boxes: Sequence[Box] = (), focus_model: str | None = None) -> None:
    """Refuse what is for another focus than the one that is asked for, and would do nothing.

    Raises:
        ModelError: If there is such a thing.
    """
    if focus_model is not None and name != "similarity":
        raise ModelError(
            f"focus_model={focus_model!r} is for the focus 'similarity' and not for {name!r}; "
            "leave it out"
        )
    given: object = boxes
    if not isinstance(given, Sequence) or not all(isinstance(box, Box) for box in given):
        raise ModelError(f"boxes= is a list of geofovea.Box, got {shown(given)}")
    if boxes and name != "oracle":
        raise ModelError(
            f"boxes= says where the evidence is, for the focus 'oracle' and not for {name!r}; "
            "leave it out"
        )


class FocusFactory:
    """Makes focuses; what a similarity focus embedded is kept for the next question."""

    def __init__(self, host: Host, reader: TileReader, index: SceneIndex | None = None) -> None:
        """Keep the host, the reader and the index of a session."""
        self._host = host
        self._index = index
        self._reader = reader
        self._embedded: dict[str, LruCache[Tile, Tensor]] = {}

    def make(
        self,
        name: str,
        question: str,
        calls: EngineCalls,
        usage: QuestionUsage,
        *,
        boxes: Sequence[Box] = (),
        focus_model: str | None = None,
    ) -> Focus:
        """The focus of one question.

        Args:
            name: One of ``FOCUS_NAMES`` that scores tokens.
            question: What is asked.
            calls: How the host is asked for its attention.
            usage: Counts what the focus reads and scores, and the time of scoring as ``focus``;
                takes its warnings.
            boxes: Where the evidence is, for ``oracle``.
            focus_model: Folder or hub id of the dual encoder of ``similarity``.

        Raises:
            ModelError: If there is no such focus, the host lacks what it needs, or no model for it
                is named.
            GeometryError: If an oracle is given no box.
        """
        check_focus(self._host, name, boxes=boxes, focus_model=focus_model)
        if name == "oracle":
            return OracleFocus(boxes)
        if name == "attention":
            followed = _followed(question, self._host.capabilities.unsought)
            score = self._attention(followed, calls, usage)
            return AttentionFocus(lambda tokens: score([tokens])[0], score)
        if name == "rfm":
            return RegionFocus(
                _timed(partial(_region_focus_host(self._host).region_scores, question), usage.clock)
            )
        if name == "prompted":
            return PromptedFocus(_pictures_host(self._host), question, usage.clock, usage.warnings)
        return self._similarity(question, usage, _encoder_name(focus_model))

    def _attention(
        self, question: str, calls: EngineCalls, usage: QuestionUsage
    ) -> Callable[[Sequence[TokenSet]], list[Tensor]]:
        # what a host can do does not change within a question, and asking takes time
        passes, words_alone = _further_passes(self._host)
        base = self._reader.pyramid.base_level

        def score(looks: Sequence[TokenSet]) -> list[Tensor]:
            for tokens in looks:
                usage.looks_scored += [ShownTokens.of(tokens)] * (1 + passes)
                usage.looks_scored += [ShownTokens(0)] * words_alone
            # every descent begins with these tiles, whatever is asked
            again = all(tile.level >= base for tokens in looks for tile in tokens.tiles)
            with usage.clock.stage("focus"):
                return calls.scores(question, looks, again=again)

        return score

    def _similarity(self, question: str, usage: QuestionUsage, focus_model: str) -> Focus:
        encoder = load_dual_encoder(focus_model)
        usage.warn(encoder.doubts(question, self._reader.scene))
        if self._index is not None:
            with usage.clock.stage("focus"):
                likeness = indexed_likeness(self._index, encoder, question, usage)
            if likeness is not None:
                return IndexedFocus(likeness, usage.clock)
        cache = self._embedded.setdefault(
            focus_model, LruCache(_EMBEDDING_BYTES, lambda vectors: vectors.nbytes)
        )

        def pixels(tokens: TokenSet) -> list[NDArray[np.uint8]]:
            if isinstance(self._host, SupportsImages):
                return tiles_from_tokens(tokens, self._host.tile_size, self._host.grid)
            usage.tiles_read += len(tokens.tiles)
            return [self._reader.read(tile).rgb for tile in tokens.tiles]

        return SimilarityFocus(encoder, question, pixels, self._host.tile_size, cache, usage.clock)


def _further_passes(host: Host) -> tuple[int, int]:
    """How often a host reads a look again to score it, and how often further words alone run."""
    if not isinstance(host, SupportsAttentionMode):
        return 0, 0
    mode = host.attention_mode
    questions = len(mode.neutral) + len(mode.wordings)
    # behind a shared prefix the words alone run
    passes, words_alone = (0, questions) if host.reuses_prefix else (questions, 0)
    return passes + mode.halvings, words_alone


def _timed(score: Callable[[TokenSet], Tensor], clock: StageClock) -> Callable[[TokenSet], Tensor]:
    def timed(tokens: TokenSet) -> Tensor:
        with clock.stage("focus"):
            return score(tokens)

    return timed


def _attention_host(host: Host) -> None:
    if not host.capabilities.attention:
        own = "rfm, " if host.capabilities.region_focus else ""
        own += "prompted, " if isinstance(host, SupportsImages) else ""
        raise ModelError(
            f"{host.name} exposes no attention to focus with; choose one of {own}similarity, "
            "overview, uniform, full"
        )


def _region_focus_host(host: Host) -> SupportsRegionFocus:
    if not (host.capabilities.region_focus and isinstance(host, SupportsRegionFocus)):
        raise ModelError(
            f"{host.name} brings no region focus module for focus='rfm'; choose attention, "
            "make one with geofovea distill, or name a published model with model="
        )
    return host


def _pictures_host(host: Host) -> SupportsImages:
    if not isinstance(host, SupportsImages):
        raise ModelError(
            f"focus='prompted' asks a model behind an endpoint, and {host.name} is not one; "
            "choose attention or similarity, or name one with model='openai:NAME'"
        )
    return host


def _encoder_name(focus_model: str | None) -> str:
    if focus_model is None:
        raise ModelError(
            "focus='similarity' needs a dual encoder; name one, for example "
            "focus_model='openai/clip-vit-base-patch32' ('embedded' for synthetic scenes), or an "
            "index of the scene with index="
        )
    return focus_model
