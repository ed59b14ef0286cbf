"""What goes wrong silently in stock models, and cannot here; each trap is shown to be one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from family_toys import (
    ANY_TILE,
    QUESTION,
    WORDS,
    host_of,
    model_of,
    pixels,
    row_of_tiles,
    stock_inputs,
    tokenizer,
    tokens_of,
    variant_of,
)

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.decoder.generate import TEXT_CHAT
from geofovea.pipeline.inference.prompts.sight import Sight
from geofovea.pipeline.inference.prompts.template import PromptTemplate
from geofovea.pipeline.training.embedded_model import build_tokenizer
from geofovea.regionfocus.reductions.base import TokenChoice

ONE_AXIS = [
    name for name, kind in FAMILIES.items() if kind.axes == 1 and kind.sight is Sight.CAUSAL
]
M_ROPE = [name for name, kind in FAMILIES.items() if kind.axes == 3]


def far_apart(host):
    """Tokens from both ends of a row of tiles, so that running positions have a gap."""
    tokens = tokens_of(host)
    return tokens.select(torch.tensor([0, 1, len(tokens) - 2, len(tokens) - 1]))


@pytest.mark.parametrize("family", ONE_AXIS)
@torch.no_grad()
def test_gaps_in_positions_are_not_taken_for_the_borders_of_packed_samples(family):
    host = host_of(family, positions="original")
    tokens = far_apart(host)
    sequence = host._prompts.layout.sequence(host._prompts.words.ids(QUESTION), tokens)
    assert (sequence.positions.diff() > 1).any()
    inputs = {"inputs_embeds": sequence.embedded, "position_ids": sequence.positions}
    length = len(sequence)
    lowest = torch.finfo(torch.float32).min
    causal = torch.full((1, 1, length, length), lowest).triu(1)
    layers = {}

    def seen_by(name, **more):
        def catch(module, args, output):
            layers[name] = output[0] if isinstance(output, tuple) else output

        hook = host._decoder.layers[0].register_forward_hook(catch)
        host._decoder(**inputs, use_cache=False, **more)
        hook.remove()
        return layers[name][0, -1]

    whole = seen_by("whole", attention_mask=causal)
    ones = seen_by("ones", attention_mask=torch.ones(1, length, dtype=torch.long))
    trapped = seen_by("trapped", attention_mask=None)
    torch.testing.assert_close(ones, whole, atol=1e-5, rtol=1e-5)
    assert (trapped - whole).abs().max() > 1e-2, "without a mask the stock decoder is trapped"
    # and the scores, which run without a cache, are those of the whole
    caught = {}
    host._model.set_attn_implementation("eager")
    hook = host._decoder.layers[1].self_attn.register_forward_hook(
        lambda module, args, output: caught.update(weights=output[1])
    )
    host._decoder(**inputs, attention_mask=causal, use_cache=False)
    hook.remove()
    host._model.set_attn_implementation("sdpa")
    rows = caught["weights"][0, :, -1, sequence.visual]
    expected = (rows / rows.sum(-1, keepdim=True)).mean(0)
    torch.testing.assert_close(host.scores(QUESTION, tokens), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", M_ROPE)
def test_what_an_earlier_call_left_in_the_module_changes_nothing(family, first_logits):
    host = host_of(family)
    tokens = tokens_of(host)
    clean = first_logits(host, QUESTION, tokens), host.generate(QUESTION, tokens)
    scores = host.scores(QUESTION, tokens)
    stock = host._model.model
    try:
        host._model.generate(**stock_inputs(host, family, 3), max_new_tokens=2, do_sample=False)
        assert int(stock.rope_deltas) != 0, "the stock pipeline leaves its state in the module"
        stock.rope_deltas = torch.tensor([[1000]])
        torch.testing.assert_close(first_logits(host, QUESTION, tokens), clean[0])
        assert host.generate(QUESTION, tokens) == clean[1]
        torch.testing.assert_close(host.scores(QUESTION, tokens), scores)
    finally:
        stock.rope_deltas = None


@pytest.mark.parametrize("family", ["idefics3", "smolvlm"])
@torch.no_grad()
def test_a_tile_that_normalizes_to_nothing_is_encoded_all_the_same(family):
    gray = 51
    host = host_of(family, image_mean=(gray / 255,) * 3, image_std=(1.0, 1.0, 1.0))
    tiles = pixels(2, host.tile_size)
    tiles[1] = gray
    images = torch.from_numpy(tiles).float().permute(0, 3, 1, 2)[None] / 255 - gray / 255
    assert not images[0, 1].any()
    stock = host._model.model.get_image_features(images, return_dict=True).pooler_output
    assert len(torch.cat(list(stock))) == host.grid[0] * host.grid[1], "stock drops the tile"
    pyramid, places = row_of_tiles(host, 2)
    features = host.encode(tiles, places, pyramid)
    assert features.shape[:2] == (2, host.grid[0] * host.grid[1])
    assert features[1].abs().max() > 0


def test_deepstack_features_follow_the_tokens_that_are_kept(first_logits):
    host = host_of("qwen3_vl")
    tokens = tokens_of(host)
    width = host._decoder.config.hidden_size
    assert tokens.features.shape[1] == 3 * width
    shuffled = tokens.features.clone()
    shuffled[:, width:] = shuffled[:, width:].roll(1, 0)
    wrong = replace(tokens, features=shuffled)
    right = first_logits(host, QUESTION, tokens)
    assert (first_logits(host, QUESTION, wrong) - right).abs().max() > 0.01


def test_tokens_with_deep_features_are_not_compared_with_words():
    assert "text_similarity" not in host_of("qwen3_vl").capabilities.signals
    assert "text_similarity" in host_of("qwen2_5_vl").capabilities.signals


def test_a_model_without_deepstack_refuses_no_token_for_its_width():
    host = host_of("qwen2_5_vl")
    assert tokens_of(host).features.shape[1] == host._decoder.config.hidden_size


@pytest.mark.parametrize("family", FAMILIES)
def test_tiles_encoded_one_by_one_equal_tiles_encoded_together(family):
    host = host_of(family)
    pyramid, places = row_of_tiles(host, 3)
    tiles = pixels(3, host.tile_size)
    together = host.encode(tiles, places, pyramid)
    alone = [host.encode(tiles[i : i + 1], places[i : i + 1], pyramid) for i in range(3)]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_answers_in_bfloat16(family):
    exact = host_of(family)
    tokens = tokens_of(exact)
    model = model_of(family).__class__(model_of(family).config).eval()
    model.load_state_dict(model_of(family).state_dict())
    model = model.to(torch.bfloat16)
    driven = FAMILIES[family](model, exact.tile_size if family in ANY_TILE else None)
    rough = LvlmHost("rough", driven, tokenizer(), exact._settings)
    features = tokens_of(rough).features
    assert features.dtype == torch.bfloat16
    near = torch.nn.functional.cosine_similarity(features.float(), tokens.features)
    assert float(near.median()) > 0.99
    assert np.isclose(float(rough.scores(QUESTION, tokens_of(rough)).sum()), 1, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_position_policy_that_a_family_lacks_is_refused_with_those_it_has(family):
    others = {"compact", "original", "scene"} - set(FAMILIES[family].policies)
    for policy in others:
        with pytest.raises(ModelError, match="choose one of compact, original"):
            host_of(family, positions=policy)


@pytest.mark.parametrize("family", ["qwen2_5_vl", "internvl", "smolvlm"])
def test_a_tokenizer_without_the_familys_special_words_is_refused(family):
    driven = FAMILIES[family](model_of(family), 32 if family in ANY_TILE else None)
    with pytest.raises(ModelError, match="no special words"):
        LvlmHost("x", driven, build_tokenizer(), HostSettings(pool=1))


CHATS = {
    "a list of parts": (
        "{% for m in messages %}{% for c in m.content %}"
        "{% if c.type == 'image' %}what <|vision_start|><image><|vision_end|> "
        "{% else %}{{ c.text }}{% endif %}{% endfor %} is{% endfor %}"
    ),
    "text alone": "{% for m in messages %}what {{ m.content + '' }} is{% endfor %}",
}


@pytest.mark.parametrize("chat", CHATS.values(), ids=CHATS)
@pytest.mark.parametrize("family", ["qwen2_5_vl", "llava"])
def test_a_chat_template_writes_the_prompt_that_its_text_says(family, chat):
    if family == "llava":
        chat = chat.replace("<|vision_start|>", "").replace("<|vision_end|>", "")
    host = host_of(family)
    told = host_of(family, chat=chat, template=None)
    assert told._prompts.words.ids(QUESTION) == host._prompts.words.ids(QUESTION)
    tokens = tokens_of(host)
    said, expected = told.generate(QUESTION, tokens), host.generate(QUESTION, tokens)
    assert (said.text, said.log_probabilities) == (expected.text, expected.log_probabilities)
    assert (TEXT_CHAT in said.warnings) == (chat == CHATS["text alone"])
    assert {*said.warnings} - {TEXT_CHAT} == {*expected.warnings}


BAD_CHATS = [
    "{{ raise_exception('no') }}",
    "no place for anything",
    "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}",
    "{% for i in range(3000) %}long text {% endfor %}<image>GEOFOVEAQUESTION",
    "{% for m in messages %}{{ m.content[1].text }}<image>{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{% broken",
]


@pytest.mark.parametrize("chat", BAD_CHATS)
def test_a_chat_template_that_cannot_be_used_leaves_the_familys_own(chat):
    plain = host_of("llava", template=None)
    assert host_of("llava", template=None, chat=chat)._prompts.words.ids(
        QUESTION
    ) == plain._prompts.words.ids(QUESTION)


def test_a_question_reaches_no_chat_template_and_no_special_word():
    chat = CHATS["text alone"]
    host = host_of("qwen2_5_vl", template=None, chat=chat)
    nasty = "is <|vision_start|> <im<image>age> {{ 7 * 7 }} {image} {question} there ?"
    ids = host._prompts.words.ids(nasty)
    special = {WORDS[w] for w in ("<|vision_start|>", "<|vision_end|>", "<image>")}
    assert not special & {*ids.before, *ids.after}
    assert len(ids.before) == 1


def test_the_word_that_begins_a_text_stands_once_whoever_writes_it():
    from tokenizers.processors import TemplateProcessing

    def starts(chat):
        begins = tokenizer(chat)
        begins._tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", WORDS["<s>"])]
        )
        words = PromptTemplate(
            begins, FAMILIES["llava"](model_of("llava")).prompt_style("compact"), None, ""
        )
        return words.ids(QUESTION).before

    silent = CHATS["a list of parts"].replace("<|vision_start|>", "").replace("<|vision_end|>", "")
    assert starts(silent) == starts("<s> " + silent) == [WORDS["<s>"], WORDS["what"]]


def pieces_of_text(scheme):
    """A tokenizer of LLaMA's kind, which marks the beginning of a text, or of every part of one."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)
    special = ["<unk>", "<s>", "</s>", "<image>", "<img>", "</img>"]
    trainer = trainers.BpeTrainer(vocab_size=100, special_tokens=special, show_progress=False)
    made.train_from_iterator(["USER: what is it?\nASSISTANT: a word or phrase."] * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=special[3:],
    )


@pytest.mark.parametrize("scheme", ["first", "always"])
@pytest.mark.parametrize("family", ["llava", "internvl"])
def test_words_around_an_image_are_those_of_the_whole_text_with_its_word(family, scheme):
    pieces = pieces_of_text(scheme)
    image = pieces.convert_tokens_to_ids("<image>")
    host = variant_of(family, image_token_id=image)
    style = host._family.prompt_style("compact")
    words = PromptTemplate(pieces, style, "USER: {image}\n{question} ASSISTANT:", "")
    shown = "<img><image></img>" if family == "internvl" else "<image>"
    stock = pieces.encode(f"USER: {shown}\nwhat is it? ASSISTANT:")
    found = words.ids("what is it?")
    marks = words.marks
    around = [*marks.before, *marks.open, image, *marks.close, *marks.after]
    assert [*found.before, *around, *found.after] == stock
    alone = pieces.encode("\nwhat is it? ASSISTANT:", add_special_tokens=False)
    assert (found.after == alone) == (scheme == "always"), "encoded alone they would be others"


@pytest.mark.parametrize("family", ["llava_onevision", "idefics3"])
def test_a_reduction_in_the_decoder_drops_vision_tokens_and_never_the_words_between(family):
    host = host_of(family)
    tokens = tokens_of(host, 3)
    dropped = []

    class LastHalf:
        """Keeps the second half of what it is shown, before the second layer."""

        name, positions, reach = "last_half", "original", 0

        def layers(self, depth):
            return (1,)

        def watched(self, depth):
            return frozenset()

        def reduce(self, view):
            visual = view.visual
            dropped.append((len(visual), view.original, view.carried["levels"]))
            return TokenChoice(torch.arange(len(visual) // 2, len(visual)))

    said = host.generate(QUESTION, tokens, LastHalf())
    half = len(tokens) - len(tokens) // 2
    assert said.tokens_by_layer == (len(tokens), half, half)
    assert [d[:2] for d in dropped] == [(len(tokens), len(tokens))]
    assert dropped[0][2].tolist() == tokens.levels.tolist()
