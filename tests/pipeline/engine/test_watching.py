"""A watched question: all that happens is heard, nothing changes, and it can be ended anywhere."""

from dataclasses import replace

import pytest
from chat_server import says
from pipeline_toys import QUESTION, wide_texture
from watch_toys import Listener

from geofovea.errors import CancelledError, SceneError
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.hosts.endpoint.host import endpoint_host
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene
from geofovea.tiling.pyramid import Box

FEW = Budget(tiles=12, tokens=60)


class Ending(Listener):
    """Ends the question at the nth time that one thing happens."""

    def __init__(self, kind, count=1):
        super().__init__()
        self.kind, self.left = kind, count

    def _count(self, kind):
        self.left -= kind == self.kind
        if self.left <= 0:
            raise CancelledError("the test canceled the question")

    def check(self):
        self._count("check")

    def preparing(self, share):
        super().preparing(share)
        self._count("preparing")

    def looking(self, tiles):
        super().looking(tiles)
        self._count("looking")

    def scored(self, level, boxes_scene, scores):
        self._count("scored")

    def reading(self, tiles, tokens):
        super().reading(tiles, tokens)
        self._count("reading")


def test_a_watched_answer_is_the_same_answer(make_session):
    plain = make_session().ask(QUESTION, budget=FEW)
    watched = make_session().ask(QUESTION, budget=FEW, watch=Listener())
    assert (plain.text, plain.confidence) == (watched.text, watched.confidence)
    assert [e.tile for e in plain.evidence] == [e.tile for e in watched.evidence]
    assert plain.cost.tiles_by_level == watched.cost.tiles_by_level


def test_every_tile_that_is_looked_at_is_heard_before_it_is_seen(make_session):
    session, listener = make_session(), Listener()
    answer = session.ask(QUESTION, budget=FEW, watch=listener)
    tiles = {tile: box for _, looked in listener.of("looking") for tile, box in looked.items()}
    assert len(tiles) == answer.cost.tiles_encoded
    assert all(box == session.pyramid.box_scene(tile) for tile, box in tiles.items())
    kinds = [each[0] for each in listener.heard if each[0] in ("looking", "seen")]
    assert kinds == ["looking", "seen"] * (len(kinds) // 2)
    assert sum(seen[2] for seen in listener.of("seen")) == answer.cost.tokens_total
    assert listener.heard[-1] == ("reading", len(answer.evidence), answer.cost.tokens_llm)


@pytest.mark.parametrize("focus", ["attention", "oracle"])
def test_scores_are_heard_of_a_focus_that_never_calls_the_host(make_session, focus):
    listener = Listener()
    boxes = [Box(900, 1200, 950, 1260)] if focus == "oracle" else ()
    answer = make_session().ask(QUESTION, budget=FEW, focus=focus, boxes=boxes, watch=listener)
    levels = {level for _, level, _, _ in listener.of("scored")}
    assert levels == {look.level for look in answer.looks[1:]}
    for _, _, boxes_scene, scores in listener.of("scored"):
        assert boxes_scene.shape == (len(scores), 4)
        assert bool((scores >= 0).all())


def test_scores_are_heard_of_a_model_that_is_asked_for_cells(server, scene_path):
    server.otherwise = says("3, 4")
    listener = Listener()
    host = endpoint_host("openai:some", EndpointSettings(server.url))
    session = SceneSession(open_scene(scene_path), host)
    session.ask(QUESTION, budget=Budget(8, 2048), watch=listener)
    assert listener.of("scored")


def test_a_canceled_question_asks_an_endpoint_nothing_more(server, scene_path):
    host = endpoint_host("openai:some", EndpointSettings(server.url))
    session = SceneSession(open_scene(scene_path), host)
    with pytest.raises(CancelledError):
        session.ask(QUESTION, budget=Budget(8, 2048), watch=Ending("scored"))
    assert host.use.calls == 1


@pytest.mark.parametrize(
    ("kind", "count"), [("check", 1), ("looking", 1), ("looking", 3), ("scored", 2), ("reading", 1)]
)
def test_a_question_ends_where_the_watcher_ends_it_and_the_next_is_answered(
    make_session, kind, count
):
    session = make_session()
    with pytest.raises(CancelledError, match="the test canceled"):
        session.ask(QUESTION, budget=FEW, watch=Ending(kind, count))
    again = session.ask(QUESTION, budget=FEW)
    fresh = make_session().ask(QUESTION, budget=FEW)
    assert (again.text, again.confidence) == (fresh.text, fresh.confidence)


class WhileReading(Listener):
    """Ends the question while it is answered, as soon as something has come often enough."""

    def __init__(self, most):
        super().__init__()
        self.most, self.count, self.reads = most, 0, False

    def reading(self, tiles, tokens):
        self.reads = True

    def passed(self, *_):
        self.count += self.reads

    def check(self):
        if self.count >= self.most:
            raise CancelledError("the test canceled the question")


def test_a_long_answer_ends_between_two_of_its_tokens(make_session):
    session, watcher = make_session(), WhileReading(2)
    session.host = session.host.answering(200)
    session.host._writer = _never_ending(session.host._writer)
    # of the prompt, and of one token more: the third pass is not begun
    hook = session.host._model.lm_head.register_forward_hook(watcher.passed)
    try:
        with pytest.raises(CancelledError):
            session.ask(QUESTION, budget=FEW, watch=watcher)
    finally:
        hook.remove()
    assert watcher.count == 2


def test_a_long_prompt_ends_between_two_layers(make_session):
    session, watcher = make_session(), WhileReading(1)
    layers = session.host._model.model.language_model.layers
    hooks = [layer.register_forward_hook(watcher.passed) for layer in layers]
    try:
        with pytest.raises(CancelledError):
            session.ask(QUESTION, budget=FEW, watch=watcher)
    finally:
        for hook in hooks:
            hook.remove()
    assert watcher.count == 1 < len(layers)
    fresh = make_session().ask(QUESTION, budget=FEW)
    assert session.ask(QUESTION, budget=FEW).confidence == fresh.confidence


def _never_ending(writer):
    return replace(writer, stop=frozenset())


def test_an_error_of_a_watched_question_leaves_the_session_usable(make_session):
    session = make_session()
    good = session.reader.read

    def broken(tile):
        raise SceneError("the disk is gone")

    session.reader.read = broken
    with pytest.raises(SceneError, match="the disk is gone"):
        session.ask(QUESTION, budget=FEW, watch=Listener())
    session.reader.read = good
    assert session.ask(QUESTION, budget=FEW, watch=Listener()).cost.tiles_encoded


@pytest.fixture
def striped(make_tiff, monkeypatch, tmp_path):
    """A scene whose coarser levels have to be built."""
    monkeypatch.setenv("GEOFOVEA_CACHE", str(tmp_path / "cache"))
    shape = {"tiled": False, "blockxsize": None, "blockysize": 1, "compress": None}
    return make_tiff(wide_texture(5000), **shape)


def test_building_levels_is_heard_as_shares_of_the_work(make_session, striped, capfd):
    listener = Listener()
    make_session(striped).ask(QUESTION, budget=FEW, watch=listener)
    shares = [share for _, share in listener.of("preparing")]
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)
    assert capfd.readouterr().err == ""


def test_building_levels_ends_when_nobody_waits_and_the_next_question_builds_them(
    make_session, striped
):
    session = make_session(striped)
    with pytest.raises(CancelledError):
        session.ask(QUESTION, budget=FEW, watch=Ending("preparing", 2))
    listener = Listener()
    answer = session.ask(QUESTION, budget=FEW, watch=listener)
    assert answer.cost.tiles_encoded
    assert listener.of("preparing")


def test_nothing_of_a_watcher_stays_with_a_session(make_session):
    session, listener = make_session(), Listener()
    session.ask(QUESTION, budget=FEW, watch=listener)
    count = len(listener.heard)
    session.ask(QUESTION, budget=FEW)
    assert len(listener.heard) == count


def test_the_base_watcher_hears_everything_and_does_nothing(make_session):
    answer = make_session().ask(QUESTION, budget=FEW, watch=Watcher())
    assert answer.text == make_session().ask(QUESTION, budget=FEW).text


def test_looks_of_an_answer_name_their_tiles(make_session):
    session = make_session()
    answer = session.ask(QUESTION, budget=FEW)
    for look in answer.looks:
        assert [session.pyramid.box_scene(tile) for tile in look.addresses] == list(look.tiles)
        assert {tile.level for tile in look.addresses} == {look.level}
