"""The interface of all reductions, and the rules that all of them keep.

A reduction keeps at least one token. If the budget holds all tokens, they stay as they are. Indices
are in ascending order. Protected tokens always stay and are not counted. A reduction changes no
input, and equal input gives an equal choice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.scoring import clean_scores, top_indices
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["Reduction", "Selector", "Stage", "TokenChoice", "keep_best"]

Stage = Literal["tile", "encoder_layer", "encoder_output", "projected", "decoder_layer", "cache"]
"""Where a reduction acts, in the order in which tokens pass."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenChoice:
    """The choice of a reduction.

    Attributes:
        index: int64 ``(k,)``, ascending: which tokens stay, or which token each output stands for.
        features: ``(k, d)``, where merging changed the values; None where tokens stay as they are.
        groups: int64 ``(n,)``, the output that each token went into, −1 where it was dropped; None
            for plain selection, and where tokens went into several outputs.
        sizes: ``(k,)``, how many tokens each output stands for; None for plain selection.
        info: What is worth telling, such as ``{"fallback": "uniform"}``.
        importance: float32 ``(k,)`` on the host, what each output weighs; None where it is not
            told.
        boxes: float64 ``(k, 4)`` on the host, the scene box of what each output stands for; None
            for that of its token.
    """

    index: Tensor
    features: Tensor | None = None
    groups: Tensor | None = None
    sizes: Tensor | None = None
    info: dict[str, Any] = field(default_factory=dict)
    importance: Tensor | None = None
    boxes: Tensor | None = None


class Reduction(Protocol):
    """Chooses or merges tokens under a budget."""

    @property
    def name(self) -> str:
        """The word by which it is chosen."""
        ...

    @property
    def stage(self) -> Stage:
        """Where it acts."""
        ...

    @property
    def requires(self) -> frozenset[str]:
        """Fields of `TokenContext` that it cannot do without."""
        ...

    def reduce(self, context: TokenContext, k: int) -> TokenChoice:
        """Keep ``k`` of n tokens; ``k`` is clipped to ``1..n``, and n = 0 keeps none.

        Raises:
            ModelError: If the context lacks a required field.
        """
        ...


class Selector(ABC):
    """The rules that all reductions share; a method adds only its choice."""

    name: ClassVar[str]
    stage: ClassVar[Stage] = "projected"
    requires: ClassVar[frozenset[str]] = frozenset()
    requires_one_of: ClassVar[tuple[frozenset[str], ...]] = ()
    """Fields that can stand in for each other: of each set it needs one."""
    uses: ClassVar[frozenset[str]] = frozenset()
    """Fields that it takes where they are there, and does without where they are not."""
    merges: ClassVar[bool] = False
    """Whether an output may stand for several tokens; otherwise tokens stay as they are."""

    def reduce(self, context: TokenContext, k: int) -> TokenChoice:
        """See `Reduction`."""
        if missing := sorted(f for f in self.requires if getattr(context, f) is None):
            raise ModelError(
                f"the reduction {self.name!r} needs {', '.join(missing)}, which these tokens do "
                "not have; choose one that needs less, such as strided or divprune"
            )
        for fields in self.requires_one_of:
            if all(getattr(context, f) is None for f in fields):
                raise ModelError(
                    f"the reduction {self.name!r} needs {' or '.join(sorted(fields))}, and these "
                    "tokens have none of them; choose one that needs less, such as strided or "
                    "divprune"
                )
        candidates = context.candidates
        k = min(max(k, 1), len(candidates))
        if k == len(candidates):
            return TokenChoice(torch.arange(len(context.features)))
        if len(candidates) == len(context.features):
            return self._choose(context, len(candidates), k)
        return self._beside_protected(context, candidates, k)

    @abstractmethod
    def _choose(self, context: TokenContext, n: int, k: int) -> TokenChoice:
        """Keep ``k`` of ``n`` tokens, none of them protected, ``1 <= k < n``."""

    def _beside_protected(self, context: TokenContext, candidates: Tensor, k: int) -> TokenChoice:
        """Choose among the others and put the protected tokens back where they were."""
        assert context.protected is not None  # noqa: S101 - only called then
        others = replace(context.select(candidates), protected=None)
        choice = self._choose(others, len(candidates), k)
        always = context.protected.nonzero()[:, 0].cpu()
        index = torch.cat([candidates[choice.index], always])
        order = torch.argsort(index, stable=True)
        features = groups = sizes = None
        if choice.features is not None:
            whole = context.features[always.to(context.features.device)]
            features = torch.cat([choice.features, whole])[order]
        if choice.groups is not None:
            # the place of an output before ordering leads to its place after it
            place = torch.argsort(order)
            groups = torch.full((len(context.features),), -1, dtype=torch.int64)
            groups[candidates] = torch.where(
                choice.groups < 0, -1, place[choice.groups.clamp_min(0)]
            )
            groups[always] = place[len(choice.index) :]
        if choice.sizes is not None:
            sizes = torch.cat([choice.sizes, choice.sizes.new_ones(len(always))])[order]
        return TokenChoice(index[order], features, groups, sizes, choice.info)


def keep_best(scores: Tensor, k: int) -> TokenChoice:
    """The ``k`` best of scores ``(n,)``, equal ones in order of index.

    NaN and -inf lose. Without a finite score, even positions are kept and ``info`` says so.
    """
    scores, is_replaced = clean_scores(scores)
    if is_replaced:
        return TokenChoice(
            torch.tensor(even_positions(len(scores), k)), info={"fallback": "uniform"}
        )
    return TokenChoice(top_indices(scores, k).sort().values)
