"""The words by which a host is asked, and what its answers are worth."""

from types import SimpleNamespace

import pytest

from geofovea.errors import ModelError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.prompts.presence import PresenceWords, plural_of, singular_of
from geofovea.pipeline.places.in_tile.presence import PresenceAsker, asked_phrase


@pytest.mark.parametrize(
    ("words", "phrase", "question"),
    [
        (PresenceWords(), "red truck", "Is any red truck visible in this picture?"),
        (PresenceWords("How many {plural}?"), "boat", "How many boats?"),
        (PresenceWords("How many {plural}?"), "boats", "How many boats?"),
    ],
)
def test_a_phrase_is_put_into_the_question_of_the_host(words, phrase, question):
    assert words.ask(phrase) == question


def test_adjectives_are_asked_about_one_by_one_where_the_host_says_so():
    words = PresenceWords("How many {plural}?", ("1", "0"), "Is the {noun} {attribute}?")
    assert words.parts("big red trucks") == ("trucks", ("big", "red"))
    assert words.ask_attribute("trucks", "red") == "Is the truck red?"
    assert PresenceWords().parts("big red truck") == ("big red truck", ())
    assert (plural_of("glass"), singular_of("glass")) == ("glass", "glass")


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("truck", "trucks"),
        ("ferry", "ferries"),
        ("bus", "buses"),
        ("warehouse", "warehouses"),
        ("church", "churches"),
        ("taxi", "taxis"),
        ("aircraft", "aircraft"),
        ("tour bus", "tour buses"),
        ("person", "people"),
    ],
)
def test_a_plural_is_made_of_its_singular_and_back(singular, plural):
    assert (plural_of(singular), singular_of(plural)) == (plural, singular)
    assert (plural_of(plural), singular_of(singular)) == (plural, singular)


@pytest.mark.parametrize(
    ("phrase", "asked"),
    [
        ("all of the trucks", "trucks"),
        ("the White-Trucks", "white trucks"),
        ("'trucks'", "trucks"),
        ("truck(s)", "truck"),
        ("Depots", "depot"),
        ("car-parks", "car park"),
        ("grey tank", "grey tank"),
        ("harbors", "harbor"),
        ("ferries", "ferries"),
    ],
)
def test_a_model_is_asked_in_the_words_that_it_knows(embedded_host, phrase, asked):
    assert asked_phrase(embedded_host, phrase) == asked


def test_a_model_of_any_words_is_asked_without_what_stands_before_the_name():
    host = SimpleNamespace(unknown_words=lambda text: [])
    assert asked_phrase(host, "every High-rise Building") == "High-rise Building"


@pytest.mark.parametrize(
    "settings",
    [
        {"presence_question": "Is it there?"},
        {"presence_answers": ("yes",)},
        {"presence_answers": ("yes", "yes")},
        {"presence_answers": "yes"},
        {"attribute_question": "Is it {attribute}?"},
        {"presence_question": "{phrase}" * 100},
    ],
    ids=str,
)
def test_words_that_cannot_ask_are_refused_with_the_settings(settings):
    with pytest.raises(ModelError):
        HostSettings(**settings)


def answers_of(*generations):
    asker = PresenceAsker.__new__(PresenceAsker)
    asker.__init__(None, None, QuestionUsage())
    return asker, [asker._presence(each, None).probability for each in generations]


def test_words_with_probabilities_are_weighed_and_words_alone_are_not():
    asker, shares = answers_of(
        Generation("Yes.", (-0.105360515657,)), Generation("No", (-0.105360515657,))
    )
    assert shares == pytest.approx([0.9, 0.1])
    assert asker.warnings == ()
    asker, shares = answers_of(Generation("yes", ()), Generation("no", ()))
    assert shares == [1.0, 0.0]
    assert "gives no probabilities" in asker.warnings[0]


def test_an_answer_that_is_neither_is_no_and_is_counted():
    asker, shares = answers_of(Generation("I cannot tell", ()), Generation("", ()))
    assert shares == [0.0, 0.0]
    assert "2 answers were neither yes nor no" in asker.warnings[0]
