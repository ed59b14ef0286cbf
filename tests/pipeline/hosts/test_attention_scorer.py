"""Rows of several layers come from one pass, and neutral questions cost their words alone."""

import json
from dataclasses import replace

import pytest
import torch
from pipeline_toys import QUESTION, llava_host, load_anew, random_llava
from small_tiles import tokens_of

from geofovea.errors import ModelError
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.hosts import lvlm
from geofovea.pipeline.hosts.base import SupportsAttentionMode
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, user_calibration
from geofovea.regionfocus.attention_correction import scores_from_layers
from geofovea.regionfocus.attention_mode import AttentionMode
from geofovea.regionfocus.token_halves import halvings_of, joined_halves

OTHER = "How many boats are at the harbour?"
ALL = (0, 1, 2)


@pytest.fixture(scope="module")
def model():
    return random_llava()


def rows_of(host, mode, tokens, question=QUESTION):
    return host.with_attention(mode).attention_rows([(question, tokens)])[0]


@pytest.mark.parametrize("layers", [(0,), (1,), (0, 2), ALL])
def test_rows_of_several_layers_are_those_of_each_alone(model, layers):
    host, tokens = llava_host(model), tokens_of(llava_host(model), 3)
    together = rows_of(host, AttentionMode(layers), tokens)
    alone = [rows_of(host, AttentionMode((layer,)), tokens) for layer in layers]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    assert (alone[0] - alone[-1]).abs().max() > 1e-3 or len(layers) == 1


@torch.no_grad()
def test_rows_behind_a_shared_prefix_are_those_of_the_stock_decoder(model):
    host = llava_host(model)
    tokens = tokens_of(host, 2)
    sequence = host._prompts.sequence(QUESTION, tokens)
    attentions = host.decoder(
        inputs_embeds=sequence.embedded,
        attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
        output_attentions=True,
    ).attentions
    visual = sequence.visual
    expected = torch.cat([layer[0, :, -1, visual] for layer in attentions])
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(
        rows_of(host, AttentionMode(ALL), tokens), expected, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("halvings", [1, 2])
def test_a_look_in_halves_is_scored_by_what_each_half_gets_alone(model, halvings):
    host, tokens = llava_host(model), tokens_of(llava_host(model), 3)
    plain = AttentionMode((1, 2), neutral=("What is this?",), early=(0,))
    mode = replace(plain, halvings=halvings)
    ways = halvings_of(tokens, halvings)
    all_rows = AttentionMode(ALL)

    def read(question, among=tokens):
        return rows_of(host, all_rows, among, question).view(len(ALL), -1, len(among))

    joined = [
        joined_halves([read(QUESTION, tokens.select(half)) for half in way], way) for way in ways
    ]
    expected = scores_from_layers(
        read(QUESTION), read("What is this?")[None], tokens, mode, torch.stack(joined), ALL
    )
    together = host.with_attention(mode).scores_together(
        [(QUESTION, tokens), (OTHER, tokens)], again=True
    )
    torch.testing.assert_close(together[0], expected, atol=1e-5, rtol=1e-3)
    alone = host.with_attention(plain).scores(QUESTION, tokens)
    assert (together[0] - alone).abs().max() > 1e-4
    one = tokens_of(host, 1)
    torch.testing.assert_close(
        host.with_attention(mode).scores(QUESTION, one),
        host.with_attention(plain).scores(QUESTION, one),
    )


def test_a_settings_file_that_names_one_layer_means_its_raw_attention(model):
    mode = llava_host(model, focus_layer=2).attention_mode
    assert (mode.layers, mode.correction) == ((2,), "raw")
    assert llava_host(model).focus_origin == "chosen"


def test_the_embedded_model_brings_a_calibration_of_its_own_weights():
    host = load_host("embedded", "cpu")
    assert host.focus_origin == "calibrated"
    assert host.attention_mode == AttentionMode((2,), correction="raw")


def test_a_host_that_nobody_calibrated_is_read_relative_to_neutral_questions(model):
    host = llava_host(model, focus_layer=None)
    assert host.focus_origin == "default"
    assert host.attention_mode.correction == "relative"


@torch.no_grad()
def test_until_somebody_chooses_scores_are_the_attention_of_the_focus_layer(model):
    host = llava_host(model, focus_layer=None)
    tokens = tokens_of(host, 2)
    sequence = host._prompts.sequence(QUESTION, tokens)
    attentions = host.decoder(
        inputs_embeds=sequence.embedded,
        attention_mask=torch.ones(1, len(sequence), dtype=torch.long),
        output_attentions=True,
    ).attentions
    assert host._settings.focus_layer == host.focus_layer == host.attention_mode.depth
    rows = attentions[host.focus_layer][0, :, -1, sequence.visual]
    expected = (rows / rows.sum(-1, keepdim=True)).mean(0)
    torch.testing.assert_close(host.scores(QUESTION, tokens), expected, atol=1e-5, rtol=0)


def test_the_search_compares_with_neutral_questions_before_somebody_chooses(model):
    host = llava_host(model, focus_layer=None)
    tokens = tokens_of(host, 2)
    chosen = host.with_attention(host.default_attention_mode)
    for again in (False, True):
        (found,) = DirectCalls(host, None).scores(QUESTION, [tokens], again=again)
        torch.testing.assert_close(found, chosen.scores(QUESTION, tokens), atol=1e-5, rtol=0)
    assert (found - host.scores(QUESTION, tokens)).abs().max() > 1e-3


def test_what_a_decoder_sees_is_found_once_however_often_a_question_asks(model, monkeypatch):
    host = llava_host(model, focus_layer=None)
    mode = host.default_attention_mode
    monkeypatch.setattr(lvlm, "layers_that_see_all", None)
    assert isinstance(host, SupportsAttentionMode)
    assert host.with_attention(mode).default_attention_mode == mode


def test_neutral_questions_run_their_words_alone(model):
    host = llava_host(model, focus_layer=None)
    tokens, lengths = tokens_of(host, 3), []
    hook = host.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args, kwargs: lengths.append(
            tuple((args[0] if args else kwargs["hidden_states"]).shape[:2])
        ),
        with_kwargs=True,
    )
    host.scores_together([(QUESTION, tokens)])
    hook.remove()
    prefix = [shape for shape in lengths if shape[1] > len(tokens)]
    assert len(prefix) == 1, "the vision tokens run once"
    words = sum(count * length for count, length in lengths if length <= len(tokens))
    assert 0 < words < 3 * len(tokens), "eight prompts about these tokens run their words"


def test_questions_together_are_scored_as_each_alone(model):
    host = llava_host(model, focus_layer=None)
    tokens, fewer = tokens_of(host, 3), tokens_of(host, 1)
    prompts = [(QUESTION, tokens), (OTHER, fewer), (OTHER, tokens)]
    together = host.scores_together(prompts)
    for prompt, found in zip(prompts, together, strict=True):
        torch.testing.assert_close(found, host.scores_together([prompt])[0], atol=1e-5, rtol=0)
        assert found.std() > 1e-4


def test_where_no_prefix_is_shared_neutral_rows_of_a_look_are_remembered(model):
    host = llava_host(model, focus_layer=None, template="{question} {image} ?")
    assert not host.reuses_prefix
    assert len(host.attention_mode.neutral) == 1
    tokens, runs = tokens_of(host, 2), []
    hook = host.decoder.layers[0].register_forward_pre_hook(
        lambda _module, args, kwargs: runs.append(
            len(args[0] if args else kwargs["hidden_states"])
        ),
        with_kwargs=True,
    )
    first = host.scores_again(QUESTION, tokens)
    assert sum(runs) == 2, "the question, and one neutral question"
    runs.clear()
    torch.testing.assert_close(host.scores_again(QUESTION, tokens), first, atol=1e-5, rtol=0)
    assert sum(runs) == 1
    runs.clear()
    other = replace(tokens, features=tokens.features.flip(0))
    host.scores_again(QUESTION, other)
    assert sum(runs) == 2, "other tokens at the same places are another look"
    hook.remove()


def test_a_head_that_there_is_not_is_told_with_what_to_do(model):
    host = llava_host(model).with_attention(AttentionMode((1,), ((1, 99),)))
    with pytest.raises(ModelError, match="calibrate again"):
        host.scores(QUESTION, tokens_of(host))


def test_a_layer_that_there_is_not_leaves_a_host_without_attention(model):
    host = llava_host(model).with_attention(AttentionMode((7,)))
    assert not host.capabilities.attention


def calibrated(folder, digest, **more):
    """Settings with a calibration of some weights."""
    record = {"weights": digest, "questions": 40, "accuracy": 0.8, "interval": [0.7, 0.9]}
    record |= {"uncalibrated": 0.5, "best_focus": "attention"}
    settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
    settings.pop("focus_layer", None)
    settings |= {"focus": {"layers": [0, 2]}, "calibration": record | more}
    return json.dumps(settings)


@pytest.fixture
def copied(tiny_folder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for path in tiny_folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_calibration_of_these_weights_is_taken(copied):
    from geofovea.pipeline.calibration.installation import digest_of

    text = calibrated(copied, digest_of(str(copied)))
    (copied / SETTINGS_FILE).write_text(text)
    host = load_anew(copied)
    assert host.focus_origin == "calibrated"
    assert host.attention_mode == AttentionMode((0, 2))
    assert host.focus_layer == 2


def test_a_calibration_of_other_weights_is_refused(copied):
    (copied / SETTINGS_FILE).write_text(calibrated(copied, "0" * 64))
    with pytest.raises(ModelError, match="geofovea calibrate --model"):
        load_anew(copied)


@pytest.mark.parametrize(
    "damage",
    [
        {"weights": "short"},
        {"accuracy": 2},
        {"questions": 0},
        {"interval": [0.1]},
        {"best_focus": "magic"},
        {"more": 1},
    ],
)
def test_a_damaged_calibration_is_an_error_with_the_file(copied, damage):
    (copied / SETTINGS_FILE).write_text(calibrated(copied, "0" * 64, **damage))
    with pytest.raises(ModelError, match=r"geofovea\.json.*calibration.*calibrate again"):
        load_anew(copied)


def test_a_calibration_in_the_users_folder_goes_before_that_of_the_model(
    copied, tmp_path, monkeypatch
):
    from geofovea.pipeline.calibration.installation import digest_of

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    digest = digest_of(str(copied))
    (copied / SETTINGS_FILE).write_text(calibrated(copied, digest))
    own = user_calibration(digest)
    own.parent.mkdir(parents=True)
    record = json.loads(calibrated(copied, digest))
    own.write_text(json.dumps({"focus": {"layers": [1]}, "calibration": record["calibration"]}))
    assert load_anew(copied).attention_mode == AttentionMode((1,))
    own.write_text("{")
    with pytest.raises(ModelError, match="not a JSON object"):
        load_anew(copied)
