"""Parts beside a frozen model: trained, resumed, written, read by a host, refused by another."""

import json
import math
import shutil
from dataclasses import replace
from functools import partial

import pytest
import torch
from click.testing import CliRunner
from part_toys import rewrite_part
from pipeline_toys import QUESTION, lively_student, llava_host, load_anew, random_llava
from safetensors.torch import load_file, save_file
from training_toys import PLAN

import geofovea as gf
from geofovea.errors import DataError, ModelError, OutputError, TrainingError
from geofovea.pipeline.cli import main
from geofovea.pipeline.engine.memory_options import MemoryOptions
from geofovea.pipeline.hosts.learned import part_files
from geofovea.pipeline.hosts.learned.card import PART_FILES, kind_of
from geofovea.pipeline.hosts.learned.part_files import install_part, read_cards
from geofovea.pipeline.hosts.learned.trained_parts import layer_method, resampling
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.plan import plan_answer
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.training.export import write_model
from geofovea.pipeline.training.losses import answer_position, check_finite
from geofovea.pipeline.training.parts import lessons as lesson_files
from geofovea.pipeline.training.parts import train_part as training
from geofovea.pipeline.training.parts.exits import ExitPart
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import LessonStore
from geofovea.pipeline.training.parts.recipe import PART_NAMES, PartRecipe, default_recipe
from geofovea.pipeline.training.parts.train_part import part_log, train_part
from geofovea.pipeline.training.parts.written_part import write_part
from geofovea.tiling.opening import open_scene

SPEC = replace(PLAN, dropped=0.0, alone=0.3)


def recipe(method, steps=3):
    return replace(default_recipe(method, steps=steps), shards=1, lessons=2, rank=4, warmup=1)


@pytest.fixture(autouse=True, scope="module")
def small_shards():
    """Two lessons a shard, one shard held out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson_files, "LESSONS_A_SHARD", 2)
        patch.setattr(training, "_HELD_OUT_SHARDS", 1)
        patch.setattr(training, "_LOG_EVERY", 1)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of the embedded kind."""
    path = tmp_path_factory.mktemp("model")
    write_model(lively_student(), path)
    return path


@pytest.fixture(scope="module")
def host(folder):
    return load_anew(folder)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Lessons that all parts share."""
    return tmp_path_factory.mktemp("lessons")


@pytest.fixture(scope="module")
def trained(folder, host, store, tmp_path_factory):
    """``trained(method)``: the run of a part, written beside the model."""
    runs = {}

    def run(method):
        if method not in runs:
            runs[method] = tmp_path_factory.mktemp(method)
            how = {"lessons": store, "spec": SPEC}
            list(train_part(FrozenModel(host, folder), recipe(method), runs[method], **how))
            write_part(runs[method], recipe(method), host, folder)
        return runs[method]

    return run


def test_the_teacher_answers_as_the_host_does(host, folder, store):
    model = FrozenModel(host, folder)
    lessons = LessonStore(store, model, 0, SPEC).shard(0)
    assert lessons.visible.any(1).all()
    whole = LessonStore(store, model, 0, SPEC).shard(0)
    assert torch.equal(whole.teacher, lessons.teacher)
    words, last = lessons.words[0, 0], int(answer_position(lessons.targets)[0, 0])
    seen = lessons.vision[0, lessons.visible[0]].float()
    start = host.decoder.embed_tokens(torch.tensor([host.decoder.config.bos_token_id]))
    prompt = torch.cat([start, seen, host.decoder.embed_tokens(words[: last + 1])])
    with torch.no_grad():
        state = host.decoder(inputs_embeds=prompt[None]).last_hidden_state[0, -1]
        stock = state @ host.decoder.embed_tokens.weight.T
    torch.testing.assert_close(lessons.teacher[0, 0, 0].float(), stock, rtol=2e-2, atol=2e-2)


def test_lessons_of_another_model_are_not_taken_for_its_own(folder, host, tmp_path, monkeypatch):
    def files_after(model):
        LessonStore(tmp_path / "lessons", model, 0, SPEC).shard(0)
        return len(list((tmp_path / "lessons").iterdir()))

    model = FrozenModel(host, folder)
    assert [files_after(model) for _ in range(2)] == [1, 1]
    student = lively_student()
    student.scene_position.weight.data.mul_(2)
    write_model(student, tmp_path / "moved")
    assert files_after(FrozenModel(load_anew(tmp_path / "moved"), tmp_path / "moved")) == 2
    words = lesson_files.vocabulary()
    monkeypatch.setattr(lesson_files, "vocabulary", lambda: [*words[:-2], words[-1], words[-2]])
    assert files_after(model) == 3


def test_exits_are_not_measured_on_a_single_question(host, folder, store):
    model = FrozenModel(host, folder)
    lessons = LessonStore(store, model, 0, SPEC).shard(0)
    # a question of each lesson
    answered = torch.zeros_like(lessons.answered)
    answered[:, 0] = True
    lessons = replace(lessons, answered=answered)
    part = ExitPart(model, recipe("dyvte"))
    with pytest.raises(DataError, match="at least 2 answered questions; got 1"):
        part.measure(lessons.at(torch.tensor([0])))
    figures = part.measure(lessons.at(torch.tensor([0, 1])))
    assert all(math.isfinite(value) for value in figures.values())


@pytest.mark.parametrize("method", PART_NAMES)
def test_a_part_is_trained_logged_and_described(trained, method):
    run = trained(method)
    records = part_log(run).read()
    steps = [r for r in records if "held_out" not in r]
    assert [r["step"] for r in steps] == [1, 2, 3]
    assert all(math.isfinite(r["loss"]) for r in steps)
    assert [r["step"] for r in records if "held_out" in r] == [0, 3]
    card = next(iter(read_cards(run / "model").values()))
    assert (card.method, card.steps) == (method, 3)
    assert card.held_out == records[-1]["held_out"]
    assert len(records[-1]["held_out"]) >= 2


def test_a_run_that_was_stopped_ends_as_one_that_was_not(host, folder, store, trained, tmp_path):
    how = {"lessons": store, "spec": SPEC}
    model, uninterrupted = FrozenModel(host, folder), trained("mqt")
    for steps in (1, 2):
        records = list(train_part(model, recipe("mqt"), tmp_path, stop_after=0, **how))
        assert [record["step"] for record in records][-2:] == [steps, steps]
    list(train_part(model, recipe("mqt"), tmp_path, **how))
    once, again = (load_file(f / "part_state.safetensors") for f in (uninterrupted, tmp_path))
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)


@pytest.mark.parametrize("method", PART_NAMES)
def test_a_run_that_was_killed_between_two_states_ends_as_one_that_was_not(
    host, folder, store, trained, tmp_path, method
):
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    records = train_part(model, recipe(method), tmp_path, save_every=0, **how)
    next(record for record in records if record.get("step") == 2 and "held_out" not in record)
    records.close()
    state = load_file(tmp_path / "part_state.safetensors")
    assert int(state["step"]) == 1
    list(train_part(model, recipe(method), tmp_path, **how))
    runs = (trained(method), tmp_path)
    once, again = (load_file(run / "part_state.safetensors") for run in runs)
    assert once.keys() == again.keys()
    assert all(torch.equal(once[name], again[name]) for name in once)
    logs = [[r | {"seconds": 0} for r in part_log(run).read()] for run in runs]
    assert logs[0] == logs[1]


def test_a_line_of_the_log_has_the_means_of_its_steps_also_where_a_run_was_killed_among_them(
    host, folder, store, trained, tmp_path, monkeypatch
):
    alone = [r for r in part_log(trained("m3")).read() if "held_out" not in r]
    monkeypatch.setattr(training, "_LOG_EVERY", 3)
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    calls = []

    def killed_at_the_third(*given):
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return check_finite(*given)

    monkeypatch.setattr(training, "check_finite", killed_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        list(train_part(model, recipe("m3"), tmp_path, save_every=0, **how))
    list(train_part(model, recipe("m3"), tmp_path, **how))
    (line,) = (r for r in part_log(tmp_path).read() if "held_out" not in r)
    assert line["step"] == 3
    for name in ("loss", "answer", "teacher"):
        assert line[name] == pytest.approx(sum(r[name] for r in alone) / 3, abs=2e-4)


def test_a_loss_that_is_no_number_ends_a_run_and_leaves_the_state_before(
    host, folder, store, tmp_path
):
    """The learning rate is one that throws any weights out of range."""
    wild = replace(recipe("m3", steps=6), learning_rate=1e30, decoder_rate=1e30, warmup=0)
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    with pytest.raises(TrainingError, match=r"loss of step \d is (nan|inf); .* --seed"):
        list(train_part(model, wild, tmp_path, save_every=0, **how))
    assert 1 <= training.trained_tensors(tmp_path)[2] < 6


def test_time_that_is_over_among_the_lessons_ends_the_run_which_goes_on_with_the_next(
    folder, tmp_path
):
    words = ["train", "--with", "m3", "--from", folder, "--scale", "0.0001", "--minutes", "0"]
    words += ["--batch", "1", "--output", tmp_path]
    first, second = (CliRunner().invoke(main, [*map(str, words)]) for _ in range(2))
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert json.loads(first.stderr) == {"shards_of_lessons": 1, "of": 2}
    assert "nothing is trained yet" in first.stdout
    assert json.loads(second.stderr.splitlines()[0]) == {"shards_of_lessons": 2, "of": 2}
    assert "m3 after 1 steps" in second.stdout
    assert len(list((tmp_path / "lessons").iterdir())) == 2


def test_a_run_that_was_killed_before_its_first_state_begins_its_log_again(
    host, folder, store, tmp_path
):
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    records = train_part(model, recipe("m3"), tmp_path, **how)
    next(record for record in records if "held_out" in record)
    # as the death of a process does
    records.close()
    list(train_part(model, recipe("m3", steps=1), tmp_path, **how))
    assert [record["step"] for record in part_log(tmp_path).read()] == [0, 1, 1]


@pytest.mark.parametrize(
    ("name", "content"),
    [("part_state.json", b"{"), ("part_state.json", b"[]"), ("part_state.safetensors", b"half")],
    ids=str,
)
def test_a_damaged_state_says_how_to_begin_again(
    host, folder, store, trained, tmp_path, name, content
):
    shutil.copytree(trained("m3"), tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    with pytest.raises(DataError, match=r"damaged .* remove part_state.json"):
        next(train_part(model, recipe("m3"), tmp_path / "run", **how))
    with pytest.raises(DataError, match=r"damaged .* remove part_state.json"):
        write_part(tmp_path / "run", recipe("m3"), host, folder)


def test_a_second_training_in_a_folder_is_refused_while_the_first_is_running(
    host, folder, store, tmp_path
):
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    first = train_part(model, recipe("m3"), tmp_path, **how)
    next(first)
    # before the first state only the lock tells that this one is another
    with pytest.raises(OutputError, match=r"another training is running in .* another folder"):
        next(train_part(model, recipe("mqt"), tmp_path, **how))
    list(first)
    assert training.trained_tensors(tmp_path)[2] == 3


def test_another_recipe_does_not_go_on_with_a_run(host, folder, store, trained):
    for other in (replace(recipe("mqt"), seed=9), replace(recipe("mqt"), worlds=(2,))):
        run = trained("mqt")
        records = train_part(FrozenModel(host, folder), other, run, lessons=store, spec=SPEC)
        with pytest.raises(DataError, match="another recipe"):
            next(records)


@pytest.mark.parametrize("named", [{}, {"world": 1}], ids=["no version", "one version"])
def test_a_state_of_an_earlier_release_is_of_the_world_that_it_names_or_of_the_first(
    host, folder, store, trained, tmp_path, named
):
    shutil.copytree(trained("m3"), tmp_path / "run")
    path = tmp_path / "run" / "part_state.json"
    progress = json.loads(path.read_text())
    assert progress.pop("worlds") == [1]
    path.write_text(json.dumps(progress | named))
    model, how = FrozenModel(host, folder), {"lessons": store, "spec": SPEC}
    records = list(train_part(model, recipe("m3", steps=4), tmp_path / "run", **how))
    assert records[0]["step"] == 4


@pytest.mark.parametrize("method", ["m3", "tokenflex", "mqt", "quecc"])
def test_a_resampler_answers_with_fewer_tokens_and_with_all_as_the_model_does(
    trained, scene_path, method
):
    session = SceneSession(open_scene(scene_path), load_anew(trained(method) / "model"))
    plain = session.ask(QUESTION)
    few = session.ask(QUESTION, resampler=f"{method}:1")
    assert few.text
    assert 1 <= few.cost.tokens_llm <= plain.cost.tokens_llm / 4
    assert few.cost.reductions[-1].name == method
    assert few.cost.flops.full.prefill < plain.cost.flops.full.prefill
    tight = session.ask(QUESTION, resampler=method, budget=gf.Budget(tiles=6, tokens=7))
    assert 1 <= tight.cost.tokens_llm <= 7
    whole = session.ask(QUESTION, resampler=method, budget=gf.Budget(tiles=6, tokens=4000))
    stock = session.ask(QUESTION, budget=gf.Budget(tiles=6, tokens=4000))
    assert (whole.text, whole.confidence) == (stock.text, stock.confidence)


def test_trained_exits_and_projectors_plan_layers(trained, scene_path):
    for name in ("dyvte", "saisa", "atp", "deepstack"):
        session = SceneSession(open_scene(scene_path), load_anew(trained(name) / "model"))
        answer = session.ask(QUESTION, skip=name)
        depth = len(session.host.decoder.layers)
        most = 0 if name == "saisa" else depth * answer.cost.tokens_llm
        assert answer.cost.vision_layers <= most
        assert answer.text


def test_trained_maps_come_with_the_decoder_that_reads_them(trained, scene_path):
    host = load_anew(trained("deepstack") / "model")
    options = [AnswerOptions(skip=how) for how in ("deepstack", "deepstack:0", None)]
    plans = [plan_answer(host, AskRequest(QUESTION, options=each)) for each in options]
    own, plain, none = plans
    assert own.skip.maps is not None
    assert own.decoder is not host.decoder
    assert (plain.skip.maps, plain.decoder) == (None, None)
    assert (none.skip, none.decoder) == (None, None)
    session = SceneSession(open_scene(scene_path), host)
    requests = [AskRequest(QUESTION, options=each) for each in options]
    for request, answer in zip(requests, session.ask_many(requests), strict=True):
        alone = session.ask(QUESTION, skip=request.options.skip)
        assert (answer.text, answer.cost.tokens_llm) == (alone.text, alone.cost.tokens_llm)
        assert answer.confidence == pytest.approx(alone.confidence, rel=1e-4)
        assert bool(answer.cost.tokens_beside) == (request.options.skip is not None)


def test_a_batch_answers_with_the_decoder_of_each_question(trained, scene_path):
    session = SceneSession(open_scene(scene_path), load_anew(trained("mqt") / "model"))
    requests = [
        AskRequest(QUESTION, options=AnswerOptions(resampler=how))
        for how in (None, "mqt:1", "mqt:2", None)
    ]
    together = session.ask_many(requests)
    for request, answer in zip(requests, together, strict=True):
        alone = session.ask(QUESTION, resampler=request.options.resampler)
        assert (answer.text, answer.cost.tokens_llm) == (alone.text, alone.cost.tokens_llm)
        assert answer.confidence == pytest.approx(alone.confidence, rel=1e-4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"resampler": "mqt"}, "carries the resampler 'm3', not 'mqt'"),
        ({"resampler": "m3:99"}, "'m3:99' limits nothing: .* write a smaller number, or m3 for"),
        ({"resampler": "none"}, "choose one of m3, tokenflex, mqt, quecc"),
        ({"resampler": "m3", "reduction": "divprune"}, "leave out one of them"),
        ({"resampler": "none", "reduction": "divprune"}, "unknown resampler"),
        ({"resampler": "m3", "skip": "ima"}, "has another; leave out one of them"),
        ({"skip": "saisa"}, "carries no projectors"),
        ({"skip": "atp"}, "carries no threshold heads .* geofovea train --with atp --output RUN"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(trained, scene_path, how, message):
    session = SceneSession(open_scene(scene_path), load_anew(trained("m3") / "model"))
    with pytest.raises(ModelError, match=message):
        session.ask(QUESTION, **how)


def test_a_scene_memory_takes_no_resampled_tokens(trained, scene_path):
    scene, host = open_scene(scene_path), load_anew(trained("m3") / "model")
    session = SceneSession(scene, host, memory=MemoryOptions())
    with pytest.raises(ModelError, match="leave out memory= or resampler="):
        session.ask(QUESTION, resampler="m3:1")


def test_a_host_without_a_part_says_how_to_make_one(make_session):
    with pytest.raises(ModelError, match="geofovea train --with m3 --output RUN"):
        make_session().ask(QUESTION, resampler="m3:4")


def test_a_part_is_refused_by_other_weights_and_where_it_is_damaged(trained, scene_path, tmp_path):
    model = trained("m3") / "model"
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    name = next(k for k in weights if k.endswith("layers.0.self_attn.q_proj.weight"))
    save_file(weights | {name: weights[name] * 2}, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match="was trained beside weights"):
        SceneSession(open_scene(scene_path), load_anew(tmp_path)).ask(QUESTION, resampler="m3")
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    (tmp_path / "resampler.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match="does not hold the part"):
        SceneSession(open_scene(scene_path), load_anew(tmp_path)).ask(QUESTION, resampler="m3")


def card_with(settings):
    """Changes what geofovea.json says of the only part of a model."""

    def change(folder):
        path = folder / "geofovea.json"
        record = json.loads(path.read_text())
        (card,) = record["parts"].values()
        card["settings"] |= settings
        path.write_text(json.dumps(record))

    return change


def weights_with(file, change):
    """Changes the tensors of a part, and what geofovea.json says of its file."""

    def write(folder):
        rewrite_part(folder, file, change(load_file(folder / file)))

    return write


METHODS = ("m3", "tokenflex", "mqt", "quecc", "dyvte", "saisa", "atp", "deepstack", "dual_encoder")


def use_of(host, method):
    """The part of a method, read."""
    if method == "dual_encoder":
        return host.parts.shared_space(host)
    return (resampling if kind_of(method) == "resampler" else layer_method)(host, method)


@pytest.mark.parametrize("method", METHODS)
def test_a_part_whose_file_was_changed_or_swapped_or_is_not_finite_is_refused(
    trained, tmp_path, method
):
    run = trained(method) / "model"
    shutil.copytree(run, tmp_path / "model")
    path = tmp_path / "model" / PART_FILES[kind_of(method)]
    whole = path.read_bytes()
    assert use_of(load_anew(tmp_path / "model"), method) is not None
    # the lowest bit of the last number, which no shape shows
    path.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1, whole[-1]]))
    with pytest.raises(ModelError, match=r"is not the file that .* train it again"):
        use_of(load_anew(tmp_path / "model"), method)
    for cut in (0, 7, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ModelError, match="does not hold the part"):
            use_of(load_anew(tmp_path / "model"), method)
    path.unlink()
    with pytest.raises(ModelError, match="does not hold the part"):
        use_of(load_anew(tmp_path / "model"), method)
    path.write_bytes(whole)
    name = max(load_file(path))
    weights_with(path.name, lambda t: t | {name: t[name] * math.nan})(tmp_path / "model")
    with pytest.raises(ModelError, match="not finite"):
        use_of(load_anew(tmp_path / "model"), method)


@pytest.mark.parametrize(
    ("method", "change"),
    [
        # made as it says, it would take a terabyte
        ("mqt", card_with({"queries": 10**10})),
        ("mqt", card_with({"heads": 0})),
        ("quecc", card_with({"width": "wide"})),
        ("dyvte", card_with({"threshold": []})),
        ("dyvte", card_with({"start": float("inf")})),
        ("dyvte", weights_with("exits.safetensors", lambda t: {k: v[:1] for k, v in t.items()})),
        (
            "dyvte",
            weights_with(
                "exits.safetensors",
                lambda t: {k: v[:, :-1] if "first" in k else v for k, v in t.items()},
            ),
        ),
        ("saisa", weights_with("saisa.safetensors", lambda t: t | {"0.third": t["0.skip"]})),
        (
            "saisa",
            weights_with("saisa.safetensors", lambda t: {k: t[k] for k in t if k[0] == "0"}),
        ),
        ("saisa", weights_with("saisa.safetensors", lambda t: {k: v[:3] for k, v in t.items()})),
        ("atp", weights_with("thresholds.safetensors", lambda t: {k: t[k] for k in t if "0" in k})),
        ("atp", weights_with("thresholds.safetensors", lambda t: {k: v[:3] for k, v in t.items()})),
        ("deepstack", weights_with("stack.safetensors", lambda t: t | {"maps": t["maps"][:, :3]})),
        ("deepstack", weights_with("stack.safetensors", lambda t: t | {"maps": t["maps"][:3]})),
    ],
)
def test_a_part_that_does_not_fit_its_host_is_refused_before_a_question(
    trained, tmp_path, method, change
):
    shutil.copytree(trained(method) / "model", tmp_path / "model")
    host = load_anew(tmp_path / "model")
    chooses = resampling if method in ("mqt", "quecc") else layer_method
    use = partial(chooses, text=method)
    assert use(host) is not None
    change(tmp_path / "model")
    with pytest.raises(ModelError, match=r"train them again|has no settings|hidden, 2d"):
        use(load_anew(tmp_path / "model"))


def test_a_model_that_cannot_be_copied_whole_leaves_the_one_before(trained, tmp_path, monkeypatch):
    run = trained("m3") / "model"
    shutil.copytree(run, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()}
    (card,) = read_cards(run).values()

    def half(source, target):
        target.write_bytes(source.read_bytes()[:9])
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(part_files.shutil, "copyfile", half)
    with pytest.raises(OutputError, match="no space left"):
        install_part(run, tmp_path / "model", card, {})
    assert {path.name: path.read_bytes() for path in (tmp_path / "model").iterdir()} == before
    with pytest.raises(ModelError, match="cannot be copied"):
        install_part(tmp_path / "nothing", tmp_path / "model", card, {})


@pytest.mark.parametrize(
    "entry", [[], {"unknown": {}}, {"exits": {"method": "mqt"}}, {"resampler": 3}], ids=str
)
def test_settings_that_speak_of_no_part_are_refused(folder, tmp_path, entry):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "geofovea.json").read_text()) | {"parts": entry}
    (tmp_path / "geofovea.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="part"):
        load_anew(tmp_path)


def test_a_model_of_another_kind_is_refused(folder, tmp_path):
    other = llava_host(random_llava())
    for place, message in ((folder, "synthetic world"), (tmp_path, "geofovea train made")):
        with pytest.raises(ModelError, match=message):
            FrozenModel(other, place)


def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="choose m3"):
        PartRecipe("perceiver")


def test_the_command_writes_a_model_that_answers(folder, scene_path, tmp_path):
    run = tmp_path / "run"
    words = ["train", "--with", "m3", "--from", folder, "--output", run, "--scale", "0.001"]
    words += ["--world", "2"]
    result = CliRunner().invoke(main, [*map(str, words), "--batch", "1"])
    assert result.exit_code == 0, result.output
    assert "m3 after 1 steps" in result.output
    assert json.loads((run / "part_state.json").read_text())["worlds"] == [2]
    asked = ["ask", scene_path, QUESTION, "--model", run / "model", "--resampler", "m3:1", "--json"]
    answer = CliRunner().invoke(main, [*map(str, asked)])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["cost"]["reductions"][-1]["name"] == "m3"
    wrong = CliRunner().invoke(main, [*map(str, asked[:-2]), "mqt:x"])
    assert wrong.exit_code != 0
    assert "write mqt:4" in wrong.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--with", "m3", "--device", "cuda"], "trains on the CPU, got --device cuda"),
        (["--with", "m3", "--workers", "2"], "in one process, got --workers 2"),
        (["--lessons", "somewhere"], "add --with, or leave it out"),
    ],
    ids=str,
)
def test_what_does_not_go_with_a_part_is_refused_before_anything_is_written(
    tmp_path, options, message
):
    result = CliRunner().invoke(main, ["train", "--output", str(tmp_path / "run"), *options])
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["train", "distill"])
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--minutes", "nan", "nan is not a finite number"),
        ("--minutes", "-1", "-1.0 is not in the range x>=0"),
        ("--seed", "-1", "-1 is not in the range 0<=x<=2147483647"),
        ("--seed", str(2**40), "is not in the range"),
        ({"train": "--scale", "distill": "--learning-rate"}, "nan", "nan is not a finite number"),
        ({"train": "--scale", "distill": "--boxes"}, "inf", "not"),
        ({"train": "--scale", "distill": "--steps"}, "0", "is not in the range"),
        ({"train": "--batch", "distill": "--questions"}, "0", "is not in the range"),
    ],
    ids=str,
)
def test_a_number_that_no_run_can_have_is_refused_before_anything_is_written(
    tmp_path, verb, option, value, message
):
    name = option if isinstance(option, str) else option[verb]
    result = CliRunner().invoke(main, [verb, "--output", str(tmp_path / "run"), name, value])
    assert result.exit_code == 2
    assert f"'{name}': " in result.output
    assert message in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()
