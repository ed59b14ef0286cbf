"""Answers obey the rules of a generation configuration, as those of the stock ``generate`` do."""

import copy

import pytest
import torch
from family_toys import (
    QUESTION,
    host_of,
    stock_inputs,
    stock_text,
    tokens_of,
)

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.logit_rules import LogitRules

RULES = {
    "penalty": {"repetition_penalty": 1.3},
    "reward": {"repetition_penalty": 0.7},
    "ngrams": {"no_repeat_ngram_size": 2},
    "left out": {"suppress_tokens": list(range(20, 70))},
    "bad words": {"bad_words_ids": [[i] for i in range(10, 60)] + [[70, 71]]},
    "together": {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3},
}


@pytest.fixture
def ruled(request):
    """A host of a model of a family with rules, which other tests do not see."""

    def host(family, rules):
        plain = host_of(family)
        config = plain._model.generation_config
        changed = copy.deepcopy(config)
        for name, value in rules.items():
            setattr(changed, name, value)
        request.addfinalizer(lambda: setattr(plain._model, "generation_config", config))
        plain._model.generation_config = changed
        return LvlmHost("ruled", plain._family, plain._tokenizer, plain._settings)

    return host


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl"])
def test_an_answer_is_that_of_stock_generate_with_the_same_rules(ruled, family, rules):
    host = ruled(family, rules)
    expected = stock_text(host, family, stock_inputs(host, family))
    found = host.generate(QUESTION, tokens_of(host))
    assert found.text == expected
    assert all(value <= 0 for value in found.log_probabilities)


def test_a_penalty_changes_what_a_model_says(ruled):
    plain = host_of("qwen2_5_vl")
    tokens = tokens_of(plain)
    before = plain.generate(QUESTION, tokens).text
    assert (
        ruled("qwen2_5_vl", {"repetition_penalty": 1.3}).generate(QUESTION, tokens).text != before
    )


def test_answers_side_by_side_are_penalized_for_their_own_words(ruled):
    host = ruled("llava", {"repetition_penalty": 1.5})
    one, other = tokens_of(host), tokens_of(host, seed=8)
    prompts = [Prompt(QUESTION, one), Prompt("Is there a truck?", other), Prompt(QUESTION, other)]
    together = host.generate_together(prompts)
    alone = [host.generate(p.question, p.tokens) for p in prompts]
    assert [g.text for g in together] == [g.text for g in alone]


def test_a_model_without_rules_has_none():
    assert LogitRules.of(None, {1}) is None
    assert LogitRules.of(host_of("llava")._model.generation_config, {1}) is None


@pytest.mark.parametrize(
    "rules", [{"repetition_penalty": -1.0}, {"suppress_tokens": 7}, {"no_repeat_ngram_size": -2}]
)
def test_a_rule_that_cannot_be_meant_is_refused(rules):
    class Config:
        pass

    config = Config()
    for key, value in rules.items():
        setattr(config, key, value)
    name = next(iter(rules))
    with pytest.raises(ModelError, match=f"generation_config.json of this model has {name}"):
        LogitRules.of(config, {1})


def test_the_words_of_a_prompt_are_those_that_the_stock_prompt_has():
    host = host_of("internvl")
    sequence = host._prompts.sequence(QUESTION, tokens_of(host))
    ids = stock_inputs(host, "internvl")["input_ids"][0].tolist()
    assert torch.unique(torch.tensor(sequence.words)).tolist() == sorted(
        set(ids) - {host._model.config.image_token_id}
    )
    assert len(host._prompts.sequence(QUESTION, None).words) == len(sequence.words) - 2
