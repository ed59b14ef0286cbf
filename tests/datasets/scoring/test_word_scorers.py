"""Free answers: what the published rule accepts, and what the other two make of it."""

import pytest

from geofovea.datasets.benchmarks.lrs_vqa import BENCHMARK
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.wordnet import synonyms

SCORERS = BENCHMARK.scorers(synonyms("table"))


def verdicts(truth, answer, category="object status"):
    sample = Sample("1", ("a.tif",), "what?", (truth,), category)
    return [SCORERS[mode](sample, answer) for mode in ("official", "strict", "lenient")]


# truth, answer, category, then the rule that accepts it in each mode, "-" where none does
TABLE = (
    ("urban", "Urban", "rural or urban", "equal", "equal", "equal"),
    ("urban", "urban.", "rural or urban", "-", "equal", "equal"),
    ("urban", " urban", "rural or urban", "-", "equal", "equal"),
    ("urban", "an urban area", "rural or urban", "-", "-", "-"),
    ("grey", "gray", "object color", "synonym", "-", "synonym"),
    ("grey", "gray.", "object color", "-", "-", "synonym"),
    ("parked", "parking", "object status", "synonym", "-", "synonym"),
    ("2", "two", "count", "synonym", "-", "number"),
    ("2", "two", "reasoning", "synonym", "-", "synonym"),
    ("25", "twenty-five", "count", "synonym", "-", "number"),
    ("125", "one hundred and twenty five", "count", "-", "-", "number"),
    ("125", "one hundred and twenty five", "reasoning", "-", "-", "-"),
    ("rectangular", "rectangle", "object shape", "-", "-", "derived"),
    ("street", "road", "object background", "-", "-", "-"),
    ("no", "nobelium", "reasoning", "synonym", "-", "synonym"),
    ("yes", "", "reasoning", "-", "-", "-"),
)


@pytest.mark.parametrize(("truth", "answer", "category", *"osl"), TABLE)
def test_each_mode_accepts_what_it_should_and_names_the_rule(truth, answer, category, o, s, l):  # noqa: E741
    found = verdicts(truth, answer, category)
    assert [v.rule if v.correct else "-" for v in found] == [o, s, l]


def test_without_a_dictionary_only_equal_words_are_right():
    scorers = BENCHMARK.scorers(synonyms("none"))
    sample = Sample("1", ("a.tif",), "what?", ("grey",), "object color")
    assert not scorers["official"](sample, "gray").correct
    assert scorers["official"](sample, "GREY").correct


@pytest.mark.parametrize(
    ("truth", "answer", "is_right"),
    [
        ("3", "3.0", True),
        ("3.0", "3", True),
        ("12", "12.00.", True),
        ("2.50", "2.5", True),
        ("-4", "-4.0", True),
        ("3", "3.1", False),
        ("3", "30", False),
        ("3", "3.0.1", False),
    ],
)
def test_a_number_is_its_shortest_text(truth, answer, is_right):
    _, strict, lenient = verdicts(truth, answer, "count")
    assert (strict.correct, lenient.correct) == (is_right, is_right)
