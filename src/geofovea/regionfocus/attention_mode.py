"""Which rows of a decoder's attention score vision tokens, and how.

Real hosts attend to some tokens whatever they are asked: sinks in a corner, favorite positions,
registers of the vision tower. What the question itself adds shows beside the attention of neutral
questions about the same tokens, which name nothing in the scene.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from geofovea.errors import ModelError

__all__ = [
    "CORRECTIONS",
    "MOST_HALVINGS",
    "NEUTRAL_QUESTIONS",
    "POOLINGS",
    "WORDINGS",
    "AttentionMode",
    "default_mode",
    "early_layers",
    "middle_layers",
    "questions_beside",
    "reworded_in",
]

CORRECTIONS = ("raw", "relative", "masked", "detrended")
"""What is done with a row: nothing; what exceeds the neutral questions; sinks masked; the part that
a token's position explains taken out."""
POOLINGS = ("mean", "median")
MOST_HALVINGS = 2
NEUTRAL_QUESTIONS = (
    "Describe the image.",
    "What is in the image?",
    "What is the color?",
    "What is the object?",
    "What is this?",
)
"""Questions that any host understands and that name no place: each looks at something else that it
likes, and a sink draws all of them."""

WORDINGS = ("Question: {question}", "In the image, {question}")
"""Further ways to ask the same: what stands before a question leaves its last word what it was. A
sink that moves with the wording draws one of them, and what the question is about draws all."""

_QUESTION = "{question}"
_MIDDLE = (0.4, 0.5, 0.6)
_EARLY = 0.2
_MOST_NEUTRAL = 8
_MOST_WORDINGS = 4


@dataclass(frozen=True, slots=True)
class AttentionMode:
    """Which rows of attention score vision tokens, and how.

    Attributes:
        layers: Decoder layers whose last-prompt-token attention is read, ascending.
        heads: ``(layer, head)`` of the rows that count; None takes all heads of the layers.
        correction: One of ``CORRECTIONS``.
        pooling: How the corrected rows become one, one of ``POOLINGS``.
        neutral: Questions that a correction compares with.
        wordings: Further ways to put the question, with ``{question}`` in them: a token counts as
            much as the wording that gives it the least.
        early: Layers below ``layers`` that are read beside them, ascending. They have hardly read
            the question, so what they attend to is no answer to it.
        halvings: In how many ways the tiles are divided into halves that the question is put about,
            too, each alone; at most 2. A sink that follows the question is elsewhere among other
            tokens, and a thing is where it was. Each way runs all tokens once more.

    Raises:
        ModelError: If a value is impossible.
    """

    layers: tuple[int, ...]
    heads: tuple[tuple[int, int], ...] | None = None
    correction: str = "relative"
    pooling: str = "mean"
    neutral: tuple[str, ...] = NEUTRAL_QUESTIONS
    wordings: tuple[str, ...] = ()
    early: tuple[int, ...] = ()
    halvings: int = 0

    def __post_init__(self) -> None:
        if self.correction != "relative":
            object.__setattr__(self, "early", ())
            object.__setattr__(self, "halvings", 0)
        if self.correction == "raw":
            object.__setattr__(self, "neutral", ())
            object.__setattr__(self, "wordings", ())
        fits = {
            "layers": _are_layers(self.layers),
            "heads": self.heads is None or _are_heads(self.heads, self.layers),
            "correction": self.correction in CORRECTIONS,
            "pooling": self.pooling in POOLINGS,
            "neutral": _are_questions(self.neutral) and self._has_enough_questions(),
            "wordings": _are_wordings(self.wordings),
            "early": _are_early(self.early, self.layers),
            "halvings": _is_index(self.halvings) and self.halvings <= MOST_HALVINGS,
        }
        for name, does_fit in fits.items():
            if not does_fit:
                raise ModelError(
                    f"{getattr(self, name)!r} cannot be the {name} of an attention mode; "
                    f"{_ALLOWED[name]}"
                )

    def _has_enough_questions(self) -> bool:
        # a sink is told from what four questions have in common
        fewest = {"raw": 0, "masked": 3}.get(str(self.correction), 1)
        return len(self.neutral) >= fewest

    @property
    def depth(self) -> int:
        """Decoder layers that run before the last row is read."""
        return self.layers[-1]

    @property
    def read_layers(self) -> tuple[int, ...]:
        """All layers whose rows are read, ascending."""
        return (*self.early, *self.layers)

    @property
    def readings(self) -> int:
        """How often a question is read beside as it is: in its wordings, and about halves."""
        return len(self.wordings) + self.halvings

    def reworded(self, question: str) -> list[str]:
        """A question in each of the wordings."""
        return reworded_in(self.wordings, question)

    def to_json(self) -> dict[str, Any]:
        """Its values by name, as ``from_json`` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: object) -> AttentionMode:
        """Read a mode that came as JSON.

        Raises:
            ModelError: If it is no object, lacks its layers, or has a key or a value that cannot be
                meant.
        """
        if not isinstance(record, Mapping) or "layers" not in record:
            raise ModelError(f"an attention mode must be an object with layers, got {record!r:.60}")
        if unknown := sorted(set(record) - set(cls.__dataclass_fields__)):
            raise ModelError(
                f"an attention mode has no {unknown}; it has {sorted(cls.__dataclass_fields__)}"
            )
        return cls(**{key: _as_tuples(value) for key, value in record.items()})


_ALLOWED = {
    "layers": "name at least one layer, ascending from 0",
    "heads": "name pairs of one of its layers and a head, or null for all heads",
    "correction": f"choose one of {', '.join(CORRECTIONS)}",
    "pooling": f"choose one of {', '.join(POOLINGS)}",
    "neutral": f"give up to {_MOST_NEUTRAL} questions: at least three for masked, one for relative "
    "and detrended",
    "early": "name layers below the first of its layers, ascending, or none",
    "halvings": f"choose 0 to {MOST_HALVINGS}",
    "wordings": f"give up to {_MOST_WORDINGS} texts with {{question}} in them once, and more words",
}


def reworded_in(wordings: Sequence[str], question: str) -> list[str]:
    """A question in some wordings, such as ``WORDINGS``."""
    # the question may have braces of its own
    return [wording.replace(_QUESTION, question) for wording in wordings]


def middle_layers(layers: Sequence[int]) -> tuple[int, ...]:
    """Those of some layers that are around their middle, where real hosts localize best.

    Source: the thread about layers in the repository of "MLLMs Know Where to Look" (issue 6).
    """
    count = len(layers)
    return tuple(sorted({layers[min(count - 1, round(share * count))] for share in _MIDDLE}))


def early_layers(layers: Sequence[int], below: int) -> tuple[int, ...]:
    """The layer to compare with: a fifth of the way up, where sinks are and the answer is not yet.

    Args:
        layers: Layers of the decoder that can be read, ascending.
        below: Only layers below this one are taken.

    Returns:
        One layer, or none where nothing is below.
    """
    fifth = layers[min(len(layers) - 1, round(_EARLY * len(layers)))]
    return tuple(layer for layer in layers if layer < below and layer <= fifth)[-1:]


def default_mode(layers: Sequence[int], *, reuses_prefix: bool) -> AttentionMode:
    """The mode of a host that nobody calibrated: the middle layers, relative to neutral questions.

    Args:
        layers: Layers of the decoder that see all of a prompt, ascending.
        reuses_prefix: Whether further questions about the same tokens cost their words alone; where
            they do not, one neutral question and one wording have to be enough.
    """
    neutral, wordings = questions_beside(reuses_prefix=reuses_prefix)
    middle = middle_layers(layers)
    early = early_layers(layers, middle[0])
    return AttentionMode(middle, neutral=neutral, wordings=wordings, early=early)


def questions_beside(*, reuses_prefix: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The neutral questions and the wordings of a relative mode; see `default_mode`."""
    if reuses_prefix:
        return NEUTRAL_QUESTIONS, WORDINGS
    return NEUTRAL_QUESTIONS[-1:], ()


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(each) for each in value) if isinstance(value, list) else value


def _is_index(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _are_layers(layers: object) -> bool:
    if not isinstance(layers, tuple) or not layers or not all(map(_is_index, layers)):
        return False
    return list(layers) == sorted(set(layers))


def _are_early(early: object, layers: object) -> bool:
    if early == ():
        return True
    if not _are_layers(layers) or not _are_layers(early):
        return False
    return bool(early[-1] < layers[0])  # type: ignore[index]


def _are_heads(heads: object, layers: tuple[int, ...]) -> bool:
    if not isinstance(heads, tuple) or not heads or not _are_layers(layers):
        return False
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in heads):
        return False
    if not all(layer in layers and _is_index(head) for layer, head in heads):
        return False
    return len(set(heads)) == len(heads)


def _are_questions(neutral: object) -> bool:
    if not isinstance(neutral, tuple) or len(neutral) > _MOST_NEUTRAL:
        return False
    return all(isinstance(question, str) and question.strip() for question in neutral)


def _are_wordings(wordings: object) -> bool:
    if not isinstance(wordings, tuple) or len(wordings) > _MOST_WORDINGS:
        return False
    if not all(isinstance(each, str) and each.count(_QUESTION) == 1 for each in wordings):
        return False
    says_more = all(each.strip() != _QUESTION for each in wordings)
    return says_more and len(set(wordings)) == len(wordings)
