"""A model behind an endpoint answers about a scene from whole tiles, within every limit."""

from __future__ import annotations

import base64
import io
import json
import re

import click
import numpy as np
import pytest
import torch
from chat_server import answers, says, status
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pipeline_toys import QUESTION, texture

import geofovea as gf
from geofovea.errors import BudgetError, EndpointError, ModelError, SpendLimitError
from geofovea.pipeline.cli import main
from geofovea.pipeline.endpoint_host import EndpointHost, endpoint_host
from geofovea.pipeline.endpoint_options import endpoint_options
from geofovea.pipeline.endpoint_settings import EndpointSettings, SpendLimit
from geofovea.pipeline.numbered_grid import MOST_CELLS, NumberedGrid, parse_cells
from geofovea.pipeline.prompted_focus import PromptedFocus
from geofovea.pipeline.stage_clock import StageClock
from geofovea.pipeline.stop_at import StopAt
from geofovea.pipeline.tile_pictures import (
    ScenePlace,
    pictures_from_tokens,
    tokens_from_pixels,
)
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.descent import encode_looks
from geofovea.regionfocus.looks import Descent
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.regionfocus.whole_tiles import keep_tiles
from geofovea.tiling.pyramid import Box, Pyramid, Tile

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
    # native pixels of the synthetic scene are half a metre: tiles of 64 are 32 m
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


def test_unknown_confidence_is_stated_and_stands_as_zero(server, make_host, scene_path):
    server.otherwise = says("yes", None)
    answer = gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW, focus="overview")
    assert (answer.confidence, answer.confidence_known) == (0.0, False)
    assert answer.to_json()["confidence"] == 0.0
    assert any("no log-probabilities" in warning for warning in answer.warnings)
    assert "how sure is not known" in answer._repr_html_()
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
    assert any("--image-tokens" in warning for warning in answer.warnings)


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
        gf.ask(scene_path, QUESTION, model=make_host(), budget=FEW)


def test_words_of_any_script_are_counted_before_they_are_sent(server, make_host):
    server.otherwise = says("yes", None, None)
    host, question = make_host(), "港口里有多少艘船" * 20
    host.generate("", None)
    without = host.use.prompt_tokens
    host.generate(question, None)
    # a character is a token or nearly so
    assert host.use.prompt_tokens - 2 * without >= len(question) - 1


@pytest.mark.parametrize(("seconds", "attempt"), [(20, 60), (180, 60), (900, 300)])
def test_patience_with_an_endpoint_is_for_each_of_its_answers(seconds, attempt):
    taken = []
    command = click.command()(endpoint_options(lambda endpoint: taken.append(endpoint)))
    words = ["--endpoint", "http://localhost/v1", "--endpoint-seconds", str(seconds)]
    assert CliRunner().invoke(command, words).exit_code == 0
    assert [(found.attempt_seconds, found.total_seconds) for found in taken] == [(attempt, seconds)]


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
        ({"focus": "similarity"}, "--focus-model"),
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
    with pytest.raises(ModelError, match="say where with --endpoint"):
        gf.load_host("openai:gpt-x")
    with pytest.raises(ModelError, match="names no model"):
        gf.load_host("openai:", endpoint=EndpointSettings("http://localhost/v1"))
    with pytest.raises(ModelError, match="is not behind an endpoint"):
        gf.load_host("embedded", endpoint=EndpointSettings("http://localhost/v1"))
    with pytest.raises(ModelError, match="is loaded by its endpoint"):
        gf.load_host("openai:x", dtype="float16", endpoint=EndpointSettings("http://localhost/v1"))


def test_what_may_be_spent_is_one_purse_whatever_else_was_loaded():
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


def test_sixteen_bits_and_missing_pixels_are_shown_as_eight_bits_and_grey(
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
    assert "how sure is not known" in said.stdout.splitlines()[0]


def test_an_error_of_an_endpoint_is_one_line(server, scene_path):
    server.otherwise = status(401, "bad\nkey\x1b[31m")
    result = command(server, scene=scene_path, expected=1)
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("error: the endpoint http://127.0.0.1")
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize(
    ("reply", "cells"),
    [
        ("3", (2,)),
        (" 12, 3 ", (11, 2)),
        ("12,3,12", (11, 2)),
        ("[4, 7]", (3, 6)),
        ("4; 7.", (3, 6)),
        ("4 and 7", (3, 6)),
        ("4, and 7", (3, 6)),
        ("Cells: 1, 2", (0, 1)),
        ("**4, 7**", (3, 6)),
        ("**4**, **7**", (3, 6)),
        ("`4`", (3,)),
        ("```json\n[4, 7]\n```", (3, 6)),
        ('{"cells": [4, 7]}', (3, 6)),
        ('```\n{"cell": 4}\n```', (3,)),
        ("cells 4, 7 and cell 9", (3, 6, 8)),
        ("Cells 3, 5 and 7.", (2, 4, 6)),
        ("#4, #7", (3, 6)),
        ("4 or 7", (3, 6)),
        ("4，7、9。", (3, 6, 8)),
        ("4\n7", (3, 6)),
        ("**none**", ()),
        ("none", ()),
        ("None.", ()),
        ("", None),
        ("0", None),
        ("17", None),
        ("1, 17", None),
        ("1.5", None),
        ("-1", None),
        ("cell number 4", None),
        ("4, 7 because of the ships", None),
        ("1, " * 100, None),
        ("１", None),
        ("四, 七", None),
        ("٤", None),
        ("3-5", None),
        ("3 to 5", None),
        ("3/5", None),
        ("3 of 16", None),
        ("1. 12\n2. 7", None),
        ("| 3 | 5 |", None),
        ("- 3", None),
        ("4 km", None),
        ("3**5", None),
        ("1**2**", (0, 1)),
        ("1 000", None),
        ("2024", None),
        ("in 2024", None),
        ("48.2 N, 16.3 E", None),
        ("12th", None),
        ('{"cells": []}', None),
        ('{"cells": [4], "why": 7}', None),
        ("[4, 7", (3, 6)),
        ("None of 4, 7", None),
        ("not 4", None),
        ("4, 7, none", None),
    ],
)
def test_replies_are_read_by_a_small_grammar(reply, cells):
    assert parse_cells(reply, 16) == cells


_WORDS = [
    "cell",
    "cells",
    "and",
    "or",
    "none",
    "#",
    "&",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    '"cells"',
    "**",
    "`",
    "```",
    "json",
    ":",
    ",",
    ";",
    ".",
    "-",
    "/",
    "of",
    "N",
    "%",
    "|",
    " ",
]


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.sampled_from([*_WORDS, " "]) | st.integers(0, 2100).map(str), max_size=9),
    st.booleans(),
)
def test_what_is_read_of_a_reply_is_every_number_in_it(parts, apart):
    reply = (" " if apart else "").join(parts)
    cells = parse_cells(reply, 40)
    if cells:
        # nothing that could be meant otherwise: no number is left out or put together
        numbers = [int(number) for number in re.findall(r"[0-9]+", reply)]
        assert [cell + 1 for cell in cells] == list(dict.fromkeys(numbers))
        assert not re.search(r"[-/%|N]|of|none", reply)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=300), st.integers(1, MOST_CELLS))
def test_any_reply_gives_cells_of_the_grid_or_nothing(reply, count):
    cells = parse_cells(reply, count)
    assert cells is None or all(0 <= cell < count for cell in cells)


@settings(deadline=None, max_examples=40)
@given(st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=70))
def test_cells_are_numbered_once_each_in_reading_order(places):
    grid = NumberedGrid.over([Tile(2, row, col) for row, col in places])
    side = grid.cells_a_side
    cells = [
        (grid.cell(i, row, col), (i // grid.columns * side + row, i % grid.columns * side + col))
        for i in range(len(grid.tiles))
        for row in range(side)
        for col in range(side)
    ]
    assert sorted(cell for cell, _ in cells) == list(range(grid.count))
    # by number is by row of the sheet, then by column
    assert [place for _, place in sorted(cells)] == sorted(place for _, place in cells)
    assert side == 1 or grid.count <= MOST_CELLS


def test_a_sheet_shows_every_tile_where_its_numbers_say():
    tiles = [Tile(1, row, col) for row in range(2) for col in range(3)]
    grid = NumberedGrid.over(tiles)
    colors = [np.full((64, 64, 3), 40 * i, np.uint8) for i in range(6)]
    sheet = grid.draw(colors)
    assert sheet.shape == (128, 192, 3)
    cell = 64 // grid.cells_a_side
    for i in range(6):
        above, left = divmod(i, 3)
        y, x = above * 64 + cell - 3, left * 64 + cell - 3
        assert (sheet[y, x] == 40 * i).all()


class PickingHost:
    """Stands for a model that was asked; only what it says is of interest here."""

    image_tokens, tile_size, grid = IMAGE_TOKENS, TILE, (4, 4)

    def __init__(self, reply):
        self.reply = reply

    def ask_picture(self, rgb, instruction):
        self.sheet, self.instruction = rgb, instruction
        return self.reply


def token_set(pyramid, tiles):
    pixels = np.zeros((len(tiles), TILE, TILE, 3), np.uint8)
    return tokens_of_tiles(tokens_from_pixels(pixels, (4, 4)), (4, 4), tiles, pyramid)


def test_the_mass_of_a_picked_cell_lies_on_its_tokens():
    pyramid = Pyramid(256, 128, TILE)
    tokens = token_set(pyramid, list(pyramid.tiles(1)))
    focus = PromptedFocus(PickingHost("5, 9"), "where?", StageClock(), [])
    scores = focus.score(tokens)
    # two tiles side by side, 5 × 5 cells each: the 5th is the top right of the first, the 9th
    # the fourth of the second
    grid = NumberedGrid.over(tokens.tiles)
    assert (grid.cells_a_side, grid.columns) == (5, 2)
    boxes = tokens.boxes_scene
    right = scores[(boxes[:, 0] < 128)].argmax()
    assert boxes[boxes[:, 0] < 128][right].tolist() == [96, 0, 128, 32]
    assert scores.max() == scores[boxes[:, 0] < 128].max()
    best = boxes[scores.topk(2).indices]
    assert best[1, 0] >= 128


EVEN = "the level was looked at evenly"
ALL_CELLS = ", ".join(map(str, range(1, 51)))


@pytest.mark.parametrize(
    ("reply", "is_even", "told"),
    [
        ("none", True, f"said that no cell helps: {EVEN}"),
        (ALL_CELLS, True, f"named all cells: {EVEN}"),
        ("ships", True, f"named no cells of the grid: {EVEN}"),
        ("9, 8, 7, 6, 5, 4, 3, 2, 1", False, "named 9 cells where at most 8 were asked for"),
        ("8, 7, 6, 5, 4, 3, 2, 1", False, None),
    ],
)
def test_a_look_that_follows_less_than_was_said_is_told(reply, is_even, told):
    pyramid, warnings = Pyramid(256, 128, TILE), []
    tokens = token_set(pyramid, list(pyramid.tiles(1)))
    scores = PromptedFocus(PickingHost(reply), "where?", StageClock(), warnings).score(tokens)
    assert (np.ptp(scores.numpy()) == 0) == is_even
    assert len(warnings) == (told is not None)
    assert all(told in warning for warning in warnings)


def test_cells_of_missing_pixels_alone_are_an_even_look_and_told():
    pyramid, warnings = Pyramid(256, 128, TILE), []
    whole = token_set(pyramid, list(pyramid.tiles(1)))
    right = whole.select(whole.boxes_scene[:, 0] >= 64)
    scores = PromptedFocus(PickingHost("1"), "where?", StageClock(), warnings).score(right)
    assert np.ptp(scores.numpy()) == 0
    assert [EVEN in warning for warning in warnings] == [True]


def test_whole_tiles_go_and_come_back_as_they_were():
    pyramid = Pyramid(150, 100, TILE)
    tiles = [pyramid.overview, Tile(0, 1, 2), Tile(0, 0, 0)]
    pixels = np.random.default_rng(0).integers(0, 255, (3, TILE, TILE, 3), np.uint8)
    tokens = tokens_of_tiles(tokens_from_pixels(pixels, (8, 8)), (8, 8), tiles, pyramid)
    pictures = pictures_from_tokens(tokens, TILE, (8, 8))
    assert [p.tile for p in pictures] == [tiles[0], tiles[2], tiles[1]]
    for picture in pictures:
        cols, rows = pyramid.valid_size(picture.tile)
        assert picture.box_scene == pyramid.box_scene(picture.tile)
        expected = pixels[tiles.index(picture.tile)][:rows, :cols]
        np.testing.assert_array_equal(picture.rgb, expected)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(0, 2**31))
def test_kept_tiles_are_whole_within_the_budget_and_the_best_of_their_level(pictures, seed):
    pyramid = Pyramid(512, 512, TILE)
    tiles = [pyramid.overview, *pyramid.tiles(2), *list(pyramid.tiles(0))[:10]]
    looks = encode_looks(lambda some: token_set(pyramid, some), tiles)
    generator = torch.Generator().manual_seed(seed)
    scored = [
        type(look)(
            look.level, look.tiles, look.tokens, torch.rand(len(look.tokens), generator=generator)
        )
        for look in looks
    ]
    kept = keep_tiles(Descent(tuple(scored), "native"), pictures * 16 + 7, 16)
    assert len(kept) == 16 * len(kept.tiles) == 16 * min(pictures, len(tiles))
    assert pyramid.overview in kept.tiles
    for look in scored:
        scores = dict(zip(look.tiles, look.tile_scores, strict=True))
        chosen = [scores[t] for t in look.tiles if t in kept.tiles]
        left = [scores[t] for t in look.tiles if t not in kept.tiles]
        assert not chosen or not left or min(chosen) >= max(left)


def test_a_place_is_told_in_fractions_and_on_the_ground():
    place = ScenePlace(4000, 2000, 0.5)
    said = place.words(3, Box(1000, 500, 2000, 1000))
    assert said == (
        "level 3 (8 times coarser than full resolution), x from 25 % to 50 %, y from 25 % to 50 % "
        "of the scene, about 500 m x 250 m on the ground"
    )
    assert "ground" not in ScenePlace(4000, 2000, None).words(0, Box(0, 0, 10, 10))
