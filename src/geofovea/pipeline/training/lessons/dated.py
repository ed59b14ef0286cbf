"""What is shown of two dates: the same tiles twice, each date after its word."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from geofovea.datasets.synthetic.change_questions import ask_site_changes
from geofovea.datasets.synthetic.dates import change_site
from geofovea.datasets.synthetic.questions import Question
from geofovea.datasets.synthetic.world import Site, World

__all__ = ["behind_words", "changed_world", "date_words", "groups_of_dates", "questions_of_changes"]

_WORDS = ("before", "after")


def changed_world(world: World, site: Site, rng: random.Random) -> World:
    """A world at a later date, at which something happened at one of its sites."""
    later = change_site(site, rng)
    return replace(world, sites=tuple(later if s is site else s for s in world.sites))


def questions_of_changes(
    kinds: tuple[str, ...], before: World, after: World, number: int, rng: random.Random
) -> Iterator[Question]:
    """Endless questions about what happened at a site, kinds in turn.

    Args:
        kinds: Of questions; "new count" is among them, for it can always be asked.
        before: The world at the earlier date.
        after: At the later one.
        number: Of the site in both.
        rng: Decides which questions.
    """
    for kind in cycle(kinds):
        question = ask_site_changes(kind, before, after, after.sites[number], rng)
        if question:
            yield question


def date_words(dates: int, word_ids: dict[str, int]) -> NDArray[np.int64]:
    """Ids ``(w,)`` of the words before the tokens of each date; empty where there is one date."""
    words = _WORDS if dates > 1 else ()
    return np.array([word_ids[word] for word in words], np.int64)


def behind_words(values: NDArray[np.bool_], dates: int, *, of_word: bool) -> NDArray[np.bool_]:
    """Values of tokens (..., dates · n) with one for the word before each date.

    Args:
        values: Of the tokens, date by date.
        dates: How many.
        of_word: The value of a word.

    Returns:
        bool (..., dates · (n + 1)); of one date the values as they are.
    """
    if dates == 1:
        return values
    word = np.full((*values.shape[:-1], 1), of_word)
    parts = [part for each in np.split(values, dates, -1) for part in (word, each)]
    return np.concatenate(parts, -1)


def groups_of_dates(group: NDArray[np.int64], dates: int) -> NDArray[np.int64]:
    """Group numbers (n,) of the tokens of one date, made distinct for each date; words get -1."""
    if dates == 1:
        return group
    own = int(group.max()) + 1
    return np.concatenate([np.r_[-1, group + own * date] for date in range(dates)])
