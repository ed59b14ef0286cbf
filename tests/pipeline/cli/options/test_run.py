"""Runs take the options of one question in the same words, hash them, and share one limit."""

import json
import threading
import time

import pytest
from chat_server import chatting, dripping, says
from click.testing import CliRunner
from pipeline_toys import texture

from geofovea.datasets.records.annotations import write_records
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.questions import ask_world
from geofovea.errors import BudgetError, ModelError, OutputError, SpendLimitError
from geofovea.pipeline.cli import main
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.pipeline.hosts.endpoint.shared_ledger import (
    LEDGER_FILE,
    SharedLedger,
    make_ledger_file,
    spent,
)
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.settings import AskSettings

URL = "http://localhost:1/v1"
SECRET = "sk-very-secret-0123456789"
# one call for each question: nothing is asked on the way
ONCE = ("--focus", "overview", "--tiles", "1", "--tokens", "256")
BELONGS_TO_ONE_QUESTION = {
    *("scene", "words", "questions", "file", "as_json", "evidence", "picture", "page", "opens"),
    *("boxes", "choices", "output"),
    *("allow_vrt", "allow_remote", "allowed_hosts"),
}


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def options_of(verb):
    return {option.name: option for option in main.commands[verb].params}


@pytest.mark.parametrize("verb", ["batch", "eval"])
def test_what_can_be_said_of_one_question_can_be_said_of_many(verb):
    of_one, of_many = options_of("ask"), options_of(verb)
    shared = of_one.keys() - BELONGS_TO_ONE_QUESTION
    assert len(shared) > 25
    for name in shared:
        one, many = of_one[name].to_info_dict(), of_many[name].to_info_dict()
        if (verb, name) == ("batch", "focus"):
            # an oracle needs the boxes of each question
            one["type"]["choices"] = [n for n in one["type"]["choices"] if n != "oracle"]
            many["type"]["choices"] = list(many["type"]["choices"])
        assert many == one


def test_runs_are_told_how_to_run_in_the_same_words():
    names = {"executor", "worker_count", "address", "worker_cpus", "worker_gpus", "item_seconds"}
    names |= {"retry_failed", "max_failures", "replace", "wait"}
    batch, evaluation = options_of("batch"), options_of("eval")
    for name in names:
        assert batch[name].to_info_dict() == evaluation[name].to_info_dict()


@pytest.fixture
def scene(make_tiff):
    return make_tiff(texture(100, 120))


@pytest.fixture
def benchmark(tmp_path, world, scene_path):
    """Nine questions about one synthetic scene, which is there under three names."""
    root = tmp_path / "synthetic"
    (root / "image").mkdir(parents=True)
    for name in "abc":
        (root / "image" / f"{name}.tif").symlink_to(scene_path)
    questions = ask_world(world, 2)[:9]
    records = [record_of(q, i, f"image/{'abc'[i % 3]}.tif", world) for i, q in enumerate(questions)]
    write_records(records, root / "annotations.jsonl")
    return root


@pytest.mark.parametrize("verb", ["batch", "eval"])
def test_how_a_model_is_loaded_reaches_the_workers_of_a_run(
    verb, tiny_folder, scene_path, benchmark, tmp_path
):
    def confidence(*loading):
        out = tmp_path / f"out{len(loading)}"
        how = ("--output", out, "--model", tiny_folder, "--tiles", 6, "--tokens", 20, *loading)
        if verb == "batch":
            result = run("batch", scene_path, "--question", "What is it?", *how)
            (row,) = (out / "answers.jsonl").read_text().splitlines()
        else:
            result = run("eval", "synthetic", "--root", benchmark, "--limit", 1, *how)
            (row,) = (out / "items.jsonl").read_text().splitlines()
        assert result.exit_code == 0, result.output
        return json.loads(row)["confidence"]

    assert confidence() != confidence("--dtype", "bfloat16")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--dtype", "int7"], 2, "int7"),
        (["--device-map", "auto", "--device", "cuda"], 1, "leave out the device"),
        (["--tiles", "0"], 1, "--max-tiles 0 is not a budget"),
        (["--endpoint", URL], 1, "is not behind an endpoint"),
        (["--endpoint", "ftp://x", "--model", "openai:x"], 1, "an endpoint is an http"),
        (["--model", "openai:x"], 1, "say where with --base-url"),
        (["--model", "openai:x", "--endpoint", URL, "--dtype", "float32"], 1, "leave out"),
        (["--confidence", "2"], 1, "a stop needs a confidence"),
        (["--item-seconds", "5"], 2, "this process cannot end itself"),
        (["--item-seconds", "0", "--workers", "2"], 1, "a positive number of seconds"),
        (["--executor", "inline", "--workers", "2"], 2, "--workers goes with"),
        (["--workers", "0"], 2, "0 is not in the range"),
    ],
)
@pytest.mark.parametrize("verb", ["batch", "eval"])
def test_what_cannot_be_meant_is_one_line_before_anything_is_answered(
    verb, options, code, words, scene, benchmark, tmp_path
):
    what = {
        "batch": ("batch", scene, "--question", "What?"),
        "eval": ("eval", "synthetic", "--root", benchmark),
    }
    result = run(*what[verb], "--output", tmp_path / "out", *options)
    assert (result.exit_code, words in result.stderr) == (code, True), result.stderr
    assert not (tmp_path / "out" / "answers.jsonl").exists()
    assert not (tmp_path / "out" / "items.jsonl").exists()


LOCAL = AskSettings("owner/model")
AWAY = AskSettings("openai:x", endpoint=EndpointSettings(URL))


@pytest.mark.parametrize(
    "other",
    [
        AskSettings("owner/model", {"tiles": 3}),
        AskSettings("owner/model", options=AnswerOptions(focus="uniform")),
        AskSettings("owner/model", load=LoadOptions(dtype="bfloat16")),
        AskSettings("owner/model", load=LoadOptions(quantization="8bit")),
        AskSettings("owner/model", load=LoadOptions(positions="scene")),
        AskSettings("owner/model", options=AnswerOptions(focus_model="owner/clip")),
        AskSettings("owner/model", rfm="somewhere"),
        AWAY,
        AskSettings("openai:x", endpoint=EndpointSettings("http://localhost:2/v1")),
        AskSettings("openai:x", endpoint=EndpointSettings(URL, image_tokens=1024)),
        AskSettings("openai:x", endpoint=EndpointSettings(URL, answer_tokens=9)),
    ],
)
def test_what_changes_answers_is_another_configuration(other):
    assert other.hash not in {LOCAL.hash, *([] if other is AWAY else [AWAY.hash])}


def test_what_changes_no_answer_is_the_same_configuration(tmp_path):
    assert LOCAL.hash == AskSettings("owner/model", options=AnswerOptions(focus="attention")).hash
    assert LOCAL.hash == AskSettings("owner/model", cache_tokens=True).hash
    assert LOCAL.hash == AskSettings("owner/model", load=LoadOptions(dtype="float32")).hash
    patient = EndpointSettings(
        URL, "OTHER_KEY", SpendLimit(7, 7), total_seconds=9.0, attempts=1, pause_seconds=9.0
    )
    assert (
        AWAY.hash
        == AskSettings("openai:x", endpoint=patient, options=AnswerOptions(focus="prompted")).hash
    )
    assert AWAY.hash == AWAY.within(tmp_path).hash


def test_another_module_in_the_folder_is_another_configuration(tmp_path):
    (tmp_path / "region_focus.safetensors").write_bytes(b"one")
    settings = AskSettings("owner/model", rfm=str(tmp_path))
    before = settings.hash
    (tmp_path / "region_focus.safetensors").write_bytes(b"two")
    assert settings.hash != before


def test_one_ledger_holds_for_all_who_spend_from_it(tmp_path):
    make_ledger_file(tmp_path)
    limit = SpendLimit(calls=25, tokens=10**6)
    ledgers = [SharedLedger(limit, tmp_path / LEDGER_FILE) for _ in range(4)]

    refusals = []

    def spend(ledger):
        try:
            while True:
                reserved = ledger.reserve(100, 10, 2, is_repeat=False)
                ledger.settle(reserved, (90, 3))
        except SpendLimitError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=spend, args=[ledger]) for ledger in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["25 calls is used up" in refusal for refusal in refusals] == [True] * 4
    together = spent(tmp_path)
    assert (together.calls, together.images, together.tokens) == (25, 50, 25 * 93)
    assert together.estimated_calls == 0
    assert sum(ledger.use.calls for ledger in ledgers) == 25


def test_what_a_lost_worker_had_begun_to_spend_stays_spent(tmp_path):
    make_ledger_file(tmp_path)
    limit = SpendLimit(calls=9, tokens=150)
    SharedLedger(limit, tmp_path / LEDGER_FILE).reserve(90, 10, 1, is_repeat=False)
    # as a new run does
    make_ledger_file(tmp_path)
    later = SharedLedger(limit, tmp_path / LEDGER_FILE)
    with pytest.raises(SpendLimitError, match="100 of at most 150 are spent"):
        later.reserve(90, 10, 1, is_repeat=False)
    later.reserve(40, 10, 1, is_repeat=False)
    assert (later.use.tokens, spent(tmp_path).tokens) == (50, 150)


def test_a_ledger_that_is_missing_or_is_none_is_reported(tmp_path):
    with pytest.raises(OutputError, match="is not on this machine"):
        SharedLedger(SpendLimit(), tmp_path / LEDGER_FILE)
    (tmp_path / LEDGER_FILE).write_bytes(b"something else" * 99)
    with pytest.raises(OutputError, match="cannot be counted in"):
        SharedLedger(SpendLimit(), tmp_path / LEDGER_FILE).reserve(1, 1, 1, is_repeat=False)
    assert spent(tmp_path / "nowhere") is None


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("GEOFOVEA_API_KEY", SECRET)
    with chatting() as server:
        yield server


@pytest.fixture
def ask_away(server, tmp_path):
    """``ask_away(verb, *words)``: a run over the endpoint, into ``out``."""

    def call(*words):
        where = ("--model", "openai:toy", "--endpoint", server.url, "--output", tmp_path / "out")
        return run(*words, *where, *ONCE)

    return call


def questions(count):
    return [word for n in range(count) for word in ("--question", f"What is it, {n}?")]


def test_a_batch_over_an_endpoint_reports_what_it_spent_and_keeps_no_secret(
    ask_away, server, scene, tmp_path
):
    server.otherwise = says("yes", None, (400, 5))
    result = ask_away("batch", scene, *questions(4), "--json")
    assert result.exit_code == 0, result.stderr
    use = json.loads(result.stdout)["endpoint"]
    assert (use["calls"], use["images"], use["prompt_tokens"]) == (4, 4, 1600)
    rows = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    assert [row["cost"]["endpoint"]["calls"] for row in rows] == [1] * 4
    # not known is not the same as not sure at all
    assert [row["confidence"] for row in rows] == [None] * 4
    assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    for path in (tmp_path / "out").iterdir():
        assert SECRET.encode() not in path.read_bytes()
    again = ask_away("batch", scene, *questions(4))
    assert "4 calls, 4 pictures" in again.stdout
    assert len(server.requests) == 4


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_limit_holds_for_a_whole_batch_and_a_higher_one_goes_on(
    ask_away, server, scene, make_tiff, tmp_path, workers
):
    scenes = [scene, make_tiff(texture(90, 90), name="other.tif")]
    batch = ("batch", *scenes, *questions(4), "--workers", workers)
    halted = ask_away(*batch, "--max-calls", 5)
    assert halted.exit_code == 1
    assert "the spend limit of 5 calls is used up; raise it with --max-calls" in halted.stderr
    assert len(server.requests) == 5
    # what was paid for is there
    lines = (tmp_path / "out/answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["status"] for line in lines] == ["answered"] * 5
    assert ask_away(*batch, "--max-calls", 5).exit_code == 1
    assert len(server.requests) == 5
    on = ask_away(*batch, "--max-calls", 50, "--json")
    assert on.exit_code == 0, on.stderr
    assert len(server.requests) == 8
    assert json.loads(on.stdout)["answered"] == 8


def test_an_evaluation_over_an_endpoint_is_held_by_its_limit_too(
    ask_away, server, benchmark, tmp_path
):
    what = ("eval", "synthetic", "--root", benchmark)
    assert "limit of 5 calls is used up" in ask_away(*what, "--max-calls", 5).stderr
    assert len(server.requests) == 5
    assert ask_away(*what, "--max-calls", 50).exit_code == 0
    assert len(server.requests) == 9
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["counts"]["endpoint"]["calls"] == 9
    assert SECRET not in (tmp_path / "out/manifest.json").read_text()


def test_a_report_of_answers_of_unknown_confidence_says_so(ask_away, server, benchmark, tmp_path):
    server.otherwise = says("neither", None, (400, 5))
    assert ask_away("eval", "synthetic", "--root", benchmark).exit_code == 0
    result = CliRunner().invoke(main, ["report", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out/report.html").read_text()
    assert "confidence unknown" in page
    assert "% sure" not in page


@pytest.mark.slow
def test_an_endpoint_that_drips_for_ever_costs_one_row_and_its_time(
    ask_away, server, scene, tmp_path
):
    server.otherwise = says("yes")
    server.script = [says("yes"), dripping]
    started = time.monotonic()
    patient = ("--endpoint-seconds", 3600, "--executor", "processes", "--item-seconds", 25)
    result = ask_away("batch", scene, *questions(5), *patient, "--json")
    assert result.exit_code == 3, result.stderr
    summary = json.loads(result.stdout)
    assert (summary["answered"], summary["failed"], summary["overdue"]) == (4, 1, 1)
    rows = [json.loads(line) for line in (tmp_path / "out/answers.jsonl").read_text().splitlines()]
    (ended,) = [row for row in rows if row["status"] == "failed"]
    assert ended["error"].startswith("RunError: no end after 25 s (--item-timeout)")
    assert ended["tries"] == 1
    # the dripping request was sent, so it is counted
    assert summary["endpoint"]["calls"] == 5
    assert time.monotonic() - started < 600
    mended = ask_away("batch", scene, *questions(5), *patient, "--retry-failed", "--json")
    assert json.loads(mended.stdout)["answered"] == 5


@pytest.mark.slow
def test_two_processes_evaluate_as_one_does(benchmark, tiny_folder, tmp_path):
    def evaluated(*workers):
        out = tmp_path / f"run{len(workers)}"
        how = ("--model", tiny_folder, "--tiles", 12, "--tokens", 200, "--output", out)
        result = run("eval", "synthetic", "--root", benchmark, *how, *workers, "--json")
        assert result.exit_code == 0, result.output
        items = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
        return json.loads(result.stdout), items

    (scores, one), (others, two) = evaluated(), evaluated("--workers", 2)
    assert scores == others
    assert len(one) == 9
    for item, twin in zip(one, two, strict=True):
        for name in ("question_id", "answer", "verdicts", "looks", "hit", "error"):
            assert item[name] == twin[name]
        assert twin["confidence"] == pytest.approx(item["confidence"], rel=1e-4)


def test_settings_refuse_what_no_question_could_be_asked_with():
    with pytest.raises(BudgetError):
        AskSettings("embedded", {"tokens": 0}).budget()
    with pytest.raises(ModelError, match="say where with endpoint="):
        AskSettings("openai:x").load_host()
