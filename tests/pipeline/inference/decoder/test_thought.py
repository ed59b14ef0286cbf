"""A model that gets room to think answers behind its thought, and the thought is no answer."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from chat_templates import rendered_here
from family_toys import QUESTION, WORDS, model_of, tokens_of
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.decoder.choice_scoring import choice_instruction
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.logit_rules import LogitRules
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.decoder.thought import (
    BEFORE_THOUGHT,
    LEFT_THOUGHT,
    UNTHOUGHT,
    thought_warning,
)
from geofovea.pipeline.inference.prompts import chat_prompt
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.markers import ImageMarkers, PromptStyle
from geofovea.pipeline.inference.prompts.template import PromptTemplate
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.reductions.registry import make_decoder_reduction
from geofovea.tiling.opening import open_scene

TURN = (
    "{% for c in messages[0]['content'] %}{% if c.type == 'image' %}<image>{% else %} {{ c.text }}"
    "{% endif %}{% endfor %} is "
)
OPENS = TURN + "<think>\n"
SWITCHES = TURN + "{% if enable_thinking is false %}<think></think>\n{% endif %}"
# words of other families, which this one never says, stand for the marks
MARKS = {"<think>": WORDS["<global-img>"], "</think>": WORDS["<fake_token_around_image>"]}
LONGEST = 6


@pytest.fixture(autouse=True)
def render_here(monkeypatch):
    """Let templates run in this process, by the code of their child, which is tested elsewhere."""
    monkeypatch.setattr(chat_prompt, "rendered_chats", rendered_here)


def thinker(chat=OPENS, marks=MARKS, family="llava", **settings):
    """A random model that gets room to think; the words of some ids are marks of thoughts."""
    words = {word: i for word, i in WORDS.items() if i not in marks.values()} | marks
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.normalizer = normalizers.Replace("?", " ? ")
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = ["<image>", *(w for w in ("<img>", "</img>") if w in words)]
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made,
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        additional_special_tokens=special,
    )
    fast.chat_template = chat
    room = {"instruction": "", "focus_layer": 1, "thinking": "room", "thought_tokens": LONGEST}
    return LvlmHost(
        "thinker", FAMILIES[family](model_of(family)), fast, HostSettings(**room | settings)
    )


@torch.no_grad()
def state_behind(host, tokens, ids, question=QUESTION):
    """The last state of a prompt with some ids behind it, which runs as one."""
    words = host._prompts.words.ids(question, "")
    longer = type(words)(words.before, [*words.after, *ids])
    sequence = host._prompts.layout.sequence(longer, tokens)
    return DecoderRun(host._decoder, PromptBatch.of([sequence])).prefill()


@torch.no_grad()
def greedy(host, tokens, ids, count):
    """The ids that are likeliest behind a prompt and some ids, one after the other."""
    found = []
    for _ in range(count):
        state = state_behind(host, tokens, [*ids, *found])
        found.append(int(host._family.logits(state).argmax()))
    return found


def text_of(host, ids):
    return host._tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_a_thought_that_is_too_long_is_closed_and_the_answer_stands_behind_it():
    host = thinker()
    tokens = tokens_of(host)
    thought = greedy(host, tokens, [], LONGEST)
    assert MARKS["</think>"] not in thought
    expected = greedy(host, tokens, [*thought, MARKS["</think>"]], 4)
    generation = host.generate(QUESTION, tokens)
    assert generation.text.startswith(text_of(host, expected))
    assert generation.thought_tokens == LONGEST + 1
    assert generation.warnings[-1] == thought_warning(LONGEST)
    assert UNTHOUGHT not in generation.warnings


def natural_end():
    """A model whose thought ends by itself: a word that it says once is the closing mark."""
    for seed in range(5, 25):
        host = thinker()
        tokens = tokens_of(host, seed=seed)
        words = greedy(host, tokens, [], LONGEST + host._settings.answer_tokens)
        once = [i for i in range(1, LONGEST - 1) if words.count(words[i]) == 1]
        if once:
            ended = thinker(marks=MARKS | {"</think>": words[once[0]]})
            return ended, tokens, words[: once[0] + 1]
    raise AssertionError("this model says nothing just once")


def test_a_thought_that_ends_by_itself_is_no_part_of_the_answer():
    host, tokens, thought = natural_end()
    generation = host.generate(QUESTION, tokens)
    expected = greedy(host, tokens, thought, 4)
    assert generation.text.startswith(text_of(host, expected))
    assert generation.thought_tokens == len(thought)
    assert thought_warning(LONGEST) not in generation.warnings
    # as long as the answer and not as the thought
    assert 0 < len(generation.log_probabilities) <= host._settings.answer_tokens


@torch.no_grad()
def test_choices_are_scored_behind_the_thought():
    choices = ("red", "blue")
    asked = QUESTION + choice_instruction(choices)
    short = thinker(thought_tokens=2)
    tokens = tokens_of(short)
    start = []
    for _ in range(2):
        state = state_behind(short, tokens, start, asked)
        start.append(int(short._family.logits(state).argmax()))
    state = state_behind(short, tokens, [*start, MARKS["</think>"]], asked)
    believed = short._family.logits(state)[0].float().log_softmax(-1)
    found = short.generate(QUESTION, tokens, choices=choices)
    assert found.choices == pytest.approx([float(believed[WORDS[x]]) for x in "AB"], abs=1e-4)
    assert found.thought_tokens == 3


def test_it_thinks_behind_a_prompt_of_which_the_decoder_drops_tokens():
    host = thinker()
    tokens = tokens_of(host)
    reduction = make_decoder_reduction("fastv")
    generation = host.generate(QUESTION, tokens, reduction)
    assert generation.thought_tokens == LONGEST + 1
    assert generation.tokens_by_layer[-1] < len(tokens)


def test_questions_side_by_side_are_each_thought_about_alone():
    host = thinker()
    tokens = tokens_of(host)
    questions = [QUESTION, "What is the color of the ship?"]
    together = host.generate_together([Prompt(q, tokens) for q in questions])
    assert together == [host.generate(q, tokens) for q in questions]


def test_a_model_that_opens_its_thoughts_itself_is_free_not_to():
    host = thinker(SWITCHES)
    tokens = tokens_of(host)
    (first,) = greedy(host, tokens, [], 1)
    assert first != MARKS["<think>"]
    assert host.generate(QUESTION, tokens).thought_tokens == 0
    opening = thinker(SWITCHES, marks=MARKS | {"<think>": first})
    generation = opening.generate(QUESTION, tokens)
    # both marks count
    assert generation.thought_tokens == 1 + LONGEST + 1


def test_a_model_that_thinks_though_no_template_says_so_gets_room():
    host = thinker(TURN)
    tokens = tokens_of(host)
    (first,) = greedy(host, tokens, [], 1)
    assert host.generate(QUESTION, tokens).thought_tokens == 0
    thinks = thinker(TURN, marks=MARKS | {"<think>": first})
    assert thinks.generate(QUESTION, tokens).thought_tokens == 1 + LONGEST + 1


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"choices": ("red", "blue")},
        {"choices": ("red", "blue", "green", "plane")},
        {"reduction": "fastv"},
    ],
    ids=["words", "letters", "choices without letters", "tokens dropped"],
)
def test_an_opening_mark_of_several_tokens_is_judged_whole(how):
    plain, host = thinker(TURN, thinking="off"), thinker(TURN)
    tokens = tokens_of(host)
    if "reduction" in how:
        how = {"reduction": make_decoder_reduction("fastv")}
    said = greedy(host, tokens, [], 3)
    thought = host._prompts.words.thought
    # of the likeliest words the last one is another than the model's
    for opening in ((said[0], said[1] + 1), (*said[:2], said[2] + 1)):
        host._prompts.words.thought = replace(thought, opening=opening)
        at_once = host.generate(QUESTION, tokens, **how)
        assert at_once.thought_tokens == 0
        expected = plain.generate(QUESTION, tokens, **how)
        assert (at_once.text, at_once.choices) == (expected.text, expected.choices)
        assert at_once.log_probabilities == pytest.approx(expected.log_probabilities)
    if not how:
        host._prompts.words.thought = replace(thought, opening=tuple(said))
        generation = host.generate(QUESTION, tokens)
        behind = [*said, *greedy(host, tokens, said, LONGEST), MARKS["</think>"]]
        assert generation.thought_tokens == len(behind)
        assert generation.text.startswith(text_of(host, greedy(host, tokens, behind, 3)))


WAYS = {
    "letters": {"choices": ("red", "blue")},
    "choices without letters": {"choices": ("red", "blue", "green", "plane")},
    "letters, tokens dropped": {"choices": ("red", "blue"), "reduction": "fastv"},
}


def begun(how, letters):
    """What a model would say at once where it is given choices, and a picture: three words."""
    for seed in range(5, 40):
        host = thinker(TURN, thinking="off")
        tokens = tokens_of(host, seed=seed)
        asked = QUESTION + choice_instruction(how["choices"]) if letters else QUESTION
        answer = host.generate(asked, tokens, how.get("reduction"))
        ids = [WORDS.get(word) for word in (answer.marked or answer.text).split()[:3]]
        spoken_for = {None, WORDS["<image>"], *host._prompts.words.ids(asked).after}
        if len({*ids}) == 3 and not {*ids} & spoken_for:
            return ids, tokens
    raise AssertionError("this model says no three words that it was not asked")


@pytest.mark.parametrize("name", WAYS)
def test_choices_are_doubted_where_the_mark_of_a_thought_has_several_tokens(name):
    how = dict(WAYS[name])
    if "reduction" in how:
        how["reduction"] = make_decoder_reduction(how["reduction"])
    ids, tokens = begun(how, letters="without" not in name)

    def warnings(*marks):
        named = dict(zip(marks, ids, strict=True))
        host = thinker(TURN, marks=named, thinking="off")
        return host.generate(QUESTION, tokens, **how).warnings

    assert BEFORE_THOUGHT in warnings("<", "think", ">")
    # what begins like a mark and goes on otherwise is none
    assert BEFORE_THOUGHT not in warnings("<", "answer", ">")
    assert BEFORE_THOUGHT not in warnings("<", "think", "(")
    assert BEFORE_THOUGHT not in warnings("so", "<", "think")


def test_of_questions_side_by_side_only_those_are_doubted_that_would_begin_with_a_thought():
    ids, tokens = begun(WAYS["letters"], letters=True)
    marks = dict(zip(("<", "think", ">"), ids, strict=True))
    host = thinker(TURN, marks=marks, thinking="off")
    questions = [QUESTION, *(f"What is the {word} ?" for word in ("ship", "color", "tent"))]
    prompts = [Prompt(question, tokens, ("red", "blue")) for question in questions]
    together = [BEFORE_THOUGHT in g.warnings for g in host.generate_together(prompts)]
    alone = [BEFORE_THOUGHT in host.generate_together([p])[0].warnings for p in prompts]
    assert together == alone
    assert together[0]
    assert not all(together)


def test_a_thought_that_the_model_left_open_is_not_called_too_long():
    host = thinker()
    tokens = tokens_of(host)
    thought = greedy(host, tokens, [], 2)
    host._writer = replace(host._writer, stop=frozenset(thought[1:]))
    left = host.generate(QUESTION, tokens)
    assert LEFT_THOUGHT in left.warnings
    assert thought_warning(LONGEST) not in left.warnings
    assert left.thought_tokens == len(thought[:1]) + 1
    # a word that ends an answer may be the one that closes a thought
    host, tokens, thought = natural_end()
    host._writer = replace(host._writer, stop=host._writer.stop | {thought[-1]})
    ended = host.generate(QUESTION, tokens)
    assert ended.thought_tokens == len(thought)
    assert LEFT_THOUGHT not in ended.warnings


@pytest.mark.parametrize(
    ("written", "behind"),
    [
        ("I look.</thought>", ""),
        ("I look.</thought>\n\n", "\n\n"),
        ("I look.</thought", None),
        ("</thought>", ""),
        ("", None),
    ],
)
def test_the_end_of_a_thought_is_seen_within_a_longer_token(written, behind):
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    # as vocabularies have it: a bracket and line ends are one token
    merged = [("Ċ", "Ċ"), (">", "ĊĊ")]
    vocabulary = [*letters, *("".join(pair) for pair in merged)]
    made = Tokenizer(models.BPE({c: i for i, c in enumerate(vocabulary)}, merged))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    words = PreTrainedTokenizerFast(tokenizer_object=made)
    style = PromptStyle(ImageMarkers(), "{image}{question}<thought>\n", 999)
    marks = PromptTemplate(words, style, None, "", thought_tokens=9).thought
    assert len(marks.closing) == len("</thought>")
    assert marks.text_behind(words.encode(written)) == behind


def test_room_for_a_thought_is_kept_in_the_context():
    thinks, does_not = thinker(), thinker(thinking="off")
    assert does_not.room(QUESTION, 2) - thinks.room(QUESTION, 2) >= LONGEST


@pytest.mark.parametrize(
    ("chat", "marks", "words"),
    [
        (TURN, {}, "neither opens a thought nor can switch one off"),
        (OPENS, {"<think>": MARKS["<think>"]}, "has no words <think> and </think>"),
    ],
)
def test_room_for_what_cannot_be_is_refused_with_words(chat, marks, words):
    with pytest.raises(ModelError, match=words):
        thinker(chat, marks)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thinking": "on"}, "thinking='on' is not one of off, room"),
        ({"thinking": "room", "thought_tokens": 0}, "thought_tokens=0 is not a whole number"),
        ({"thought_tokens": 9}, "thought_tokens= is for thinking='room'"),
        ({"thinking": "off", "thought_tokens": 9}, "thought_tokens= is for thinking='room'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words):
    with pytest.raises(ModelError, match=words):
        LoadOptions(**options)


def test_the_cost_of_an_answer_tells_what_was_thought(scene_path):
    session = SceneSession(open_scene(scene_path), thinker())
    answer = session.ask(QUESTION, focus="overview")
    cost = json.loads(json.dumps(answer.cost.to_json()))
    assert cost["thought_tokens"] == answer.cost.thought_tokens == LONGEST + 1
    session = SceneSession(open_scene(scene_path), thinker(thinking="off"))
    plain = session.ask(QUESTION, focus="overview")
    assert "thought_tokens" not in plain.cost.to_json()
    assert UNTHOUGHT in plain.warnings


def test_a_thought_obeys_the_rules_of_its_model():
    host = thinker()
    tokens = tokens_of(host)
    free = host.generate(QUESTION, tokens)
    assert thought_warning(LONGEST) in free.warnings
    others = [i for i in WORDS.values() if i != MARKS["</think>"]]
    rules = LogitRules.of(SimpleNamespace(suppress_tokens=others), ())
    host._writer = replace(host._writer, rules=rules)
    held = host.generate(QUESTION, tokens)
    # nothing but the end of the thought may be said
    assert held.thought_tokens < free.thought_tokens
    assert thought_warning(LONGEST) not in held.warnings
