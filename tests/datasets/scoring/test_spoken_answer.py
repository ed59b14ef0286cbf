"""What a model thinks aloud is no answer, in whatever marks its thoughts stand."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.datasets.benchmarks.registry import load_benchmark
from geofovea.datasets.records.sample import Sample
from geofovea.datasets.scoring.spoken_answer import opens_thought, spoken_answer
from geofovea.datasets.scoring.wordnet import synonyms

PAIRS = (
    ("<think>", "</think>"),
    ("<Thinking>", "</Thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<analysis>", "</analysis>"),
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("&lt;think&gt;", "&lt;/think&gt;"),
    ("<\uff5cbegin\u2581of\u2581thinking\uff5c>", "<\uff5cend\u2581of\u2581thinking\uff5c>"),
    ("Thinking...\n", "\n...done thinking.\n"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|think|>", "<|end|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<unused94>thought\n", "<unused95>"),
    (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
    ("Here is my thought process:\n", "\nHere is my response:\n"),
)
BOXES = (
    "{}",
    " {}\n",
    "<answer>{}</answer>",
    "<answer>\n{}",
    "<|begin_of_box|>{}<|end_of_box|>",
    "<answer><|begin_of_box|>{}<|end_of_box|></answer>",
    "The answer is $\\boxed{{\\text{{{}}}}}$.",
    "<CONCLUSION>{}</CONCLUSION>",
    "<|START_RESPONSE|>{}<|END_RESPONSE|>",
    "{}<|im_end|>",
    "{}</s>",
    "{}<end_of_utterance>",
    "{}<\uff5cend\u2581of\u2581sentence\uff5c>",
)
WORDS = st.text("abc ABCDE().,\n", max_size=40)


@pytest.mark.parametrize("pair", PAIRS, ids=[first for first, _ in PAIRS])
@given(thought=WORDS, said=st.sampled_from(["green", "(B)", "an old harbour", "3"]))
def test_what_stands_behind_the_thoughts_is_the_answer(pair, thought, said):
    for box in BOXES:
        found = spoken_answer(f"{pair[0]}{thought}{pair[1]}{box.format(said)}")
        assert (found.text, found.thought_aloud, found.is_endless) == (said, True, False)
        assert not found.doubts


@pytest.mark.parametrize("pair", PAIRS, ids=[first for first, _ in PAIRS])
def test_thoughts_that_never_end_are_no_answer_and_are_told(pair):
    found = spoken_answer(f"{pair[0]}It could be green, or")
    assert (found.text, found.is_endless) == ("", True)
    assert "never came to an answer" in found.doubts[0]
    empty = spoken_answer("<think>hm</think>\n")
    assert (empty.text, empty.is_endless) == ("", False)
    assert "answered nothing" in empty.doubts[0]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("It is green.</think>\nred", "red"),
        ("It is green.<|END_THINKING|>red", "red"),
        ("<think/>red", "red"),
        ("<think />\nred", "red"),
        ("red &lt; green", "red &lt; green"),
        ("green?◁/think▷red", "red"),
        ("<think>a</think>b</think>red", "red"),
        ("<think>a</think>red<think>b</think>", "red"),
        ("a red<think>b</think>plane<think>c</think>.", "a red plane."),
        ("red\n<think>was it", "red"),
        ("<think><answer>green</answer></think>red", "red"),
        ("analysisGreen wings?assistantfinalred", "red"),
        ("analysisGreen wings?assistantcommentaryhmassistantfinalred", "red"),
        ("<|channel|>commentary<|message|>hm<|end|>", ""),
        ("<|start|>assistant<|channel|>final<|message|>red<|return|>", "red"),
    ],
)
def test_marks_may_be_missing_nested_or_repeated(raw, text):
    assert spoken_answer(raw).text == text


@given(st.text(max_size=60).filter(lambda text: not any(c in text for c in "<[◁\\")))
def test_a_text_without_marks_is_its_own_answer(text):
    if not text.lstrip().lower().startswith(("analysis", "here")):
        found = spoken_answer(text)
        assert (found.text, found.unthought, found.doubts) == (text.strip(), text, ())


@pytest.mark.parametrize("raw", ["no <think> here", "a < b and c > d", "analysis of ships"])
def test_words_that_only_look_like_marks_stay(raw):
    assert spoken_answer(raw).text == raw


@pytest.mark.parametrize("raw", ["<ponder>x</ponder>red", "<|musing|>x<|spoken|>red", "[MUSE]red"])
def test_marks_of_an_unknown_kind_are_told(raw):
    found = spoken_answer(raw)
    assert "red" in found.text
    assert "a mark that is not known" in found.doubts[0]


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "<answer>", "\\boxed{", "<|channel|>", " "]
)
def test_texts_of_others_take_linear_time(piece):
    started = time.process_time()
    spoken_answer("<" + piece * 50_000)
    assert time.process_time() - started < 5


CHOICES = Sample("1", ("a.png",), "?", ("C",), "c", choices=("2", "3", "4", "5", "none"))
COLOR = Sample("1", ("a.png",), "what?", ("white",), "object color")
CHOOSING = ("mme-realworld-rs", "xlrs-bench", "rshr-bench", "hr-bench", "vstar")
NAMING = ("lrs-vqa", "lrs-gro", "rsvqa-lr", "rsvqa-hr", "synthetic")


@pytest.mark.parametrize("pair", PAIRS, ids=[first for first, _ in PAIRS])
@pytest.mark.parametrize("name", CHOOSING + NAMING)
def test_no_scorer_reads_thoughts(name, pair):
    sample, right, wrong = (
        (CHOICES, "C", "(A) is too few, (D)") if name in CHOOSING else (COLOR, "white", "grey")
    )
    scorers = load_benchmark(name).scorers(synonyms("table"))
    for mode, scorer in scorers.items():
        assert scorer(sample, f"{pair[0]}It may be {wrong}.{pair[1]}\n{right}").correct, mode
        # the truth in the thoughts is no right answer
        assert not scorer(sample, f"{pair[0]}It may be {right}.{pair[1]}").correct, mode
        assert not scorer(sample, f"{pair[0]}It may be {right}").correct, mode


@pytest.mark.parametrize("opening", [opening for opening, _ in PAIRS])
def test_a_thought_is_told_by_its_whole_mark_and_not_before(opening):
    mark = f"\n{opening}"
    told = [opens_thought(mark[:n]) for n in range(len(mark) + 1)]
    assert told[-1] is True
    assert False not in told
    assert told.index(True) > len("\n<")


NO_THOUGHTS = ("A", "(A) red", "<answer>", "[1, 2]", "&lt;b&gt; red", "Here is a red", "Thinks")
NO_THOUGHTS += ("<|channel|>final<|message|>red", "◁b▷", "<" * 200, "The <think>")


@pytest.mark.parametrize("begun", NO_THOUGHTS)
def test_what_is_no_thought_is_told_by_its_first_words(begun):
    assert opens_thought(begun) is False


@given(st.text(max_size=200))
def test_any_first_words_are_judged(begun):
    assert opens_thought(begun) in (True, False, None)
    assert opens_thought(begun + "x" * 200) is not None
