"""How questions are answered: one set of settings behind ``ask``, ``batch``, ``eval``, harnesses.

A run sends them to its workers and keeps their hash with every answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from geofovea import __version__
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.hosts.endpoint.shared_ledger import with_shared_ledger
from geofovea.pipeline.hosts.load import EMBEDDED_MODELS, load_host, model_digest
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.session.model_choice import chosen_model, named_model
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.regionfocus.budget import Budget

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.tiling.geo.region import Region
    from geofovea.tiling.pyramid import Box
    from geofovea.tiling.scene import Scene

__all__ = ["AskSettings", "described_hash"]

_DIGEST = "_digest"


@dataclass(frozen=True, slots=True)
class AskSettings:
    """All that an answer depends on besides scene and question.

    Attributes:
        model: Name of the model; ``auto`` has to be settled by `for_scenes` before it is loaded.
        limits: Limits of the budget that replace those of the model, by name.
        options: How questions are answered.
        bands: See ``SceneSession``.
        composite: See ``SceneSession``.
        band_map: See ``SceneSession``.
        nodata: See ``open_scene``.
        load: How the model is loaded.
        endpoint: Where a model ``openai:NAME`` is.
        rfm: Folder of a region focus module that replaces the model's own.
        cache_tokens: See ``SceneSession``.
        memory: See ``SceneSession``.
        index: See ``SceneSession``.
    """

    model: str
    limits: Mapping[str, Any] = field(default_factory=dict)
    options: AnswerOptions = field(default_factory=AnswerOptions)
    bands: tuple[int, ...] | None = None
    composite: str | None = None
    band_map: Mapping[str, int] | None = None
    nodata: float | Literal["auto"] | None = None
    load: LoadOptions = field(default_factory=LoadOptions)
    endpoint: EndpointSettings | None = None
    rfm: str | None = None
    cache_tokens: bool | None = None
    memory: MemoryOptions | None = None
    index: str | None = None

    @property
    def has_model(self) -> bool:
        """Whether the model is settled without looking at a scene."""
        return named_model(self.model) is not None

    def for_scenes(self, scenes: Iterable[Scene]) -> AskSettings:
        """These settings with the name of the model that answers about these scenes.

        Args:
            scenes: See ``chosen_model``, which looks at them only where no model is named.

        Raises:
            NoModelError: If no model is named, and one of the scenes is not synthetic.
        """
        return replace(self, model=chosen_model(self.model, scenes))

    def described(self) -> dict[str, Any]:
        """What changes answers, with the version of this package and digests of all models.

        How long, on which device and under which spend limit is left out: a run may continue with
        others. No secret is in it, for settings hold none.
        """
        own = ("model", "limits", "bands", "composite", "band_map", "nodata", "rfm")
        record: dict[str, Any] = {name: getattr(self, name) for name in own}
        of_answers = ("reduction", "descent", "route", "focus_model", "geometry")
        record |= {name: getattr(self.options, name) for name in of_answers}
        stop = self.options.stop
        record |= {
            "flatness": None if stop is None else stop.flatness,
            "confidence": None if stop is None else stop.confidence,
            "focus": self.options.focus or ("attention" if self.endpoint is None else "prompted"),
            "dtype": self._dtype(),
            "quantization": self.load.quantization,
            "positions": self.load.positions,
            "endpoint": None if self.endpoint is None else self.endpoint.described(),
            "geofovea": __version__,
            "model_digest": model_digest(self.model),
            "focus_model_digest": model_digest(self.options.focus_model),
            "rfm_digest": model_digest(self.rfm),
        }
        record |= self._described_where_chosen()
        # through JSON, so that what is compared later is what was stored
        plain: dict[str, Any] = json.loads(json.dumps(record, sort_keys=True))
        return plain

    def _described_where_chosen(self) -> dict[str, Any]:
        """What of the record is there only where somebody chose it."""
        record: dict[str, Any] = {}
        if self.options.skip is not None:
            record["skip"] = self.options.skip
        if self.options.resampler is not None:
            record["resampler"] = self.options.resampler
        if self.index is not None:
            record |= {"index": self.index, "index_digest": self._index_digest()}
        if self.memory is not None:
            # how much it holds changes what is spent, how it stores changes answers
            record["kv"] = self.memory.policy
        for name in ("answer_tokens", "thinking", "thought_tokens"):
            if (value := getattr(self.load, name)) is not None:
                record[name] = value
        return record

    def within(self, folder: Path) -> AskSettings:
        """These settings for a run in a folder: all its workers spend under one limit."""
        return replace(self, endpoint=with_shared_ledger(self.endpoint, folder))

    @property
    def hash(self) -> str:
        """A name for exactly these settings."""
        return described_hash(self.described())

    def _dtype(self) -> str:
        # as `load_host` has it, wherever an embedded model runs
        is_embedded = self.model in EMBEDDED_MODELS
        return (self.load.dtype or "float32") if is_embedded else self.load.numbers

    def _index_digest(self) -> str:
        from geofovea.pipeline.index.store import IndexStore

        return IndexStore.open(Path(self.index or "")).settings.digest

    def load_host(self) -> Host:
        """The model, with the region focus module that it is to use.

        Raises:
            ModelError: If it cannot be loaded.
            MissingExtraError: If a package is missing for that.
        """
        host = load_host(
            named_model(self.model) or self.model, endpoint=self.endpoint, **asdict(self.load)
        )
        if self.rfm:
            from geofovea.pipeline.hosts.region_focus import attach_focus

            attach_focus(Path(self.rfm), host)
        return host

    def budget(self, default: Budget | None = None) -> Budget:
        """The budget of a question: a default with these limits.

        Raises:
            BudgetError: If a limit is impossible.
        """
        return replace(default or Budget(), **self.limits)

    def open_session(self, scene: Scene, host: Host, open_seconds: float = 0.0) -> SceneSession:
        """One scene, ready to be asked about; see ``SceneSession``."""
        from geofovea.pipeline.session.session import SceneSession

        return SceneSession(
            scene,
            host,
            self.bands,
            composite=self.composite,
            band_map=self.band_map,
            cache_tokens=self.cache_tokens,
            memory=self.memory,
            index=self.index,
            open_seconds=open_seconds,
        )

    def ask(
        self,
        session: SceneSession,
        question: str,
        *,
        boxes: Sequence[Box] = (),
        region: Region | None = None,
        choices: Sequence[str] = (),
        kind: Literal["typed", "listed", "prompt"] = "typed",
    ) -> Answer:
        """Ask one question in this way; see ``SceneSession.ask`` for what belongs to it alone."""
        request = self.request(
            session.host, question, boxes=boxes, region=region, choices=choices, kind=kind
        )
        return session.answer(request)

    def request(
        self,
        host: Host,
        question: str,
        *,
        boxes: Sequence[Box] = (),
        region: Region | None = None,
        choices: Sequence[str] = (),
        kind: Literal["typed", "listed", "prompt"] = "typed",
    ) -> AskRequest:
        """One question to be asked in this way, for ``SceneSession.ask_many``."""
        from geofovea.pipeline.session.request import AskRequest

        return AskRequest(
            question,
            self.budget(host.default_budget),
            self.options,
            boxes=boxes,
            region=region,
            choices=choices,
            kind=kind,
            stated=frozenset(self.limits),
        )


def described_hash(described: Mapping[str, Any]) -> str:
    """A name for what ``AskSettings.described`` tells, and what was added to it.

    A model whose content is known is the same under any name: its folder may have been moved, or be
    written in another way.
    """
    by_content = {
        name.removesuffix(_DIGEST)
        for name, digest in described.items()
        if name.endswith(_DIGEST) and digest
    }
    record = {name: value for name, value in described.items() if name not in by_content}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]
