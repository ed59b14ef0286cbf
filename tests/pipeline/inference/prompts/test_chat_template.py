"""A chat template is a program of others: it ends, or is refused, in bounded time."""

import time

import pytest
from transformers import PreTrainedTokenizerFast

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import check_files
from geofovea.pipeline.inference.prompts.chat_template import rendered_chats

PARTS = [{"type": "image"}, {"type": "text", "text": "what?"}]
WORDS = {"bos_token": "<s>", "additional_special_tokens": ["<image>"]}
REAL = {
    "parts": "{% for m in messages %}USER: {% for p in m['content'] %}{% if p['type'] == 'image' %}"
    "<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}",
    "texts": "{{ bos_token }}{%- for m in messages -%}\n  [{{ m.content | trim }}]\n{%- endfor %}",
    "helpers": "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{% if loop.last %}{% break %}{% endif %}{% endfor %}{{ ns.n }}{{ messages | tojson }}",
    "generation": "{% for m in messages %}{% generation %}{{ m.role }}{% endgeneration %}"
    "{% endfor %}",
    "raises": "{{ raise_exception('no') }}",
    "tools": "{% if tools %}x{% endif %}{{ messages[0]['content'] }}",
}


def stock(template, content):
    """What ``transformers`` itself writes; empty where it raises."""
    from tokenizers import Tokenizer, models

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0}, unk_token="<s>")), bos_token="<s>"
    )
    try:
        return tokenizer.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except Exception:
        return ""


@pytest.mark.parametrize("template", REAL.values(), ids=REAL)
def test_a_template_writes_what_it_writes_in_transformers(template):
    contents = [PARTS, "<image>\nwhat?"]
    assert rendered_chats(template, WORDS, contents) == tuple(stock(template, c) for c in contents)


BOMBS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}x",
    "width": "{{ '%4000000000d' % 1 }}",
    "format": "{{ '{:4000000000}'.format(1) }}",
    "product": "{{ 'x' * 4000000000 }}",
    "power": "{{ 9 ** (9 ** 9) }}",
    "list": "{{ ([1] * 4000000000) | length }}",
    "doubling": "{% set ns = namespace(x='x') %}{% for i in range(64) %}"
    "{% set ns.x = ns.x ~ ns.x %}{% endfor %}x",
    "indent": "{{ 'x' | center(4000000000) }}",
    "long": "{% for a in range(90000) %}0123456789 and so on{% endfor %}",
}


@pytest.mark.parametrize("template", BOMBS.values(), ids=BOMBS)
def test_a_template_without_end_is_refused_in_bounded_time(template):
    started = time.monotonic()
    with pytest.raises(ModelError, match=r"chat template of this model .* allowed; correct it"):
        rendered_chats(template, WORDS, [PARTS])
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "template",
    [
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ messages[0].__class__.__mro__ }}",
        "{% if",
        "{{ nothing.of.that.kind }}",
        "{% for a in range(999999999) %}{% endfor %}",
    ],
)
def test_a_template_that_fails_writes_nothing(template):
    assert rendered_chats(template, WORDS, [PARTS]) == ("",)


def test_a_template_that_is_longer_than_any_real_one_is_refused():
    with pytest.raises(ModelError, match="characters long"):
        rendered_chats("{# #}" * 100_000, WORDS, [PARTS])


@pytest.mark.parametrize(
    "name", ["chat_template.jinja", "chat_template.json", "additional_chat_templates/tool.jinja"]
)
def test_a_file_with_a_template_is_not_read_where_it_is_too_large(tmp_path, name):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"x" * (2**20 + 1))
    with pytest.raises(ModelError, match=r"1,048,577 bytes, more than the 1,048,576"):
        check_files(str(tmp_path), {})


@pytest.mark.parametrize("name", ["tokenizer_config.json", "geofovea.json"])
def test_settings_are_not_read_where_they_are_too_large(tmp_path, name):
    with (tmp_path / name).open("wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ModelError, match=r"67,108,865 bytes, more than the 67,108,864"):
        check_files(str(tmp_path), {})
