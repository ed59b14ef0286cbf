"""Answers to choose from are scored as the stock model would score them."""

import math

import pytest
import torch
from family_toys import QUESTION, WORDS, host_of, tokens_of
from pipeline_toys import llava_host, random_llava

import geofovea as gf
from geofovea.errors import ModelError, QuestionError
from geofovea.pipeline.answers.confidence import Choice
from geofovea.pipeline.inference.decoder.choice_scoring import choice_instruction
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.session.request import checked_choices
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.regionfocus.reductions.registry import make_decoder_reduction
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

COLORS = ("red", "green", "blue")


def believed(host, sequence):
    with torch.no_grad():
        return host._model.lm_head(DecoderRun(host._decoder, PromptBatch.of([sequence])).prefill())[
            0
        ].log_softmax(-1)


@pytest.mark.parametrize("family", ["llava", "qwen3_vl", "smolvlm"])
def test_letters_are_scored_behind_the_prompt_that_lists_them(family):
    host = host_of(family)
    tokens = tokens_of(host)
    found = host.generate(QUESTION, tokens, choices=COLORS)
    ids = host._prompts.words.ids(QUESTION, choice_instruction(COLORS))
    expected = believed(host, host._prompts.layout.sequence(ids, tokens))
    scores = [float(expected[WORDS[letter]]) for letter in "ABC"]
    assert found.choices == pytest.approx(scores, abs=1e-5)
    assert found.text == COLORS[scores.index(max(scores))]
    share = math.exp(max(scores)) / sum(math.exp(s) for s in scores)
    assert math.exp(found.log_probabilities[0]) == pytest.approx(share, abs=1e-5)


def test_one_pass_over_the_prompt_scores_all_letters():
    host = host_of("llava")
    passes = []
    hook = host._decoder.register_forward_hook(lambda *_: passes.append(1))
    host.generate(QUESTION, tokens_of(host), choices=COLORS)
    hook.remove()
    assert len(passes) == 1


def wordy():
    """A host whose vocabulary has no letters, and one tile."""
    host = llava_host(random_llava())
    pyramid = Pyramid(32, 32, 32)
    tiles = list(pyramid.tiles(0))
    pixels = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8).numpy()
    return host, tokens_of_tiles(host.encode(pixels, tiles, pyramid), host.grid, tiles, pyramid)


@torch.no_grad()
def test_without_letters_whole_answers_are_scored_with_their_end():
    host, tokens = wordy()
    choices = ("red", "parking lot", "solar farm", "red parking lot")
    found = host.generate(QUESTION, tokens, choices=choices)
    tokenizer = build_tokenizer()
    for choice, score in zip(choices, found.choices, strict=True):
        answer = tokenizer.encode(choice, add_special_tokens=False)
        ids = host._prompts.words.ids(QUESTION)
        expected = 0.0
        for i, token in enumerate([*answer, tokenizer.eos_token_id]):
            longer = type(ids)(ids.before, [*ids.after, *answer[:i]])
            expected += float(believed(host, host._prompts.layout.sequence(longer, tokens))[token])
        assert score == pytest.approx(expected, abs=1e-4)
    assert found.text == choices[max(range(4), key=lambda i: found.choices[i])]


def test_choices_leave_no_trace_in_the_answer_that_follows():
    host, tokens = wordy()
    before = host.generate(QUESTION, tokens)
    host.generate(QUESTION, tokens, choices=COLORS)
    assert host.generate(QUESTION, tokens) == before


def test_words_cannot_be_scored_behind_a_reduction_in_the_decoder():
    host, tokens = wordy()
    reduction = make_decoder_reduction("fastv")
    with pytest.raises(ModelError, match="leave out the reduction or the choices"):
        host.generate(QUESTION, tokens, reduction, choices=COLORS)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["red"], "2 to 26 choices, got 1"),
        ([str(i) for i in range(27)], "2 to 26 choices, got 27"),
        (["red", " "], "1 to 500 characters"),
        (["red", "x" * 501], "1 to 500 characters"),
        (["red", " red "], "each choice once"),
        ("red", "a list of answers"),
    ],
)
def test_choices_that_cannot_be_meant_are_refused(given, words):
    with pytest.raises(QuestionError, match=words):
        checked_choices(given)


def test_shares_of_choices_sum_to_one():
    choices = Choice.of(("a", "b", "c"), (-900.0, -901.0, -950.0))
    assert sum(choice.probability for choice in choices) == pytest.approx(1)
    assert choices[0].probability == pytest.approx(1 / (1 + math.exp(-1)), abs=1e-6)
    assert [choice.letter for choice in choices] == ["A", "B", "C"]


def test_a_session_answers_with_the_likeliest_choice(make_session):
    answer = make_session().ask("What is the color of the plane ?", choices=COLORS)
    best = max(answer.choices, key=lambda choice: choice.probability)
    assert answer.text == best.text
    assert answer.confidence == pytest.approx(best.probability, abs=1e-6)
    rows = answer.to_json()["choices"]
    assert [row["text"] for row in rows] == list(COLORS)
    assert {"letter", "text", "log_probability", "probability"} == set(rows[0])


def test_a_session_names_unknown_words_of_choices(make_session):
    answer = make_session().ask("What is the color of the plane ?", choices=("red", "mauve"))
    assert any("mauve" in warning for warning in answer.warnings)


def test_what_the_embedded_model_refuses_names_it_and_not_its_folder(scene_path):
    with pytest.raises(ModelError, match=r"^embedded has no letters to choose by"):
        gf.ask(scene_path, QUESTION, choices=("yes", "no"), reduction="fastv:0.5")
