"""A scene memory: further questions read what earlier ones stored, within its limits."""

import math
import sys

import pytest
from cache_bytes import bytes_of_exact, bytes_of_plain, bytes_of_vidkv, bytes_of_zipcache
from click.testing import CliRunner

import geofovea as gf
from geofovea.errors import BudgetError, ModelError
from geofovea.pipeline.cli import main
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.scene_memory import MemoryCalls
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.regionfocus.focus import AttentionFocus
from geofovea.regionfocus.tokens import TokenSet

QUESTION = "What is the color of the plane at the airport?"
OTHER = "Is there a harbor?"
FEW = gf.Budget(tiles=12, tokens=120)
TIGHT = gf.Budget(tiles=12, tokens=24)
ROOMY = gf.MemoryOptions(megabytes=200, policy="exact")


def test_a_second_question_runs_no_tile_again(make_session):
    session = make_session(memory=ROOMY)
    first = session.ask(QUESTION, budget=FEW)
    second = session.ask(QUESTION, budget=FEW)
    assert first.cost.memory.tiles_stored == first.cost.tiles_encoded
    assert second.cost.memory.tiles_stored == 0
    assert second.cost.memory.tiles_read >= first.cost.tiles_encoded
    assert (second.text, second.confidence) == (first.text, first.confidence)
    assert second.cost.to_json()["memory"]["bytes"] == session.memory.nbytes > 0


def test_operations_are_those_of_words_and_of_tiles_that_are_stored(make_session):
    session, plain = make_session(memory=ROOMY), make_session()
    first, second = (session.ask(QUESTION, budget=FEW).cost for _ in range(2))
    without = [plain.ask(QUESTION, budget=FEW).cost for _ in range(2)][1].flops.full
    shape = session.host.shape
    tile = session.memory.tokens // first.memory.tiles_stored
    # the words of both questions do the same work
    extra = first.memory.tiles_stored * shape.decoder.prefill(tile) / 1e12
    assert first.flops.full.prefill - second.flops.full.prefill == pytest.approx(extra)
    assert second.memory.looks_run == first.memory.looks_run
    assert len(second.memory.looks_run) == 1 + len(session.host.attention_mode.neutral)
    assert second.flops.full.prefill < 0.7 * without.prefill
    assert second.flops.full.focus < without.focus


@pytest.mark.parametrize("memory", [None, ROOMY])
def test_a_wave_costs_and_finds_what_its_looks_do_one_by_one(make_session, memory, monkeypatch):
    waves, one_by_one = (make_session(memory=memory) for _ in range(2))
    together = waves.ask(QUESTION)
    monkeypatch.setattr(
        AttentionFocus, "score_each", lambda self, looks: [self.score(each) for each in looks]
    )
    alone = one_by_one.ask(QUESTION)
    assert [look.tiles for look in together.looks] == [look.tiles for look in alone.looks]
    for own, expected in zip(together.looks, alone.looks, strict=True):
        assert own.token_scores == pytest.approx(expected.token_scores, abs=1e-5)
    assert together.text == alone.text
    assert together.confidence == pytest.approx(alone.confidence, abs=1e-5)
    assert together.cost.focus == alone.cost.focus
    assert together.cost.memory == alone.cost.memory


def test_an_answer_out_of_a_memory_is_that_of_a_fresh_memory(make_session):
    used = make_session(memory=ROOMY)
    used.ask(OTHER, budget=FEW)
    answer, fresh = (s.ask(QUESTION, budget=FEW) for s in (used, make_session(memory=ROOMY)))
    assert answer.text == fresh.text
    assert answer.confidence == pytest.approx(fresh.confidence, abs=1e-5)
    assert [look.tiles for look in answer.looks] == [look.tiles for look in fresh.looks]


def test_a_window_off_the_grid_is_read_as_without_a_memory_and_is_not_kept(make_session):
    session = make_session(memory=ROOMY)
    host, pyramid, usage = session.host, session.pyramid, QuestionUsage()
    coarse = session.tokens([pyramid.overview])
    window = session.tiles.around((pyramid.width * 0.4, pyramid.height * 0.6), usage)
    shown = TokenSet.concat([coarse, window]).in_reading_order()
    answer = MemoryCalls(session.tiles, session.memory).generate(
        Prompt(QUESTION, shown, is_off_grid=True)
    )
    assert answer == host.generate(QUESTION, shown)
    assert answer.is_from_memory is False
    assert (session.memory.nbytes, session.memory.tokens) == (0, 0)


def test_a_small_memory_forgets_and_still_answers(make_session):
    options = gf.MemoryOptions(megabytes=0.02, policy="exact")
    session = make_session(memory=options)
    answers = [session.ask(QUESTION, budget=FEW) for _ in range(2)]
    assert session.memory.nbytes <= options.limit_bytes
    assert answers[1].cost.memory.tiles_stored > 0
    for answer in answers:
        (told,) = [w for w in answer.warnings if "run again" in w]
        assert "room for 0.02 MB" in told
    roomy = make_session(memory=ROOMY).ask(QUESTION, budget=FEW)
    assert not any("run again" in warning for warning in roomy.warnings)
    assert answers[0].text == answers[1].text == roomy.text


def test_a_number_of_megabytes_that_no_machine_has_is_a_memory_without_a_limit():
    options = gf.MemoryOptions(1e308, ready_megabytes=1.7e308)
    assert options.limit_bytes == options.ready_bytes == sys.maxsize


def test_many_questions_share_a_memory(make_session):
    session = make_session(memory=ROOMY)
    requests = [gf.AskRequest(question, FEW) for question in (QUESTION, OTHER, QUESTION)]
    answers = session.ask_many(requests)
    assert [a.cost.memory.tiles_stored > 0 for a in answers][::2] == [True, False]


def test_a_watched_question_reads_the_memory_too(make_session):
    session = make_session(memory=ROOMY)
    session.ask(QUESTION, budget=FEW)
    assert session.ask(QUESTION, budget=FEW, watch=gf.Watcher()).cost.memory.tiles_stored == 0


def test_choices_are_scored_from_the_memory(make_session):
    session = make_session(memory=ROOMY)
    answer = session.ask(QUESTION, budget=FEW, choices=("red", "white"))
    assert answer.text in ("red", "white")
    assert answer.cost.memory.entries_read > 0


@pytest.mark.parametrize(
    ("policy", "by_hand"),
    [
        ("exact", lambda *at: bytes_of_exact(*at)),
        ("plain", lambda *at: bytes_of_plain(4, *at, 2, group=64)),
        ("plain:2+tokenselect:0.05", lambda *at: bytes_of_plain(2, *at, 2, group=64)),
        ("zipcache", lambda *at: bytes_of_zipcache(*at, 4, knows_question=False)),
        ("vidkv", lambda *at: bytes_of_vidkv(*at, 4)),
    ],
    # a function's own name differs between workers
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_bytes_of_an_answer_are_those_counted_by_hand(make_session, policy, by_hand):
    session = make_session(memory=gf.MemoryOptions(200, policy))
    cost = session.ask(QUESTION, budget=FEW).cost
    config, tokens = session.host.decoder.config, math.prod(session.host.grid)
    heads, dim = config.num_key_value_heads, config.hidden_size // config.num_attention_heads
    # the picture's side is a power of two, so that no tile is cut off; a place takes eight bytes
    a_tile = config.num_hidden_layers * by_hand(heads, tokens, dim, 4) + 8 * tokens
    assert cost.memory.tokens_stored == cost.memory.tiles_stored * tokens
    assert cost.memory.nbytes == cost.memory.tiles_stored * a_tile


@pytest.mark.parametrize("policy", ["plain", "zipcache", "vidkv"])
def test_fewer_bits_take_less_room(make_session, policy):
    exact, coded = make_session(memory=ROOMY), make_session(memory=gf.MemoryOptions(200, policy))
    for session in (exact, coded):
        session.ask(QUESTION, budget=FEW)
    assert coded.memory.nbytes < exact.memory.nbytes


def test_words_that_choose_what_they_read_are_counted(make_session):
    options = gf.MemoryOptions(200, "exact+tokenselect:0.1")
    cost = make_session(memory=options).ask(QUESTION, budget=FEW).cost.to_json()
    assert cost["memory"]["entries_chosen"] > 0


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"reduction": "fastv"}, "between layers"),
        ({"skip": "ima"}, "no work is left"),
        ({"reduction": "tome"}, "'tome' merges their tokens; .* only drops, such as focus_spread"),
        # also where the budget may hold all tokens: what is found is not known in advance
        ({"reduction": "pooled:0.5", "budget": FEW}, "'pooled' merges"),
        # the next question would take what is left of a tile for all of it
        ({"reduction": "stvit:0.5"}, "'stvit' drops tokens of them inside the encoder"),
        # by the word that was written, not by the name of the method
        ({"reduction": "evit_encoder:0.5"}, "'evit_encoder' drops tokens of them inside"),
    ],
    ids=str,
)
def test_what_a_memory_has_no_use_for_is_refused_before_a_tile_is_read(make_session, how, message):
    session = make_session(memory=ROOMY)

    def read(*args, **kwargs):
        raise AssertionError("a tile was read")

    session.reader.read = read
    with pytest.raises(ModelError, match=message):
        session.ask(QUESTION, **{"budget": TIGHT} | how)


def test_without_a_memory_nothing_is_told_of_one(make_session):
    cost = make_session().ask(QUESTION, budget=FEW).cost
    assert cost.memory is None
    assert "memory" not in cost.to_json()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: gf.MemoryOptions(0), BudgetError, "of 0 megabytes holds nothing"),
        (lambda: gf.MemoryOptions(float("nan")), BudgetError, "of nan megabytes holds nothing"),
        (lambda: gf.MemoryOptions(float("inf")), BudgetError, "of inf megabytes holds nothing"),
        (lambda: gf.MemoryOptions(9, ready_megabytes=float("inf")), BudgetError, "at least 0"),
        (lambda: gf.MemoryOptions(9, ready_megabytes=-1), BudgetError, "at least 0"),
        (lambda: gf.MemoryOptions(9, "plain:3"), ModelError, "2, 4 or 8 bits"),
        (lambda: gf.MemoryOptions(9, "plain+exact"), ModelError, "two policies for one purpose"),
        (lambda: gf.MemoryOptions(9, "best"), ModelError, "choose one of exact"),
    ],
)
def test_impossible_memories_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_host_without_stored_prompts_is_refused(scene_path):
    host = gf.load_host("openai:some", endpoint=gf.EndpointSettings(url="http://127.0.0.1:9"))
    with pytest.raises(ModelError, match="cannot answer from a scene memory"):
        gf.SceneSession(gf.open_scene(scene_path), host, memory=ROOMY)


def test_the_shell_keeps_a_memory_between_questions(scene_path):
    arguments = ["ask", str(scene_path), QUESTION, OTHER, "--memory", "64", "--kv", "plain"]
    result = CliRunner().invoke(main, [*arguments, "--max-tiles", "12"])
    assert result.exit_code == 0, result.output
    assert result.output.count("MB of keys and values") == 2


def test_the_shell_says_what_is_wrong_with_a_memory(scene_path):
    result = CliRunner().invoke(main, ["ask", str(scene_path), QUESTION, "--memory", "0"])
    assert result.exit_code == 1
    assert "a scene memory of 0.0 megabytes holds nothing" in result.stderr
