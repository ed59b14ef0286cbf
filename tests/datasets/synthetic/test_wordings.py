"""Which questions are worded as those that the synthetic world asks."""

from __future__ import annotations

import random
import re

import pytest

from geofovea.datasets.synthetic.change_questions import CHANGE_CATEGORIES, ask_site_changes
from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.questions import SITE_QUESTIONS, ask_site, ask_world
from geofovea.datasets.synthetic.vocabulary import COLORS, SITES, THINGS
from geofovea.datasets.synthetic.wordings import (
    as_written_in_training,
    is_worded_as_taught,
    other_wording,
)
from geofovea.datasets.synthetic.world import make_world


@pytest.mark.parametrize("seed", range(5))
def test_every_question_about_a_world_is_worded_as_taught(seed: int) -> None:
    questions = ask_world(make_world(seed, 4096, 4096), 6, seed)
    assert len({q.category for q in questions}) == 8
    for question in questions:
        assert is_worded_as_taught(question.text)
        assert is_worded_as_taught(f"  {question.text.lower().replace('?', ' ?')} ")


@pytest.mark.parametrize(
    "question",
    ["What is the colour of the plane at the airport?", "How many boats are at the harbor?"],
)
def test_a_question_in_the_other_spelling_is_worded_as_taught(question: str) -> None:
    assert is_worded_as_taught(question)


@pytest.mark.parametrize(
    "question",
    [
        "Is there a truck at the car park?",
        "Are there any planes at the airport?",
        "What color is the plane?",
        "What color is the ship at the airport?",
        "Is the airport north of the village?",
        "How many planes are at the airport? And at the harbour?",
        "",
    ],
)
def test_other_questions_are_not(question: str) -> None:
    assert not is_worded_as_taught(question)


def names_in(text: str) -> list[str]:
    """Sites, things and colors that a question names."""
    names = (*SITES, *THINGS, *COLORS)
    return sorted(name for name in names if re.search(rf"\b{name}s?\b", text))


@pytest.mark.parametrize("kind", [kind for kind in SITE_QUESTIONS if kind != "reasoning"])
def test_every_kind_of_question_has_three_wordings_that_name_the_same_things(kind: str) -> None:
    rng = random.Random(2)
    world = make_world(3, 8192, 8192)
    questions = [ask_site(kind, world, site, rng) for site in world.named_sites]
    question = next(question for question in questions if question)
    texts = {other_wording(question.text, rng) for _ in range(60)}
    assert len(texts) == 3
    assert question.text in texts
    for text in texts:
        assert names_in(text) == names_in(question.text)
        assert is_worded_as_taught(text)


@pytest.mark.parametrize("kind", [kind for kind in CHANGE_CATEGORIES if kind != "new site"])
def test_questions_about_two_dates_have_three_wordings_too(kind: str) -> None:
    rng = random.Random(4)
    before, after = (make_dated_world(7, 8192, 8192, number) for number in (0, 2))
    questions = [
        ask_site_changes(kind, before, after, site, rng)
        for site in after.named_sites
        if site.box in {other.box for other in before.sites}
    ]
    question = next(question for question in questions if question)
    texts = {other_wording(question.text, rng) for _ in range(60)}
    assert len(texts) == 3
    assert all(names_in(text) == names_in(question.text) for text in texts)


def test_a_question_of_no_form_keeps_its_words() -> None:
    assert other_wording("Where is the harbour?", random.Random(0)) == "Where is the harbour?"


ASKED = "What color is the plane at the airport?"


@pytest.mark.parametrize(
    "typed",
    [
        ASKED,
        ASKED[:-1],
        f"  {ASKED[:-1]} . ",
        ASKED.replace("?", "\uff1f"),
        ASKED.replace("?", "\u061f\u200f"),
        ASKED.replace(" ", "\u00a0"),
        f"\ufeff\u200b{ASKED}",
        f"\u00bf{ASKED}",
        ASKED.replace("plane", "pl\u00adane") + "?!",
    ],
)
def test_marks_and_letters_that_look_alike_make_one_question(typed):
    assert as_written_in_training(typed) == ASKED
    assert is_worded_as_taught(typed)


@pytest.mark.parametrize("text", ["Is the st. pond red?", "Welche Farbe?", "\u4ed3\u5e93?"])
def test_what_is_written_in_a_question_stays(text):
    assert as_written_in_training(text) == text
