"""A model that would think first is made to answer, and what it thinks is never the answer."""

import pytest
from chat_templates import rendered_here
from family_toys import QUESTION, WORDS, host_of, tokenizer, tokens_of

from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.generate import UNUSED_CHAT
from geofovea.pipeline.inference.decoder.thought import UNTHOUGHT
from geofovea.pipeline.inference.prompts import chat_prompt
from geofovea.pipeline.inference.prompts.chat_prompt import without_open_thought
from geofovea.pipeline.inference.prompts.markers import ImageMarkers, PromptStyle
from geofovea.pipeline.inference.prompts.template import PromptTemplate

TURN = (
    "{% for c in messages[0]['content'] %}{% if c.type == 'image' %}"
    "<|vision_start|><image><|vision_end|>{% else %} {{ c.text }}{% endif %}{% endfor %} is "
)
OPENS = TURN + "<think>\n"
SWITCHES = (
    TURN
    + "{% if enable_thinking is defined and not enable_thinking %}<think></think>\n"
    + ("{% endif %}")
)
SWITCHES_OPEN = TURN + (
    "{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n"
    "{% else %}<think>\n{% endif %}"
)


@pytest.fixture(autouse=True)
def render_here(monkeypatch):
    """Let templates run in this process, by the code of their child, which is tested elsewhere."""
    monkeypatch.setattr(chat_prompt, "rendered_chats", rendered_here)


CLOSES = "<think>\n\n</think>\n\n"
WITH_SWITCHES = {
    # what stands behind the question where the model may not think, and where it may
    "on unless told": (SWITCHES_OPEN, CLOSES, "<think>\n"),
    "opened by the model": (SWITCHES, "<think></think>\n", ""),
    "off unless told": (
        TURN + "{% if enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}",
        CLOSES,
        "<think>\n",
    ),
    "neither unless told": (
        TURN + "{% if enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}"
        "{% if enable_thinking is true %}<think>\n{% endif %}",
        CLOSES,
        "<think>\n",
    ),
    "by another name": (
        TURN + "{% if thinking is defined and thinking is false %}<think></think>"
        "{% else %}<think>{% endif %}",
        "<think></think>",
        "<think>",
    ),
    "another name, off unless told": (
        TURN + "{% if thinking %}<think>{% else %}<think></think>{% endif %}",
        "<think></think>",
        "<think>",
    ),
    "a word in the question": (
        TURN + "{% if enable_thinking is false %}/no_think {% else %}<think>\n{% endif %}",
        "/no_think ",
        "<think>\n",
    ),
}


@pytest.mark.parametrize(("chat", "off", "room"), WITH_SWITCHES.values(), ids=WITH_SWITCHES)
def test_a_template_that_can_switch_thinking_is_told_what_is_wanted(chat, off, room):
    made = tokenizer(chat)
    made.add_tokens(["<think>", "</think>"])
    style = PromptStyle(FAMILIES["qwen3_vl"].words, "none", 999, WORDS["<image>"])
    closed = PromptTemplate(made, style, None, "")
    assert closed._template.endswith(f" is {off}")
    assert closed.closes_thought
    opened = PromptTemplate(made, style, None, "", thought_tokens=9)
    assert opened._template.endswith(f" is {room}")
    assert opened.thought.opening == (() if room else (made.convert_tokens_to_ids("<think>"),))
    assert opened.thought.closing == (made.convert_tokens_to_ids("</think>"),)


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a {question} b", ("a {question} b", False)),
        ("{question} <think>\n", ("{question} <think>\n\n</think>\n\n", True)),
        ("{question}<thinking>", ("{question}<thinking>\n\n</thinking>\n\n", True)),
        ("{question}<think></think>\n", ("{question}<think></think>\n", True)),
        ("<think>{question}", ("<think>{question}", False)),
        ("{question}<think>\nI look.", ("{question}<think>\n\n</think>\n\n", True)),
        ("{question}[THINK]", ("{question}[THINK]\n\n[/THINK]\n\n", True)),
        ("{question}[/INST][THINK]a[/THINK]", ("{question}[/INST][THINK]a[/THINK]", True)),
        (
            "{question}\nThink in <think> first.\nASSISTANT:",
            ("{question}\nThink in <think> first.\nASSISTANT:", False),
        ),
        ("{question}<think>No.</think>", ("{question}<think>No.</think>", True)),
        ("{question}◁think▷", ("{question}◁think▷\n\n◁/think▷\n\n", True)),
        ("{question}<seed:think>\n", ("{question}<seed:think>\n\n</seed:think>\n\n", True)),
        (
            "{question}<|begin_of_thought|>\n",
            ("{question}<|begin_of_thought|>\n\n<|end_of_thought|>\n\n", True),
        ),
        (
            "{question}<|thinking_start|>",
            ("{question}<|thinking_start|>\n\n<|thinking_end|>\n\n", True),
        ),
        ("{question}<|think|>", ("{question}<|think|>\n\n<|end|>\n\n", True)),
        ("{question}<|channel>thought", ("{question}<|channel>thought\n\n<channel|>\n\n", True)),
        ("{question}<unused94>thought\n", ("{question}<unused94>thought\n\n<unused95>\n\n", True)),
        ("{question}◁think▷◁/think▷", ("{question}◁think▷◁/think▷", True)),
        ("Reflect: <reflection> or not. {question} A:", None),
    ],
)
def test_a_prompt_ends_outside_of_a_thought(prompt, expected):
    assert without_open_thought(prompt, ("<|end|>", "<|/thought|>")) == (
        expected or (prompt, False)
    )


@pytest.mark.parametrize(
    ("chat", "ending"),
    [
        (OPENS, "<think>\n\n</think>\n\n"),
        (SWITCHES, "<think></think>\n"),
        (SWITCHES_OPEN, "<think>\n\n</think>\n\n"),
    ],
    ids=["opens", "switches", "switches an open one"],
)
def test_the_thought_is_closed_and_every_answer_says_so(chat, ending):
    host = host_of("qwen3_vl", chat=chat, template=None)
    assert host._prompts.words._template.endswith(f"is {ending}")
    tokens = tokens_of(host)
    assert UNTHOUGHT in host.generate(QUESTION, tokens).warnings
    assert UNTHOUGHT in host.generate(QUESTION, tokens, choices=("red", "blue")).warnings


def test_choices_are_scored_behind_the_closed_thought():
    # words of our own settings begin with the first word of the tokenizer, those of a chat do not
    thinking = host_of("qwen3_vl", chat="{{ bos_token }}" + OPENS, template=None)
    closed = host_of(
        "qwen3_vl", template="{image} {question} is <think>\n\n</think>\n\n", instruction=""
    )
    choices, tokens = ("red", "blue"), tokens_of(thinking)
    assert thinking.generate(QUESTION, tokens, choices=choices).choices == pytest.approx(
        closed.generate(QUESTION, tokens, choices=choices).choices
    )


def test_a_model_that_does_not_think_is_asked_without_a_word_about_it():
    host = host_of("qwen3_vl", chat=TURN, template=None)
    assert UNTHOUGHT not in host.generate(QUESTION, tokens_of(host)).warnings


def test_marks_of_thoughts_are_known_where_they_are_one_token():
    assert host_of("llava")._prompts.words.thought_ids == set()
    made = tokenizer()
    marks = ["<think>", "◁think▷", "<|begin_of_thought|>", "<unused94>"]
    made.add_tokens([*marks, "</think>", "<thinker>", "<unused93>", "<unused95>"])
    words = PromptTemplate(made, PromptStyle(ImageMarkers(), "{image}{question}", 999), None, "")
    assert words.thought_ids == set(made.convert_tokens_to_ids(marks))


@pytest.mark.parametrize(
    "chat",
    [
        TURN.replace("{{ c.text }}", "{{ c.text }} and {{ c.text }}"),
        TURN.replace("{{ c.text }}", "{{ c.text | lower }}"),
        "Images are <image>. " + TURN,
        "Write {question}. " + TURN,
        "{{ raise_exception('no images') }}",
    ],
    ids=["twice", "changed", "named", "braces", "raises"],
)
def test_every_answer_says_that_a_chat_template_was_of_no_use(chat):
    host = host_of("qwen3_vl", chat=chat, template=None)
    assert host._prompts.words._template == host._family.template
    answer = host.generate(QUESTION, tokens_of(host))
    assert UNUSED_CHAT in answer.warnings
    chosen = host_of("qwen3_vl", chat=chat)
    assert UNUSED_CHAT not in chosen.generate(QUESTION, tokens_of(host)).warnings
    without = host_of("qwen3_vl", template=None)
    assert UNUSED_CHAT not in without.generate(QUESTION, tokens_of(host)).warnings
