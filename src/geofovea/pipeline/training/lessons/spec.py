"""What a training sample shows and asks, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.change_questions import CHANGE_CATEGORIES
from geofovea.datasets.synthetic.questions import SITE_QUESTIONS
from geofovea.datasets.synthetic.versions import check_version
from geofovea.datasets.synthetic.vocabulary import CATEGORIES

__all__ = ["LESSON_KINDS", "SampleSpec", "TrainingSample"]

LESSON_KINDS = (*CATEGORIES, "verify", "presence", *CHANGE_CATEGORIES)
"""What lessons ask, and what held-out accuracy is told of; ``verify`` is a part of reasoning."""


_DETAILS = tuple(name for name in CATEGORIES if name != "rural or urban")


@dataclass(frozen=True, slots=True)
class SampleSpec:
    """How many tiles and questions a sample has, and from which scenes it comes.

    Attributes:
        overview: Whether the overview is shown.
        base_tiles: Tiles of the base level, where other sites compete for the attention.
        coarse_levels: Number of other coarse levels shown.
        coarse_tiles: Tiles of each of them.
        native_tiles: Native tiles.
        crowded_tiles: Tiles full of things, of no scene. They are for learning names, not for
            answering: only the dense labels see them. A plan may have nothing else and no
            questions. Without them in every sample, names once learned are lost again, for the
            tiles of a scene show few things.
        lone_pad: Whether the sample is one tile that a pad of no scene fills, with questions about
            what stands there: short, so that there are many, for learning what the words of a
            question mean. Its crowded tiles are the only others that it may have.
        cut: Share of lone tiles that are native tiles of a scene as the grid cuts them, instead of
            pads.
        close_up: Share of lone pads of which only the tokens that one thing touches are shown.
        dates: How often the tiles are shown, each time at a later date; 1 or 2. Of 2, all questions
            are about what changed.
        undated: Share of questions about changes where one date is shown: it does not answer them,
            and they teach where to look.
        kinds: Of questions that are asked about details, in turn.
        reworded: Share of questions in any wording of their kind, rather than in those of a bench.
        strangers: Share of questions about other sites than the one that is shown from near.
            Without them the name of a site would never matter, and the attention would learn to
            fall on any site at all.
        questions: Questions a sample.
        question_length: Tokens a question may have, the answer and the end included.
        scene_sides: Sides of the scenes in pixels; each sample draws one.
        distracted: Share of samples whose native tiles miss the pad and whose questions count all
            the same, so that the model learns to be unsure rather than to invent.
        alone: Share of samples that show one level only, as the focus of a descent sees it.
        dropped: Largest share of vision tokens that is hidden, so that the model can stand
            having its tokens pruned.
        thinned: Share of samples that show about as little as a reduction leaves, and mostly what
            some of the questions point at.
        world: Version of the synthetic world, one of ``VERSIONS``.

    Raises:
        DataError: If there is no such version.
        ValueError: If there are no such kinds, or lessons could run out of questions.
    """

    overview: bool = True
    base_tiles: int = 0
    coarse_levels: int = 2
    coarse_tiles: int = 2
    native_tiles: int = 6
    crowded_tiles: int = 0
    lone_pad: bool = False
    cut: float = 0.0
    close_up: float = 0.0
    dates: int = 1
    undated: float = 0.0
    kinds: tuple[str, ...] = _DETAILS
    reworded: float = 0.0
    strangers: float = 0.0
    questions: int = 32
    question_length: int = 16
    scene_sides: tuple[int, ...] = (4096, 8192, 16384, 24576, 32768, 49152, 65536)
    distracted: float = 0.05
    alone: float = 0.2
    dropped: float = 0.3
    thinned: float = 0.0
    world: int = 1

    def __post_init__(self) -> None:
        check_version(self.world)
        if unknown := set(self.kinds) - {*SITE_QUESTIONS, *CHANGE_CATEGORIES}:
            raise ValueError(f"no kinds of questions: {', '.join(sorted(unknown))}")
        # of a tile without things, and of a pad where little happened, nothing else can be asked
        certain = "new count" if self.dates > 1 else "count"
        if (self.lone_pad or self.dates > 1) and certain not in self.kinds:
            raise ValueError(f"kinds of questions must have {certain!r}, got {self.kinds}")

    @property
    def tiles(self) -> int:
        """Tiles of a sample."""
        if self.lone_pad:
            return self.dates + self.crowded_tiles
        coarse = self.overview + self.base_tiles + self.coarse_levels * self.coarse_tiles
        return self.dates * (coarse + self.native_tiles) + self.crowded_tiles


@dataclass(frozen=True)
class TrainingSample:
    """Arrays of one sample; k tiles of a scene and c crowded ones, q questions.

    With g tokens a side of a tile there are n = k·g² tokens to answer from, and m = (k+c)·g² in
    all, those of the crowded tiles last. Of two dates the n tokens come date by date, and a word
    stands before those of each: p = n + 2 places come before the questions, else p = n.

    Attributes:
        tiles: uint8 (k+c, T, T, 3).
        places: float32 (n, 3), see ``geofovea.pipeline.hosts.scene_positions``.
        labels: int64 (dates,), the word before the tokens of each date; empty for one date.
        visible: bool (p,), tokens on the scene that were not dropped.
        group: int64 (p,), tokens of one level and date share a number; that of a word is -1.
        dense: int64 (len(DENSE_LABELS), m).
        words: int64 (q, question_length), padded behind.
        targets: int64 (q, question_length), the next word where it counts, else ``IGNORED``.
        answered: bool (q,), whether what is shown is enough for an answer, or the sample is one
            in guessing.
        focus: bool (q, p), tokens that lie where the question says to look.
        category: int64 (q,), index into ``LESSON_KINDS``.
    """

    tiles: NDArray[np.uint8]
    places: NDArray[np.float32]
    labels: NDArray[np.int64]
    visible: NDArray[np.bool_]
    group: NDArray[np.int64]
    dense: NDArray[np.int64]
    words: NDArray[np.int64]
    targets: NDArray[np.int64]
    answered: NDArray[np.bool_]
    focus: NDArray[np.bool_]
    category: NDArray[np.int64]
