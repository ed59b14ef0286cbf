"""What a model in this process says: thoughts are out of it, and a cut is told."""

import pytest
from pipeline_toys import QUESTION
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.inference.decoder.decoded_answer import decoded_answer
from geofovea.regionfocus.budget import Budget

MARKS = ["<think>", "</think>", "[THINK]", "[/THINK]", "<|box|>", "</s>"]
THOUGHT = ["green", "or", "red", "?"]


def tokenizer_of(*special):
    words = ["<unk>", *THOUGHT, "dark", *MARKS]
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", additional_special_tokens=list(special)
    )


def said(tokenizer, *words, ended=True):
    ids = tokenizer.convert_tokens_to_ids(list(words))
    logs = [-float(i) for i in range(1, len(ids) + 1)]
    return decoded_answer(tokenizer, ids, logs, most=len(ids), has_ended=ended)


@pytest.mark.parametrize("pair", [("<think>", "</think>"), ("[THINK]", "[/THINK]")])
@pytest.mark.parametrize("special", [(), MARKS], ids=["plain marks", "special marks"])
def test_thoughts_are_out_whether_their_marks_are_special_words_or_not(special, pair):
    tokenizer = tokenizer_of(*special)
    found = said(tokenizer, pair[0], *THOUGHT, pair[1], "dark", "red")
    assert (found.text, found.log_probabilities) == ("dark red", (-7.0, -8.0))
    assert found.warnings == ()
    endless = said(tokenizer, pair[0], *THOUGHT, ended=False)
    assert (endless.text, endless.log_probabilities) == ("", ())
    assert "cut at 5 tokens" in endless.warnings[0]
    assert "never came to an answer" in endless.warnings[1]
    assert "thinking='room'" in endless.warnings[2]


def test_an_answer_without_marks_is_what_the_tokenizer_decodes():
    found = said(tokenizer_of(*MARKS), "dark", "red", "</s>")
    assert (found.text, found.log_probabilities) == ("dark red", (-1.0, -2.0, -3.0))
    assert found.warnings == ()


def test_a_mark_that_is_not_known_is_told():
    assert "a mark that is not known" in said(tokenizer_of(), "<|box|>", "red").warnings[0]


@pytest.mark.parametrize("most", [4, 40])
def test_an_answer_is_as_long_as_allowed_and_a_cut_is_told(
    tiny_folder, scene_path, most, monkeypatch
):
    from geofovea import ask, load_host

    host = load_host(str(tiny_folder), answer_tokens=most)
    # the toy never ends an answer by itself
    host._writer.stop.clear()
    generations, generate = [], host.generate

    def recorded(*arguments, **options):
        generations.append(generate(*arguments, **options))
        return generations[-1]

    monkeypatch.setattr(host, "generate", recorded)
    answer = ask(scene_path, QUESTION, model=host, budget=Budget(12, 60))
    # one for each token, also for those that are no words
    assert len(generations[-1].log_probabilities) == most
    assert any(f"cut at {most} tokens; allow more" in warning for warning in answer.warnings)


def test_impossible_limits_are_refused():
    from geofovea.errors import ModelError

    for tokens in (0, -1, 4097, 2.5, True):
        with pytest.raises(ModelError, match="answer_tokens"):
            LoadOptions(answer_tokens=tokens)
