"""What an answer spent: tiles, tokens, time, memory."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from geofovea.pipeline.hosts.flops import FlopCount
from geofovea.pipeline.hosts.usage import EndpointUse, MemoryUse
from geofovea.regionfocus.budget import Budget

__all__ = ["Cost", "StageTokens"]


@dataclass(frozen=True, slots=True)
class StageTokens:
    """Tokens before and after one reduction.

    Attributes:
        name: The reduction.
        stage: Where it acts; inside the encoder, tokens are the patches of all tiles looked at.
        tokens_in: Before it.
        tokens_out: After it.
    """

    name: str
    stage: str
    tokens_in: int
    tokens_out: int


@dataclass(frozen=True, slots=True)
class FocusCost:
    """How a host's own attention was read, and what that took.

    Attributes:
        layers: Decoder layers that were read.
        correction: See ``AttentionMode``.
        origin: ``calibrated`` on this checkpoint, ``chosen`` in its settings, or ``default``.
        tokens_scored: Vision tokens of all passes, those of neutral questions included; a question
            behind a prefix that was run already has none.
        wordings: In how many further wordings the question was put.
        halvings: In how many ways it was put about halves of the tiles, too.
    """

    layers: tuple[int, ...]
    correction: str
    origin: str
    tokens_scored: int
    wordings: int = 0
    halvings: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it by name."""
        return {**asdict(self), "layers": list(self.layers)}


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer really spent.

    Attributes:
        tiles_read: Tiles read from the scene for this question.
        tiles_encoded: Tiles whose tokens the question looked at; never above the budget.
        tiles_by_level: Those, by level.
        tokens_total: Vision tokens looked at.
        tokens_llm: Vision tokens that reached the decoder; never above the budget.
        seconds: Wall time by stage (open, read, encode, focus, answer, total).
        peak_rss_mb: Peak resident memory of the process so far, in MB of 10⁶ bytes.
        budget: What was allowed.
        tokens_end: Vision tokens that the last layer of the decoder still saw.
        reductions: What each reduction left, in the order in which tokens passed them.
        endpoint: What was spent at the model's endpoint, if it is behind one.
        flops: Operations, counted in two ways, where the shape of the host is known. What vision
            tokens skipped inside layers is left out; what a scene memory saved is counted.
        memory: What was taken from a scene memory, if there was one.
        thought_tokens: Tokens that the model thought before it answered.
        focus: What the host's own attention was read for, where that was the focus.
        vision_layers: Vision tokens of which a layer of the decoder computed more than keys and
            values, summed over its layers; None where no work was skipped inside them.
        tokens_beside: Those that entered layers without a place in the sequence, at most four for
            each of ``tokens_llm``.
        tiles_indexed: Tiles that an index compared by their vectors, without their pixels.
    """

    tiles_read: int
    tiles_encoded: int
    tiles_by_level: Mapping[int, int]
    tokens_total: int
    tokens_llm: int
    seconds: Mapping[str, float]
    peak_rss_mb: float
    budget: Budget
    tokens_end: int | None = None
    reductions: tuple[StageTokens, ...] = ()
    endpoint: EndpointUse | None = None
    flops: FlopCount | None = None
    memory: MemoryUse | None = None
    thought_tokens: int = 0
    focus: FocusCost | None = None
    vision_layers: int | None = None
    tokens_beside: int = 0
    tiles_indexed: int = 0

    def __repr__(self) -> str:
        return (
            f"Cost({self.tiles_encoded} tiles, {self.tokens_llm} of {self.tokens_total} vision "
            f"tokens, {self.seconds.get('total', 0.0):.2f} s, {self.peak_rss_mb:.0f} MB)"
        )

    def before(self, later: Cost) -> Cost:
        """Both together, where ``later`` was allowed what this one left.

        The record of the attention and of what was skipped is that of the later one.
        """
        sums = {
            name: getattr(self, name) + getattr(later, name)
            for name in ("tiles_read", "tiles_encoded", "tokens_total", "tokens_llm")
        }
        uses = [use for use in (self.endpoint, later.endpoint) if use is not None]
        return replace(
            later,
            **sums,
            tiles_by_level=_added(self.tiles_by_level, later.tiles_by_level),
            seconds=_added(self.seconds, later.seconds),
            budget=replace(
                later.budget,
                tiles=self.tiles_encoded + later.budget.tiles,
                tokens=self.tokens_llm + later.budget.tokens,
            ),
            endpoint=functools.reduce(EndpointUse.plus, uses) if uses else None,
            flops=None,
            tiles_indexed=self.tiles_indexed + later.tiles_indexed,
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """A cost as a run keeps it; what was spent at an endpoint and operations are left out.

        Args:
            data: What `to_json` gave.

        Raises:
            KeyError: If a number is missing.
            BudgetError: If one of its limits is not allowed.
        """
        return cls(
            tiles_read=data["tiles_read"],
            tiles_encoded=data["tiles_encoded"],
            tiles_by_level={int(level): count for level, count in data["tiles_by_level"].items()},
            tokens_total=data["tokens_total"],
            tokens_llm=data["tokens_llm"],
            seconds=dict(data["seconds"]),
            peak_rss_mb=data["peak_rss_mb"],
            budget=Budget(**data["budget"]),
            tokens_end=data.get("tokens_end"),
            reductions=tuple(StageTokens(**stage) for stage in data.get("reductions", ())),
            vision_layers=data.get("vision_layers"),
            tokens_beside=data.get("tokens_beside", 0),
            tiles_indexed=data.get("tiles_indexed", 0),
        )

    def to_json(self) -> dict[str, Any]:
        """The cost as plain values, as ``geofovea ask --json`` prints it."""
        optional = {
            "endpoint": self.endpoint,
            "flops": self.flops,
            "memory": self.memory,
            "focus": self.focus,
        }
        extra: dict[str, Any] = {
            name: value.to_json() for name, value in optional.items() if value is not None
        }
        if self.thought_tokens:
            extra["thought_tokens"] = self.thought_tokens
        if self.tokens_beside:
            extra["tokens_beside"] = self.tokens_beside
        if self.tiles_indexed:
            extra["tiles_indexed"] = self.tiles_indexed
        if self.vision_layers is not None:
            extra["vision_layers"] = self.vision_layers
        return extra | {
            "tiles_read": self.tiles_read,
            "tiles_encoded": self.tiles_encoded,
            "tiles_by_level": {str(k): v for k, v in sorted(self.tiles_by_level.items())},
            "tokens_total": self.tokens_total,
            "tokens_llm": self.tokens_llm,
            "tokens_end": self.tokens_llm if self.tokens_end is None else self.tokens_end,
            "reductions": [asdict(stage) for stage in self.reductions],
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "peak_rss_mb": round(self.peak_rss_mb, 1),
            "budget": self.budget.to_json(),
        }


def _added(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in (*one, *other)}
