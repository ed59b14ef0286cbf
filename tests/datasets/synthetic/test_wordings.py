"""Which questions are worded as those that the synthetic world asks."""

from __future__ import annotations

import pytest

from geofovea.datasets.synthetic.questions import ask_world
from geofovea.datasets.synthetic.wordings import is_worded_as_taught
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
