"""Which tokens of a level reach the decoder.

Every reduction keeps the same rules: at least one token and at most as many as there are; all of
them, untouched, when the budget holds them; indices in ascending order; nothing mutated.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.scoring import clean_scores, top_indices
from geofovea.regionfocus.spread import even_positions
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "Kept",
    "RandomKeep",
    "Reduction",
    "Strided",
    "TokenContext",
    "TopScore",
    "make_reduction",
    "reductions",
]


@dataclass(frozen=True, slots=True, eq=False)
class TokenContext:
    """What a reduction may know of n tokens; it declares what it ``requires`` beyond features.

    Attributes:
        features: ``(n, d)``.
        scores: ``(n,)``, from the focus.
        levels: int64 ``(n,)``.
        tile_index: int64 ``(n,)``; tokens of one tile share a number.
        boxes_scene: float64 ``(n, 4)`` as x0, y0, x1, y1.
        grid: ``(rows, cols)`` of tokens in a tile.
    """

    features: Tensor
    scores: Tensor | None = None
    levels: Tensor | None = None
    tile_index: Tensor | None = None
    boxes_scene: Tensor | None = None
    grid: tuple[int, int] | None = None

    @classmethod
    def of(cls, tokens: TokenSet, scores: Tensor | None = None) -> TokenContext:
        """The context that a token set provides."""
        return cls(tokens.features, scores, tokens.levels, tokens.tile_index, tokens.boxes_scene)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The choice of a reduction.

    Attributes:
        index: int64 ``(k,)``, ascending indices of the tokens that stay.
        info: What is worth telling, such as ``{"fallback": "uniform"}``.
    """

    index: Tensor
    info: dict[str, Any] = field(default_factory=dict)


class Reduction(Protocol):
    """Chooses tokens under a budget."""

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        ...

    @property
    def requires(self) -> frozenset[str]:
        """Fields of `TokenContext` that it cannot do without."""
        ...

    def reduce(self, context: TokenContext, k: int) -> Kept:
        """Keep ``k`` of n tokens; ``k`` is clipped to ``1..n``, and n = 0 keeps none.

        Raises:
            ModelError: If the context lacks a required field.
        """
        ...


class _Selector(ABC):
    """The rules that all reductions share; a strategy adds only its choice."""

    name: ClassVar[str]
    requires: ClassVar[frozenset[str]] = frozenset()

    def reduce(self, context: TokenContext, k: int) -> Kept:
        """See `Reduction`."""
        if missing := sorted(f for f in self.requires if getattr(context, f) is None):
            able = sorted(name for name, make in reductions.items() if not make().requires)
            raise ModelError(
                f"the reduction {self.name!r} needs {', '.join(missing)}, which these tokens do "
                f"not have; choose one of {', '.join(able)}"
            )
        n = len(context.features)
        k = min(max(k, 1), n)
        return Kept(torch.arange(n)) if k == n else self._choose(context, n, k)

    @abstractmethod
    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:
        """Keep ``k`` of ``n`` tokens, ``1 <= k < n``."""


@dataclass(frozen=True, slots=True)
class TopScore(_Selector):
    """The best scores, equal ones in order of index; evenly spaced when no score is finite."""

    name: ClassVar[str] = "top_score"
    requires: ClassVar[frozenset[str]] = frozenset({"scores"})

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:
        assert context.scores is not None  # noqa: S101 - required, and checked by reduce
        scores, is_replaced = clean_scores(context.scores)
        if is_replaced:
            return Kept(torch.tensor(even_positions(n, k)), {"fallback": "uniform"})
        return Kept(top_indices(scores, k).sort().values)


@dataclass(frozen=True, slots=True)
class Strided(_Selector):
    """Evenly spaced positions, ``floor((i + 0.5) * n / k)``."""

    name: ClassVar[str] = "strided"

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:  # noqa: ARG002
        return Kept(torch.tensor(even_positions(n, k)))


@dataclass(frozen=True, slots=True)
class RandomKeep(_Selector):
    """A random choice, the same for the same seed and counts.

    Attributes:
        seed: Seed of the generator.
    """

    seed: int = 0
    name: ClassVar[str] = "random"

    def _choose(self, context: TokenContext, n: int, k: int) -> Kept:  # noqa: ARG002
        generator = torch.Generator().manual_seed(self.seed)
        return Kept(torch.randperm(n, generator=generator)[:k].sort().values)


reductions: dict[str, Callable[[], Reduction]] = {
    make.name: make for make in (TopScore, Strided, RandomKeep)
}
"""Every reduction by name, with its default settings."""


def make_reduction(name: str) -> Reduction:
    """The reduction of that name.

    Raises:
        ModelError: If there is none; the message lists those there are.
    """
    if name not in reductions:
        raise ModelError(f"unknown reduction {name!r}; choose one of {', '.join(reductions)}")
    return reductions[name]()
