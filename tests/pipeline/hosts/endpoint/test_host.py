"""A model behind an endpoint answers about a scene from whole tiles, within every limit."""

from __future__ import annotations

import base64
import io
import json
import re

import click
import numpy as np
import pytest
from chat_server import answers, says, status
from click.testing import CliRunner
from PIL import Image
from pipeline_toys import QUESTION, texture

import geofovea as gf
from geofovea.errors import BudgetError, EndpointError, ModelError, SpendLimitError
from geofovea.pipeline.cli import main
from geofovea.pipeline.cli.options.endpoint import endpoint_options
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.endpoint.host import EndpointHost, endpoint_host
from geofovea.pipeline.hosts.endpoint.patience import Patience
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
from geofovea.regionfocus.budget import Budget

TILE, IMAGE_TOKENS = 64, 16
FEW = Budget(tiles=14, tokens=8 * IMAGE_TOKENS)


@pytest.fixture
def make_host(server):
    """``make_host(**settings)``: a model of small tiles at the server."""

    def make(**chosen) -> EndpointHost:
        small = {"tile_size": TILE, "image_tokens": IMAGE_TOKENS, "pause_seconds": 0.01}
        return endpoint_host("openai:toy", EndpointSettings(server.url, **(small | chosen)))

    return make


def picks(*cells):
    """Picks these cells when asked for cells, and says yes when asked the question."""

    def answer(handler, request):
        is_grid = "is divided into" in json.dumps(request)
        text = ", ".join(map(str, cells)) if is_grid else "yes"
        says(text, None if is_grid else [-0.5, -0.5], (100, 2))(handler, request)

    return answer


def opened(url):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_an_answer_comes_from_whole_tiles_with_their_place(server, make_host, scene_path):
    server.otherwise = picks(1)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW)
    assert answer.text == "yes"
    assert answer.confidence == pytest.approx(np.exp(-1.0))
    assert answer.confidence_known
    assert answer.warnings == ()
    assert len(server.pictures()) == 8 == len(answer.evidence)
    assert answer.cost.tokens_llm == 8 * IMAGE_TOKENS
    texts = server.texts()
    assert QUESTION in texts
    assert (
        "Picture 1: level 5 (32 times coarser than full resolution), x from 0 % to 100 %" in texts
    )
    assert "Picture 8: level 0 (full resolution)" in texts
    # native pixels of the synthetic scene are half a meter: tiles of 64 are 32 m
    assert re.search(r"full resolution\), x from .* about 32 m x 32 m on the ground", texts)


def test_the_pictures_are_the_pixels_of_their_tiles(server, make_host, scene_path):
    server.otherwise = picks(1)
    host = make_host(picture_format="png")
    session = gf.SceneSession(gf.open_scene(scene_path), host)
    answer = session.ask(QUESTION, budget=FEW)
    tiles = sorted((e.tile for e in answer.evidence), key=lambda t: (-t.level, t.row, t.col))
    for tile, url in zip(tiles, server.pictures(), strict=True):
        np.testing.assert_array_equal(opened(url), session.reader.read(tile).rgb)


def test_the_descent_follows_the_cells_that_the_model_picks(server, make_host, scene_path):
    def picks_the_last(handler, request):
        found = re.search(r"is divided into (\d+) cells", json.dumps(request))
        says(found[1] if found else "yes")(handler, request)

    server.otherwise = picks_the_last
    # one tile a level below the base: only the very last one can be right
    budget = Budget(tiles=9, tokens=9 * IMAGE_TOKENS)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=budget)
    assert answer.stopped == "native"
    assert len(answer.looks) == 6
    for look in answer.looks[2:]:
        assert [(tile.x1, tile.y1) for tile in look.tiles] == [(2048, 2048)]


def test_what_is_left_of_a_budget_goes_around_what_was_picked(server, make_host, scene_path):
    server.otherwise = picks(1)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=Budget(40, 640))
    assert len(answer.looks[-1].tiles) >= 4
    assert all(tile.x1 <= 1024 and tile.y1 <= 1024 for tile in answer.looks[-1].tiles)


def test_what_was_spent_is_in_the_cost(server, make_host, scene_path):
    server.otherwise = picks(1)
    host = make_host()
    first = gf.ask(scene_path, QUESTION, model=host, budget=FEW)
    second = gf.ask(scene_path, QUESTION, model=host, budget=FEW, focus="uniform")
    spent = first.to_json()["cost"]["endpoint"]
    assert spent["calls"] == len(first.looks)
    assert spent["prompt_tokens"] == 100 * spent["calls"]
    assert second.to_json()["cost"]["endpoint"]["calls"] == 1
    assert second.to_json()["cost"]["endpoint"]["images"] == 8
    assert host.use.calls == len(server.requests) == spent["calls"] + 1


def test_a_host_in_process_has_no_endpoint_in_its_cost(make_session):
    assert "endpoint" not in make_session().ask(QUESTION, budget=Budget(12, 60)).to_json()["cost"]


def test_unknown_confidence_is_stated_and_is_null_and_not_zero(server, make_host, scene_path):
    server.otherwise = says("yes", None)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW, focus="overview")
    assert (answer.confidence, answer.confidence_known) == (0.0, False)
    assert answer.to_json()["confidence"] is None
    assert any("no log-probabilities" in warning for warning in answer.warnings)
    assert "confidence unknown" in answer._repr_html_()
    assert "0% sure" not in answer._repr_html_()


@pytest.mark.parametrize(
    ("message", "text", "warning"),
    [
        ({"content": None, "reasoning_content": "ships?"}, "", "no answer: its text is empty"),
        ({"content": "<think>ships?"}, "", "no answer: its text is empty"),
        ({"content": None, "refusal": "I cannot."}, "I cannot.", "ended the answer early: refusal"),
    ],
)
def test_no_answer_is_stated_and_has_no_confidence(
    server, make_host, scene_path, message, text, warning
):
    logprobs = {"content": [{"token": "ships", "logprob": -0.01}]}
    choice = {"message": message, "finish_reason": "stop", "logprobs": logprobs}
    server.otherwise = answers({"choices": [choice]})
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW, focus="overview")
    assert (answer.text, answer.confidence_known) == (text, False)
    assert any(warning in told for told in answer.warnings)


def test_a_list_of_cells_that_was_cut_is_not_followed(server, make_host, scene_path):
    # the 1 may be the beginning of 17
    message = {"role": "assistant", "content": "3, 1"}
    server.otherwise = answers({"choices": [{"message": message, "finish_reason": "length"}]})
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW)
    assert any("named no cells of the grid" in warning for warning in answer.warnings)
    assert all(np.ptp(look.token_scores) == 0 for look in answer.looks)


def test_a_model_that_thinks_has_as_many_tokens_to_pick_as_to_answer(server, make_host, scene_path):
    server.otherwise = picks(1)
    gf.ask(scene_path, QUESTION, model=make_host(answer_tokens=2000), budget=FEW)
    assert {request["max_tokens"] for request in server.requests} == {2000}


@pytest.mark.parametrize("reply", ["", "I see ships", "1, 99999", "0", "rm -rf /", "1; DROP", "-3"])
def test_nonsense_about_cells_is_an_even_look_and_a_warning(server, make_host, scene_path, reply):
    server.otherwise = says(reply)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW)
    assert any("named no cells of the grid" in warning for warning in answer.warnings)
    assert all(np.ptp(look.token_scores) == 0 for look in answer.looks)
    assert answer.stopped == "native"


def test_pictures_that_cost_more_than_declared_are_noticed(server, make_host, scene_path):
    server.otherwise = says("yes", [-0.1], (50_000, 1))
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW, focus="overview")
    assert any("image_tokens=" in warning for warning in answer.warnings)


def test_a_key_on_an_open_line_is_told(make_host, scene_path, server, monkeypatch):
    monkeypatch.setenv("GEOFOVEA_API_KEY", "secret-key")
    monkeypatch.setattr(EndpointSettings, "is_private", False)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW, focus="overview")
    assert any("unencrypted" in warning for warning in answer.warnings)
    assert "secret-key" not in json.dumps(answer.to_json())


def test_blind_answers_send_no_picture(server, make_host):
    assert make_host().generate(QUESTION, None).text == "yes"
    assert server.pictures() == []


def test_an_endpoint_that_is_down_is_a_typed_error(server, make_host, scene_path):
    server.otherwise = status(503)
    with pytest.raises(EndpointError, match=r"503 \(4 attempts\)"):
        gf.ask(scene_path, QUESTION, model=make_host(attempts=4), budget=FEW)


def test_words_of_any_script_are_counted_before_they_are_sent(server, make_host):
    server.otherwise = says("yes", None, None)
    host, question = make_host(), "港口里有多少艘船" * 20
    host.generate("", None)
    without = host.use.prompt_tokens
    host.generate(question, None)
    # a character is a token or nearly so
    assert host.use.prompt_tokens - 2 * without >= len(question) - 1


def test_one_answer_may_take_as_long_as_the_call():
    taken = []
    command = click.command()(endpoint_options(lambda endpoint: taken.append(endpoint)))
    words = ["--endpoint", "http://localhost/v1", "--endpoint-seconds", "900"]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert 899 < Patience(taken[0]).seconds <= 900
    assert 179 < Patience(EndpointSettings("http://localhost/v1")).seconds <= 180


def test_the_spend_limit_holds_over_questions_and_scenes(make_host, scene_path, make_png):
    host = make_host(limit=SpendLimit(calls=2))
    for path in (scene_path, make_png(80, 80)):
        gf.ask(path, QUESTION, model=host, budget=FEW, focus="overview")
    with pytest.raises(SpendLimitError, match="limit of 2 calls"):
        gf.ask(scene_path, QUESTION, model=host, budget=FEW, focus="overview")


def test_a_budget_of_less_than_a_picture_is_refused(make_host, scene_path):
    with pytest.raises(BudgetError, match="one picture costs 16 vision tokens, the budget is 15"):
        gf.ask(scene_path, QUESTION, model=make_host(), budget=Budget(14, 15), focus="overview")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"focus": "attention"}, "choose one of prompted, similarity, overview"),
        ({"focus": "rfm"}, "no region focus module"),
        ({"focus": "similarity"}, "focus_model="),
        ({"focus": "overview", "reduction": "divprune"}, "whole tiles"),
        ({"descent": "published"}, "published LRS-VQA model"),
        ({"stop": StopAt(confidence=0.5)}, "cannot be asked on the way"),
    ],
)
def test_what_a_black_box_cannot_do_is_refused_with_what_it_can(
    make_host, scene_path, options, reason
):
    with pytest.raises(ModelError, match=reason):
        gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW, **options)


def test_a_host_in_process_cannot_be_prompted(make_session):
    with pytest.raises(ModelError, match="choose attention or similarity"):
        make_session().ask(QUESTION, budget=Budget(12, 60), focus="prompted")


def test_names_without_a_model_or_an_endpoint_are_refused():
    with pytest.raises(ModelError, match="say where with endpoint="):
        gf.load_host("openai:gpt-x")
    with pytest.raises(ModelError, match="names no model"):
        gf.load_host("openai:", endpoint=EndpointSettings("http://localhost/v1"))
    with pytest.raises(ModelError, match="is not behind an endpoint"):
        gf.load_host("embedded", endpoint=EndpointSettings("http://localhost/v1"))
    with pytest.raises(ModelError, match="is loaded by its endpoint"):
        gf.load_host("openai:x", dtype="float16", endpoint=EndpointSettings("http://localhost/v1"))


def test_what_may_be_spent_is_one_limit_whatever_else_was_loaded():
    address = EndpointSettings("http://localhost/v1")
    first = gf.load_host("openai:x", endpoint=address)
    for other in ("openai:y", "openai:z", "openai:w"):
        gf.load_host(other, endpoint=address)
    assert gf.load_host("openai:x", endpoint=EndpointSettings("http://localhost/v1")) is first


def test_pictures_of_any_size_answer(server, make_host, make_png):
    for height, width in ((1, 1), (10, 300), (65, 63)):
        path = make_png(height, width, name=f"{height}x{width}.png")
        answer = gf.ask(path, QUESTION, model=make_host(), budget=FEW, focus="overview")
        assert answer.text == "yes"
        assert all(min(opened(url).shape[:2]) >= 56 for url in server.pictures())


def test_a_picture_is_counted_at_the_size_that_is_sent(server, make_host, make_png):
    server.otherwise = says("yes", None, None)
    counted = []
    for side in (2, 56):
        host, path = make_host(), make_png(side, side, name=f"{side}.png")
        gf.ask(path, QUESTION, model=host, budget=FEW, focus="overview")
        assert {opened(url).shape for url in server.pictures()} == {(56, 56, 3)}
        counted.append(host.use.prompt_tokens)
    assert counted[0] == counted[1]


@pytest.mark.parametrize("picture_format", ["jpeg", "png"])
def test_pictures_carry_nothing_but_pixels(server, make_host, tmp_path, scene_path, picture_format):
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "taken by somebody", 6
    path = tmp_path / "photo.jpg"
    photo = Image.fromarray(texture(90, 130).transpose(1, 2, 0))
    photo.save(path, exif=exif, icc_profile=b"\0" * 200, comment=b"taken by somebody")
    for scene in (path, scene_path):
        host = make_host(picture_format=picture_format)
        gf.ask(scene, QUESTION, model=host, budget=FEW, focus="uniform")
        for url in server.pictures():
            kind, _, content = url.partition(",")
            raw = base64.b64decode(content)
            picture = Image.open(io.BytesIO(raw))
            assert kind == f"data:image/{picture_format};base64"
            assert (picture.format.lower(), picture.mode) == (picture_format, "RGB")
            assert not picture.getexif()
            assert not {"exif", "icc_profile", "comment"} & set(picture.info)
            assert b"somebody" not in raw


def test_sixteen_bits_and_missing_pixels_are_shown_as_eight_bits_and_gray(
    server, make_host, make_tiff
):
    pixels = (texture(200, 300).astype(np.uint16) + 1) * 40
    pixels[:, 40:60, 40:60] = 0
    host = make_host(picture_format="png")
    all_tiles = Budget(tiles=40, tokens=40 * IMAGE_TOKENS)
    gf.ask(make_tiff(pixels, nodata=0), QUESTION, model=host, budget=all_tiles, focus="uniform")
    native = [
        (words, opened(url))
        for words, url in zip(
            re.findall(r"Picture \d+: (.*)", server.texts()), server.pictures(), strict=True
        )
        if "level 0" in words
    ]
    assert native
    for words, picture in native:
        x0, x1, y0, y1 = map(float, re.findall(r"([\d.]+) %", words))
        # places in words and pictures agree, at the edges of the scene too
        rows, cols = (max(56, round(side)) for side in ((y1 - y0) * 2, (x1 - x0) * 3))
        assert abs(picture.shape[0] - rows) <= 1
        assert abs(picture.shape[1] - cols) <= 1
        assert np.ptp(picture) > 100
    first = next(
        picture for words, picture in native if "x from 0 %" in words and "y from 0 %" in words
    )
    assert (first[40:60, 40:60] == 128).all()
    assert np.ptp(first[:40, :40]) > 100


def test_what_shows_nothing_is_not_sent(server, make_host, make_tiff):
    pixels = texture(512, 512)
    pixels[:, :, 256:] = 0
    path = make_tiff(pixels, nodata=0)
    answer = gf.ask(path, QUESTION, model=make_host(), budget=FEW, focus="uniform")
    assert all(item.box_scene.x0 < 256 for item in answer.evidence)
    assert "x from 0 % to 50 %" in server.texts()


def command(server, *options, scene, expected=0):
    where = ["--model", "openai:toy", "--endpoint", server.url, "--tiles", "10", "--tokens", "1024"]
    result = CliRunner().invoke(main, ["ask", str(scene), QUESTION, *where, *options])
    assert result.exit_code == expected, result.output
    return result


def test_the_command_line_asks_an_endpoint(server, scene_path):
    server.otherwise = picks(1)
    row = json.loads(command(server, "--json", scene=scene_path).stdout)
    assert (row["answer"], row["model"], row["confidence_known"]) == ("yes", "openai:toy", True)
    # less than four whole tiles: their edges are beyond the scene
    assert 3 * 256 < row["cost"]["tokens_llm"] <= 4 * 256 == row["cost"]["budget"]["tokens"]
    said = command(server, scene=scene_path)
    assert "endpoint   " in said.stdout
    server.otherwise = says("yes", None)
    said = command(server, "--focus", "overview", scene=scene_path)
    assert "confidence unknown" in said.stdout.splitlines()[0]


def test_an_error_of_an_endpoint_is_one_line(server, scene_path):
    server.otherwise = status(401, "bad\nkey\x1b[31m")
    result = command(server, scene=scene_path, expected=1)
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: the endpoint http://127.0.0.1")
    assert "\x1b" not in result.stderr
