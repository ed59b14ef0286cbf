"""A session looks as the published method does, within the budget or not at all."""

import numpy as np
import pytest
import torch
from pipeline_toys import QUESTION
from published_toys import write_published
from watch_toys import Listener

import geofovea as gf
from geofovea.errors import BudgetError, GeometryError, ModelError
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.hosts.published.image import PublishedImage, read_whole
from geofovea.regionfocus.budget import Budget

AS_PUBLISHED = {"focus": "rfm", "descent": "published"}


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return load_host(str(write_published(tmp_path_factory.mktemp("published") / "tiny")))


@pytest.fixture
def path(make_png):
    return make_png(560, 1300)


def test_the_answer_is_that_of_the_model_on_the_whole_image(host, path):
    answer = gf.ask(path, QUESTION, model=host, **AS_PUBLISHED)
    generation, look = host.model.ask(PublishedImage(read_whole(path)), QUESTION)
    assert answer.text == generation.text
    assert answer.stopped == "published"
    assert answer.cost.tokens_llm == 576 + len(look.second.index)
    encoded = 1 + look.plan.levels[0].tiles + len(look.second.tiles)
    assert answer.cost.tiles_encoded == encoded == sum(answer.cost.tiles_by_level.values())


def test_evidence_and_looks_lie_on_the_scene(host, path):
    answer = gf.ask(path, QUESTION, model=host, **AS_PUBLISHED)
    for box in (item.box_scene for item in answer.evidence):
        assert 0 <= box.x0 < box.x1 <= 1300
        assert 0 <= box.y0 < box.y1 <= 560
    whole = answer.evidence[-1]
    assert whole.box_scene.as_tuple() == (0, 0, 1300, 560)
    assert sum(item.score for item in answer.evidence[:-1]) <= 1 + 1e-5
    for look in answer.looks:
        boxes = look.token_boxes
        assert len(boxes) == len(look.token_scores)
        assert (boxes[:, :2] < boxes[:, 2:]).all()
        assert boxes.min() >= 0
        assert (boxes.max(0) <= [1300, 560, 1300, 560]).all()
    assert answer.to_json()["cost"]["tiles_encoded"] == answer.cost.tiles_encoded


def test_who_watches_hears_of_both_looks_once_the_answer_is_there(host, path):
    session, listener = gf.SceneSession(gf.open_scene(path), host), Listener()
    written, answer_of = [], host.model.answer

    def answer_and_note(embeds):
        written.append(list(listener.heard))
        return answer_of(embeds)

    host.model.answer = answer_and_note
    try:
        answer = session.ask(QUESTION, watch=listener, **AS_PUBLISHED)
    finally:
        del host.model.answer
    assert written == [[]]
    kinds = [each[0] for each in listener.heard]
    assert kinds == ["looking", "seen", "scored"] * 2 + ["reading"]
    # all but the global tile; two levels of the method may be nearest to one of ours
    assert sum(len(tiles) for _, tiles in listener.of("looking")) == answer.cost.tiles_encoded - 1
    for look, (_, tiles) in zip(answer.looks, listener.of("looking"), strict=True):
        assert tuple(tiles.values()) == look.tiles
    for look, (_, level, boxes, scores) in zip(answer.looks, listener.of("scored"), strict=True):
        assert level == look.level
        np.testing.assert_array_equal(boxes.numpy(), look.token_boxes)
        np.testing.assert_array_equal(scores.numpy(), look.token_scores)
    assert listener.heard[-1] == ("reading", len(answer.evidence), answer.cost.tokens_llm)


def test_who_watches_hears_the_scores_of_its_module(host, path):
    listener = Listener()
    session = gf.SceneSession(gf.open_scene(path), host)
    answer = session.ask(QUESTION, focus="rfm", budget=Budget(tiles=7, tokens=100), watch=listener)
    assert {level for _, level, _, _ in listener.of("scored")} == {
        look.level for look in answer.looks[1:]
    }


@pytest.mark.parametrize("budget", [Budget(tiles=3), Budget(tokens=600), Budget(seconds=9.0)])
def test_a_budget_that_it_might_not_keep_is_refused_beforehand(host, path, budget, monkeypatch):
    monkeypatch.setattr(host.model, "features", None)
    with pytest.raises(BudgetError, match="descent='geometric'"):
        gf.ask(path, QUESTION, model=host, budget=budget, **AS_PUBLISHED)


@pytest.mark.parametrize("size", [(336, 336), (40, 3000)])
def test_a_size_that_it_cannot_take_is_refused(host, make_png, size):
    with pytest.raises(GeometryError, match=f"{size[0]} × {size[1]}"):
        gf.ask(make_png(*size), QUESTION, model=host, **AS_PUBLISHED)


def test_its_module_leads_other_descents_too_and_their_budget_holds(host, path):
    budget = Budget(tiles=7, tokens=100)
    answer = gf.ask(path, QUESTION, model=host, focus="rfm", budget=budget)
    assert 2 <= answer.cost.tiles_encoded <= 7
    assert answer.cost.tokens_llm <= 100
    scores = np.concatenate([look.token_scores for look in answer.looks[1:]])
    assert len(np.unique(scores)) > 1


def test_its_scores_are_shares(host, path):
    session = gf.SceneSession(gf.open_scene(path), host)
    seen = []
    scores = host.region_scores
    host.region_scores = lambda *given: seen.append(scores(*given)) or seen[-1]
    try:
        session.ask(QUESTION, focus="rfm", budget=Budget(tiles=7, tokens=100))
    finally:
        del host.region_scores
    assert seen
    assert all(torch.isclose(s.sum(), torch.tensor(1.0)) for s in seen)


def test_what_does_not_fit_together_is_refused_with_advice(host, path, tiny_host):
    with pytest.raises(ModelError, match="choose one of rfm, similarity, overview"):
        gf.ask(path, QUESTION, model=host)
    with pytest.raises(ModelError, match="focus='rfm'"):
        gf.ask(path, QUESTION, model=host, descent="published")
    with pytest.raises(ModelError, match="needs a published LRS-VQA model"):
        gf.ask(path, QUESTION, model=tiny_host, **AS_PUBLISHED)
    with pytest.raises(ModelError, match="brings no region focus module"):
        gf.ask(path, QUESTION, model=tiny_host, focus="rfm")
    with pytest.raises(ModelError, match="best_first, published"):
        gf.ask(path, QUESTION, model=tiny_host, descent="sideways")
