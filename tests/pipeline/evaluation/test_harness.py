"""Models for lmms-eval and VLMEvalKit keep the interfaces of their harnesses.

Where a harness is installed the test runs on it. Otherwise on its interface as it was written down
here: lmms-eval 0.7.3, VLMEvalKit of August 2026.
"""

import importlib
import importlib.util
import sys
import types
from abc import ABC, abstractmethod
from collections import namedtuple
from dataclasses import dataclass

import pytest
from PIL import Image
from repository import ROOT

from geofovea.errors import BudgetError, GeoFoveaError, ModelError, QuestionError
from geofovea.pipeline.evaluation.harness import make_answerer

SETTINGS = {"tiles": "12", "tokens": "200", "focus": "overview"}
QUESTION = "What is the color of the plane at the airport?"
Instance = namedtuple("Instance", "args")


def pinned_lmms_eval():
    """The parts of lmms-eval 0.7.3 that a model touches."""

    class lmms(ABC):  # noqa: N801
        is_simple = True

        def __init__(self):
            self._rank, self._world_size, self.task_dict = 0, 1, {}

        @classmethod
        def create_from_arg_string(cls, arg_string, additional_config=None):
            """How the command line makes a model: words that look like numbers come as such."""
            pairs = [pair.split("=", 1) for pair in arg_string.split(",")]
            words = {name: int(word) if word.isdigit() else word for name, word in pairs}
            more = {k: v for k, v in (additional_config or {}).items() if v is not None}
            return cls(**words, **more)

        @abstractmethod
        def loglikelihood(self, requests): ...

        @abstractmethod
        def generate_until(self, requests): ...

        @abstractmethod
        def generate_until_multi_round(self, requests): ...

    @dataclass(frozen=True)
    class ModelManifest:
        model_id: str
        simple_class_path: str | None = None
        chat_class_path: str | None = None
        aliases: tuple[str, ...] = ()

    names = ("lmms_eval", "lmms_eval.api", "lmms_eval.api.model", "lmms_eval.models")
    modules = {n: types.ModuleType(n) for n in (*names, "lmms_eval.models.registry_v2")}
    modules["lmms_eval.api.model"].lmms = lmms
    modules["lmms_eval.models.registry_v2"].ModelManifest = ModelManifest
    return modules


def pinned_vlmeval():
    """The base class of VLMEvalKit, which checks a message before it hands it on."""

    class BaseModel:
        INTERLEAVE = False
        allowed_types = ["text", "image"]  # noqa: RUF012

        @abstractmethod
        def generate_inner(self, message, dataset=None):
            raise NotImplementedError

        def generate(self, message, dataset=None):
            assert all(item["type"] in self.allowed_types for item in message)
            return self.generate_inner(message, dataset)

    names = ("vlmeval", "vlmeval.vlm", "vlmeval.vlm.base")
    modules = {name: types.ModuleType(name) for name in names}
    modules["vlmeval.vlm.base"].BaseModel = BaseModel
    return modules


@pytest.fixture(params=["installed", "pinned"])
def lmms_model(request, monkeypatch, tiny_folder):
    if request.param == "pinned":
        for name, module in pinned_lmms_eval().items():
            monkeypatch.setitem(sys.modules, name, module)
        monkeypatch.delitem(sys.modules, "geofovea.pipeline.evaluation.lmms_eval", raising=False)
    elif importlib.util.find_spec("lmms_eval") is None:
        pytest.skip("lmms-eval is not installed")
    home = importlib.import_module("geofovea.pipeline.evaluation.lmms_eval")
    yield home.GeoFovea(model=str(tiny_folder), batch_size=1, **SETTINGS)
    sys.modules.pop("geofovea.pipeline.evaluation.lmms_eval", None)


def request_for(model, url, text=QUESTION, newest=True):
    """A request as the chat models of lmms-eval get it."""
    model.task_dict = {"task": {"test": [{"url": url, "text": text}]}}

    def doc_to_messages(doc):
        content = [{"type": "image", "url": doc["url"]}, {"type": "text", "text": doc["text"]}]
        return [{"role": "user", "content": content}]

    arguments = (doc_to_messages, {"max_new_tokens": 8}, 0, "task", "test")
    return Instance(("the context", *arguments) if newest else arguments)


def expected(tiny_folder, path, prompt=QUESTION):
    return make_answerer(str(tiny_folder), **SETTINGS)(str(path), prompt)


@pytest.mark.parametrize("newest", [True, False], ids=["0.7", "before"])
def test_lmms_eval_gets_the_answers_of_the_one_function(
    lmms_model, tiny_folder, scene_path, newest
):
    request = request_for(lmms_model, str(scene_path), newest=newest)
    answers = lmms_model.generate_until([request, request])
    assert answers == [expected(tiny_folder, scene_path)] * 2
    assert not lmms_model.is_simple


@pytest.mark.parametrize(
    ("limit", "wanted"),
    [
        ({"tiles": "abc"}, "tiles='abc' is not a whole number"),
        ({"tokens": 2.5}, "tokens=2.5 is not a whole number"),
        ({"tokens": "2.5"}, "tokens='2.5' is not a whole number"),
        ({"seconds": "soon"}, "seconds='soon' is not a number"),
        ({"answer_tokens": "nan"}, "answer_tokens='nan' is not a whole number"),
    ],
)
def test_a_limit_that_is_no_number_is_refused_by_its_name(tiny_folder, limit, wanted):
    with pytest.raises(BudgetError, match=wanted):
        make_answerer(str(tiny_folder), **limit)


def test_lmms_eval_makes_the_model_from_a_line_of_arguments(lmms_model, tiny_folder, scene_path):
    words = f"model={tiny_folder},tiles=12,tokens=200,focus=overview,dtype=float32"
    config = {"batch_size": 1, "max_batch_size": None, "device": "cpu"}
    made = type(lmms_model).create_from_arg_string(words, config)
    assert made.generate_until([request_for(made, str(scene_path))]) == [
        expected(tiny_folder, scene_path)
    ]


def test_lmms_eval_may_hand_a_decoded_image_and_is_told_once(lmms_model, tiny_folder, make_png):
    path = make_png(300, 400)
    with Image.open(path) as image:
        request = request_for(lmms_model, image.convert("RGB"))
    with pytest.warns(UserWarning, match="name files in its doc_to_messages"):
        (answer,) = lmms_model.generate_until([request])
    assert answer == expected(tiny_folder, path)
    assert lmms_model.generate_until([request]) == [answer]


def test_lmms_eval_is_refused_what_is_not_offered(lmms_model):
    with pytest.raises(ModelError, match="no likelihoods"):
        lmms_model.loglikelihood([])
    with pytest.raises(ModelError, match="one question at a time"):
        lmms_model.generate_until_multi_round([])
    with pytest.raises(QuestionError, match="a path or a PIL image"):
        lmms_model.generate_until([request_for(lmms_model, 7)])


def test_the_manifest_names_a_class_that_is_there(lmms_model):
    manifest = importlib.import_module("geofovea.pipeline.evaluation.lmms_eval_plugin").manifest()
    home, name = manifest.chat_class_path.rsplit(".", 1)
    assert manifest.model_id == "geofovea"
    assert getattr(importlib.import_module(home), name) is type(lmms_model)


def test_lmms_eval_finds_the_manifest_by_its_entry_point():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    target = project["entry-points"]["lmms_eval.models"]["geofovea"]
    assert target == "geofovea.pipeline.evaluation.lmms_eval_plugin:manifest"


@pytest.fixture(params=["installed", "pinned"])
def kit_model(request, monkeypatch, tiny_folder):
    if request.param == "pinned":
        for name, module in pinned_vlmeval().items():
            monkeypatch.setitem(sys.modules, name, module)
    elif importlib.util.find_spec("vlmeval") is None:
        pytest.skip("VLMEvalKit is not installed")
    from geofovea.pipeline.evaluation.vlmevalkit import vlmevalkit_model

    return vlmevalkit_model()(model=str(tiny_folder), **SETTINGS)


def test_vlmevalkit_gets_the_answers_of_the_one_function(kit_model, tiny_folder, scene_path):
    message = [
        {"type": "image", "value": str(scene_path)},
        {"type": "text", "value": QUESTION},
        {"type": "text", "value": "Answer with a word."},
    ]
    answer = kit_model.generate(message, "XLRS-Bench-lite")
    assert answer == expected(tiny_folder, scene_path, f"{QUESTION}\nAnswer with a word.")


def test_vlmevalkit_is_told_that_an_image_is_needed(kit_model):
    with pytest.raises(QuestionError, match="none was given"):
        kit_model.generate([{"type": "text", "value": QUESTION}])


def test_vlmevalkit_that_is_not_installed_is_named():
    if importlib.util.find_spec("vlmeval") is not None:
        pytest.skip("VLMEvalKit is installed")
    from geofovea.pipeline.evaluation.vlmevalkit import vlmevalkit_model

    with pytest.raises(GeoFoveaError, match="VLMEvalKit is not installed: clone"):
        vlmevalkit_model()


def test_a_question_about_several_images_warns_that_it_sees_one(kit_model, scene_path):
    message = [{"type": "image", "value": str(scene_path)}] * 3
    with pytest.warns(UserWarning, match="about 3 images is asked about the first alone"):
        kit_model.generate([*message, {"type": "text", "value": QUESTION}], "XLRS-Bench-lite")


def test_lmms_eval_is_warned_of_a_second_image(lmms_model, scene_path):
    request = request_for(lmms_model, str(scene_path))
    content = [{"type": "image", "url": str(scene_path)}] * 2 + [{"type": "text", "text": QUESTION}]
    several = (lambda _: [{"role": "user", "content": content}], *request.args[2:])
    with pytest.warns(UserWarning, match="about 2 images"):
        lmms_model.generate_until([Instance(("the context", *several))])


def test_an_answer_may_be_as_long_as_the_task_allows(lmms_model, tiny_folder, scene_path, caplog):
    context, messages, _, *where = request_for(lmms_model, str(scene_path)).args
    allowed = Instance((context, messages, {"max_new_tokens": 40}, *where))
    (long,) = lmms_model.generate_until([allowed])
    assert 16 < len(long.split()) <= 40
    assert long.startswith(expected(tiny_folder, scene_path))
    # what is doubtful about an answer is told once, and what was set stays
    told = [record.message for record in caplog.records]
    assert len([line for line in told if "cut at 40 tokens" in line]) <= 1
    fixed = make_answerer(str(tiny_folder), answer_tokens="4", **SETTINGS)
    assert len(fixed(str(scene_path), QUESTION, 40).split()) <= 4
    assert any("cut at 4 tokens" in record.message for record in caplog.records)


def test_a_long_prompt_of_a_harness_is_answered(kit_model, scene_path):
    text = {"type": "text", "value": "what is the color of the plane " * 100}
    message = [{"type": "image", "value": str(scene_path)}, text]
    assert kit_model.generate(message, "XLRS-Bench-lite")
