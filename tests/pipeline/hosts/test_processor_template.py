"""The prompt of a model is the one that its stock processor writes, whichever file holds it."""

import itertools
import json
import shutil

import pytest
import transformers
from chat_templates import IDEFICS, INTERN, MISTRAL, ONEVISION, QWEN, VICUNA, YI
from family_toys import QUESTION, host_of, model_of, tokenizer, variant_of
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.hosts.load import embedded_model_path, load_host
from geofovea.pipeline.hosts.pretrained import _tokenizer
from geofovea.pipeline.hosts.processor_template import processor_template
from geofovea.pipeline.hosts.settings import SETTINGS_FILE
from geofovea.pipeline.inference.prompts.markers import CHAT_ML as CHAT_ML_PROMPT
from geofovea.pipeline.inference.prompts.markers import PromptStyle
from geofovea.pipeline.inference.prompts.template import PromptTemplate

FILES = {
    "processor_config.json": json.dumps(
        {"processor_class": "LlavaProcessor", "chat_template": "of the processor"}
    ),
    "chat_template.json": json.dumps({"chat_template": "of the JSON file"}),
    "chat_template.jinja": "of the Jinja file",
    "additional_chat_templates/default.jinja": "of the folder",
    "additional_chat_templates/tool.jinja": "of the folder, for tools",
}
COMBINATIONS = [c for n in range(1, 6) for c in itertools.combinations(FILES, n)]
CHAT = [{"role": "user", "content": "Where?"}]


@pytest.fixture(scope="module")
def bare_folder(tmp_path_factory):
    """What a processor is loaded from, with a template of the tokenizer's alone."""
    folder = tmp_path_factory.mktemp("bare")
    tokenizer().save_pretrained(folder)
    transformers.CLIPImageProcessorPil().save_pretrained(folder)
    (folder / "processor_config.json").write_text('{"processor_class": "LlavaProcessor"}')
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chat_template": "of the words"}))
    return folder


def with_files(bare_folder, folder, names):
    """A folder with some of the files in which chat templates stand."""
    shutil.copytree(bare_folder, folder, dirs_exist_ok=True)
    (folder / "additional_chat_templates").mkdir()
    for name in names:
        (folder / name).write_text(FILES[name])
    return str(folder)


def stock_chat(folder):
    """What the stock processor makes of a chat; None where it refuses."""
    try:
        return transformers.AutoProcessor.from_pretrained(folder).apply_chat_template(CHAT)
    except ValueError:
        return None


# the stock processor leaves the files of the folder open
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("names", COMBINATIONS, ids="+".join)
def test_the_template_is_the_one_that_the_stock_processor_takes(tmp_path, bare_folder, names):
    folder, is_refused = with_files(bare_folder, tmp_path, names), False
    try:
        chat = _tokenizer(folder).apply_chat_template(CHAT, tokenize=False)
    except ModelError as error:
        chat, is_refused = None, "remove the folder additional_chat_templates" in str(error)
    except ValueError:
        # no template is for plain chats: the family's prompt is taken, and every answer says so
        chat = None
    assert chat == stock_chat(folder)
    has_folder = any("/" in name for name in names)
    assert is_refused == ("chat_template.json" in names and has_folder)


def test_where_no_file_is_the_processor_s_the_tokenizer_s_template_counts(tmp_path, bare_folder):
    folder = with_files(bare_folder, tmp_path, ())
    assert _tokenizer(folder).get_chat_template() == "of the words"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"default": "d", "tools": "t"}, "d"),
        ([{"name": "tools", "template": "t"}, {"name": "default", "template": "d"}], "d"),
        ({"tools": "t"}, {"tools": "t"}),
        ([{"name": "tools", "template": "t"}], {"tools": "t"}),
        (7, None),
        ("", None),
    ],
)
def test_of_several_templates_the_default_one_counts(tmp_path, value, expected):
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": value}))
    assert processor_template(str(tmp_path)) == expected


def test_a_template_that_is_no_text_is_a_model_error(tmp_path):
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelError, match="not text in UTF-8"):
        processor_template(str(tmp_path))


def test_a_model_is_asked_as_its_processor_says_and_not_as_its_tokenizer_does(tmp_path):
    model_of("llava").save_pretrained(tmp_path)
    tokenizer("{{ messages[0]['content'] }} is the color").save_pretrained(tmp_path)
    chat = "the {% for c in messages[0]['content'] %}{{ c.text or '<image>' }} {% endfor %}is"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": chat}))
    (tmp_path / SETTINGS_FILE).write_text('{"instruction": "", "focus_layer": 1}')
    ids = load_host(str(tmp_path))._prompts.words.ids(QUESTION)
    decode = tokenizer().decode
    assert (decode(ids.before), decode(ids.after)) == (
        "the",
        "<unk> is the color of the plane at the airport ? is",  # a word it does not know
    )


CHAT_ML = ("<|im_start|>", "<|im_end|>")
TURN = "<|im_start|>user\n{image}\n{q}<|im_end|>\n<|im_start|>assistant\n"
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
# of a tokenizer that came from a model of texts
TEXTS = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\n"
    "You are a helpful assistant.<|im_end|>\n{% endif %}"
    "{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SEEN = "<|vision_start|>{image}<|vision_end|>"
FAKE = "<fake_token_around_image>"
TILE = FAKE + "<global-img>{image}" + FAKE
# family, chat template, word of an image, word that begins a text, other special words, prompt
STRUCTURES = {
    "LLaVA-1.5": ("llava", VICUNA, "<image>", "<s>", (), "USER: {image}\n{q} ASSISTANT:"),
    "a line before the word that begins": (
        "llava",
        "\n{{ bos_token }}" + VICUNA,
        "<image>",
        "<s>",
        (),
        "\n<s>USER: {image}\n{q} ASSISTANT:",
    ),
    "the word that begins within": (
        "llava",
        VICUNA.replace("{{ 'ASSISTANT:' }}", "<s>ASSISTANT:"),
        "<image>",
        "<s>",
        (),
        "USER: {image}\n{q} <s>ASSISTANT:",
    ),
    "v1.6 Mistral": ("llava_next", MISTRAL, "<image>", "<s>", (), "[INST] {image}\n{q} [/INST]"),
    "v1.6 Yi-34B": (
        "llava_next",
        YI,
        "<image>",
        "<|startoftext|>",
        CHAT_ML,
        "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{image}\n{q}"
        "<|im_end|><|im_start|>assistant\n",
    ),
    "OneVision": ("llava_onevision", ONEVISION, "<image>", None, CHAT_ML, TURN),
    "Qwen2.5-VL": (
        "qwen2_5_vl",
        "{% set system = true %}" + QWEN,
        "<|image_pad|>",
        None,
        CHAT_ML,
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
        + SEEN
        + "{q}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "Qwen3-VL": (
        "qwen3_vl",
        QWEN,
        "<|image_pad|>",
        None,
        CHAT_ML,
        f"<|im_start|>user\n{SEEN}{{q}}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "Qwen2.5-VL without marks": (
        "qwen2_5_vl",
        QWEN.replace("<|vision_start|>", "").replace("<|vision_end|>", ""),
        "<|image_pad|>",
        None,
        CHAT_ML,
        "<|im_start|>user\n{image}{q}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "Qwen2.5-VL, texts alone": (
        "qwen2_5_vl",
        TEXTS,
        "<|image_pad|>",
        None,
        CHAT_ML,
        f"{SYSTEM}<|im_start|>user\n{SEEN}{{q}}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "GLM, texts alone": (
        "glm4v",
        "[gMASK]<sop>{% for m in messages %}<|user|>\n{{ m['content'] | trim }}{% endfor %}"
        "<|assistant|>\n\n",
        "<|image|>",
        None,
        (),
        "[gMASK]<sop><|user|>\n<|begin_of_image|>{image}<|end_of_image|>{q}<|assistant|>\n",
    ),
    "LLaVA on Qwen2, texts alone": ("llava", TEXTS, "<image>", None, CHAT_ML, SYSTEM + TURN),
    "InternVL, texts alone": (
        "internvl",
        TEXTS,
        "<IMG_CONTEXT>",
        None,
        CHAT_ML,
        SYSTEM + TURN.replace("{image}", "<img>{image}</img>"),
    ),
    "InternVL3": (
        "internvl",
        INTERN,
        "<IMG_CONTEXT>",
        None,
        CHAT_ML,
        TURN.replace("{image}", "<img>{image}</img>"),
    ),
    "Idefics3": (
        "idefics3",
        "{% set begin = '<|begin_of_text|>' %}" + IDEFICS,
        "<image>",
        "<|begin_of_text|>",
        ("<end_of_utterance>",),
        f"<|begin_of_text|>User:{TILE}{{q}}<end_of_utterance>\nAssistant:",
    ),
    "SmolVLM": (
        "smolvlm",
        "{% set begin = '<|im_start|>' %}" + IDEFICS,
        "<image>",
        "<|im_start|>",
        ("<end_of_utterance>",),
        f"<|im_start|>User:{TILE}{{q}}<end_of_utterance>\nAssistant:",
    ),
}


def byte_tokenizer(special, begin):
    """Letter by letter, with special words, and one that begins every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = dict.fromkeys([*filter(None, [begin]), *special])
    made = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in words])
    if begin:
        made.post_processor = processors.TemplateProcessing(
            single=f"{begin} $A", special_tokens=[(begin, made.token_to_id(begin))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, bos_token=begin)


def test_a_tokenizer_that_begins_no_text_begins_none_with_an_image():
    words = byte_tokenizer(["<image>", "<s>"], None)
    words.bos_token = "<s>"
    chat = "{% for c in messages[0].content %}{{ c.text or '<image>' }}{% endfor %}"
    words.chat_template = chat
    style = PromptStyle(FAMILIES["llava"].words, "none", len(words), 256)
    ids = PromptTemplate(words, style, None, "").ids(QUESTION)
    assert words.convert_ids_to_tokens(256) == "<image>"
    assert ids.before == []
    assert ids.after == words.encode(QUESTION, add_special_tokens=False)


def structure(name):
    """Our template, its tokenizer, its prompt around the image, and the word of an image."""
    family, chat, image, begin, more, prompt = STRUCTURES[name]
    marks = FAMILIES[family].words
    around = [marks.before, marks.open, marks.close, marks.after]
    special = [f"<{w}" for m in around for w in m.split("<") if w]
    words = byte_tokenizer([image, *special, *more], begin)
    words.chat_template = chat
    in_chats = FAMILIES[family].marks_in_chats
    usual = FAMILIES[family].template if in_chats or not more else CHAT_ML_PROMPT
    number = words.convert_tokens_to_ids(image)
    style = PromptStyle(marks, usual, len(words), number, marks_in_chats=in_chats)
    return PromptTemplate(words, style, None, "\nBe brief."), words, prompt, image


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_ids_of_a_prompt_are_those_that_its_processor_makes_of_the_literal_text(name):
    template, words, prompt, image = structure(name)
    text = prompt.replace("{q}", f"{QUESTION}\nBe brief.").replace("{image}", image)
    begin = words.bos_token
    # the stock processor adds the word that begins a text unless the template wrote it
    begins = [] if begin is None or text.startswith(begin) else [words.bos_token_id]
    ids, marks = template.ids(QUESTION), template.marks
    picture = [*marks.before, *marks.open, words.convert_tokens_to_ids(image)]
    picture += [*marks.close, *marks.after]
    expected = begins + words.encode(text, add_special_tokens=False)
    assert [*ids.before, *picture, *ids.after] == expected


@pytest.mark.parametrize("word", ["<image>", "<|im_end|>", "<img>"])
def test_a_question_cannot_write_marks_that_its_tokenizer_calls_no_special_words(word):
    words = byte_tokenizer([], "<s>")
    words.add_tokens([AddedToken(each, special=False) for each in ("<image>", "<|im_end|>")])
    words.add_tokens([AddedToken(each, special=False) for each in ("<img>", "</img>", "<b>")])
    words.chat_template = "{% for c in messages[0].content %}{{ c.text or '<image>' }}{% endfor %}"
    number = words.convert_tokens_to_ids("<image>")
    style = PromptStyle(FAMILIES["internvl"].words, "none", len(words), number)
    template = PromptTemplate(words, style, None, "")
    ids = template.ids(f"Is {word} in <b>?")
    assert ids == template.ids("Is in <b>?")
    assert word in template.omitted_words(f"Is {word} in <b>?")[0]
    # a word that stands for nothing stays
    assert words.convert_tokens_to_ids("<b>") in ids.after
    assert template.omitted_words("Is it in <b>?") == ()


FALLBACKS = [
    ("llava", "llama", (), "USER: {image}\n{question} ASSISTANT:"),
    ("llava", "mistral", (), "[INST] {image}\n{question} [/INST]"),
    ("llava", "qwen2", (), CHAT_ML_PROMPT),
    ("llava_onevision", "qwen3", (), CHAT_ML_PROMPT),
    ("llava_next", "llama", (), "USER: {image}\n{question} ASSISTANT:"),
    ("llava_next", "mistral", ("<|im_start|>",), "[INST] {image}\n{question} [/INST]"),
    (
        "llava_next",
        "llama",
        ("<|im_start|>",),
        "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\n{image}\n{question}"
        "<|im_end|><|im_start|>assistant\n",
    ),
    (
        "llava_next",
        "llama",
        ("<|start_header_id|>",),
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{image}\n{question}"
        "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    (
        "idefics3",
        "llama",
        (),
        "<|begin_of_text|>User:{image}{question}<end_of_utterance>\nAssistant:",
    ),
    (
        "idefics3",
        "llama",
        ("<|im_start|>",),
        "<|im_start|>User:{image}{question}<end_of_utterance>\nAssistant:",
    ),
]


@pytest.mark.parametrize(("family", "decoder", "words", "prompt"), FALLBACKS)
def test_without_any_chat_template_the_decoder_tells_the_prompt(family, decoder, words, prompt):
    host = variant_of(family, text={"model_type": decoder}) if decoder else host_of(family)
    assert host._family.prompt_style("compact").template_for(words) == prompt


@pytest.mark.skipif(
    not (embedded_model_path() / "config.json").exists(), reason="no embedded model here"
)
def test_the_demo_model_reads_the_word_that_it_was_trained_to_begin_with():
    host = load_host("embedded")
    tokenizer = host._prompts.words._tokenizer
    for question in ("", "Is there a harbor?"):
        assert host._prompts.words.ids(question).before == [tokenizer.bos_token_id]
