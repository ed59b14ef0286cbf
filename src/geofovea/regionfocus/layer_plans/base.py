"""The interface of all layer methods: what they see of a sequence, and what they say of a layer.

A method looks at the sequence before each layer and answers with a `LayerPlan`. A driver of the
pipeline carries it out: what a plan leaves out is not computed. Keys and values of vision tokens
are made in every layer, unless they are gone, so that words see them as ever. This module knows no
model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol, cast

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.tokens import TokenSet

__all__ = [
    "Change",
    "LayerMethod",
    "LayerPlan",
    "LayerView",
    "Sees",
    "ShapedRows",
    "Shaping",
    "check_acts",
    "check_start",
    "words_behind",
]

Sees = Literal["causal", "own_tile"]
"""Which vision tokens a vision token sees: all before it, or those of its own tile.

Words before it, and itself, it sees in any case.
"""

ShapedRows = Literal["last", "behind", "all"]
"""Rows whose attention is changed: the last one, those behind the picture, or all.

In an answer, each new token is the last one, and behind the picture.
"""

Change = Callable[[Tensor, Tensor], Tensor]
"""Changes logits or weights of attention, float32 ``(heads, q, s)``.

The second argument is int64 ``(n,)``, the places of the vision tokens among the s.
"""


@dataclass(frozen=True, slots=True, eq=False)
class Shaping:
    """A change of some rows of attention, which are computed apart for it.

    Attributes:
        rows: Which ones.
        logits: Changes them before the softmax; None leaves them as they are.
        weights: Changes what comes out of the softmax; None leaves it as it is.

    Raises:
        ModelError: If it changes nothing.
    """

    rows: ShapedRows
    logits: Change | None = None
    weights: Change | None = None

    def __post_init__(self) -> None:
        if self.logits is None and self.weights is None:
            raise ModelError("a shaping of attention changes logits, weights or both")


@dataclass(frozen=True, slots=True, eq=False)
class LayerPlan:
    """What the vision tokens do in one layer; by default what they always do.

    Attributes:
        is_gone: They leave the sequence before this layer, for good.
        attends: They make queries and get what attention puts out.
        feeds: They pass the feed-forward; or int64 ``(m,)``, the units of it that they pass.
        is_parallel: Their feed-forward reads what their attention reads, not what it puts out.
        sees: Which vision tokens they see.
        pairs: bool ``(n, n)``, which vision tokens (columns) each one (rows) sees, instead of those
            before it; None for the order of the sequence.
        later_words: int64 ``(m,)``, places of words behind the picture that they see, too.
        states: ``(n, d)``, what their keys and values are made of; None for their own states.
        blind_heads: Query heads in which nothing sees a vision token but itself.
        shaping: What is done to rows of attention.
        added: ``(n, d)``, added to their states before the layer.
        stays: int64 ``(m,)``, ascending: those that go on to the next layer; None for all.
        info: What is worth telling, such as ``{"sinks": 3}``.

    Raises:
        ModelError: If the fields contradict each other.
    """

    is_gone: bool = False
    attends: bool = True
    feeds: bool | Tensor = True
    is_parallel: bool = False
    sees: Sees = "causal"
    pairs: Tensor | None = None
    later_words: Tensor | None = None
    states: Tensor | None = None
    blind_heads: tuple[int, ...] = ()
    shaping: Shaping | None = None
    added: Tensor | None = None
    stays: Tensor | None = None
    info: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.is_parallel and not (self.attends and self.feeds is True):
            raise ModelError("attention and feed-forward run side by side only where both run")
        if self.states is not None and (self.attends or self.feeds is not False):
            raise ModelError(
                "vision tokens whose keys and values are made of other states do not change; set "
                "attends=False and feeds=False"
            )

    @property
    def is_stock(self) -> bool:
        """Whether the layer runs as it always does on what enters it.

        What is added before it, and who leaves behind it, is no matter of the layer.
        """
        return (
            not (self.is_gone or self.is_parallel or self.blind_heads)
            and self.attends
            and self.feeds is True
            and self.sees == "causal"
            and all(x is None for x in (self.pairs, self.later_words, self.states, self.shaping))
        )


class LayerView(Protocol):
    """One sequence of s tokens that is about to enter a layer.

    Attributes:
        layer: The layer, from 0.
        depth: Layers of the decoder.
        hidden: ``(s, d)``, what would enter it.
        visual: int64 ``(n,)``, ascending places of the vision tokens, at least one.
        tiles: int64 ``(n,)``, the tile of each of them, in any numbering.
        numbers: int64 ``(n,)``, ascending: which of the prompt's vision tokens they are.
    """

    @property
    def layer(self) -> int: ...  # noqa: D102 - see the class
    @property
    def depth(self) -> int: ...  # noqa: D102
    @property
    def hidden(self) -> Tensor: ...  # noqa: D102
    @property
    def visual(self) -> Tensor: ...  # noqa: D102
    @property
    def tiles(self) -> Tensor: ...  # noqa: D102
    @property
    def numbers(self) -> Tensor: ...  # noqa: D102

    def attention(self, rows: Tensor) -> Tensor:
        """Stock attention of some rows in the layer, float32 ``(heads, q, s)``.

        Args:
            rows: int64 ``(q,)``, their places; few, since each costs heads × s numbers.
        """
        ...


class LayerMethod(ABC):
    """Says of each layer what the vision tokens do in it; holds no state between sequences.

    Attributes:
        name: By which it is chosen.
        takes_finest: Whether the finest level of a descent is kept out of the sequence for it.
    """

    name: ClassVar[str]
    takes_finest: ClassVar[bool] = False

    def beside(self, fine: TokenSet) -> LayerMethod:  # noqa: ARG002 - most take none
        """The method with the tokens that are kept out of the sequence, where it takes any."""
        return self

    def of(self, tokens: TokenSet) -> LayerMethod:  # noqa: ARG002 - most need no more
        """The method prepared for the tokens of one prompt, in their order."""
        return self

    def layers(self, depth: int) -> tuple[int, ...]:
        """The layers of a decoder of so many in which its settings let it act, ascending."""
        return tuple(range(depth))

    def shortfall(self, depth: int) -> str | None:  # noqa: ARG002 - most act whole or not at all
        """What of it is lost in a decoder of so many layers, as a clause; None for nothing."""
        return None

    @abstractmethod
    def plan(self, view: LayerView) -> LayerPlan:
        """The plan of the layer that comes next; asked for once a layer, in their order.

        Args:
            view: The sequence before the layer; not changed. No method is asked about a sequence
                without vision tokens.
        """


def words_behind(view: LayerView) -> Tensor:
    """int64 ``(m,)``, ascending: places of what follows the last vision token."""
    return torch.arange(int(view.visual[-1]) + 1, len(view.hidden), device=view.hidden.device)


def check_acts(method: LayerMethod, depth: int) -> None:
    """Refuse a method that can act in no layer of a decoder.

    Args:
        method: With its settings.
        depth: Layers of the decoder.

    Raises:
        ModelError: If it acts in none.
    """
    if method.layers(depth):
        return
    start = getattr(method, "start", None)
    chosen = "" if start is None else f" from layer {start} on"
    latest = _latest_start(method, depth)
    advice = "leave it out" if latest is None else f"write {method.name}:{latest} or an earlier one"
    raise ModelError(
        f"{method.name} does nothing{chosen} in a decoder of {depth} layers, which are counted "
        f"from 0; {advice}"
    )


def _latest_start(method: LayerMethod, depth: int) -> int | None:
    """The last layer from which on a method does something; None if there is none."""
    for start in reversed(range(depth)):
        try:
            moved = replace(cast("Any", method), start=start)
        # it starts nowhere, or not in this layer
        except (TypeError, ModelError):
            return None
        if moved.layers(depth):
            return start
    return None


def check_start(start: int) -> None:
    """Refuse a number that no layer has.

    Raises:
        ModelError: If it is below 0.
    """
    if start < 0:
        raise ModelError(f"layers are counted from 0, so start={start} is not one of them")
