"""A picture of an answer shows what reached the decoder, whatever the shape of the scene."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pipeline_toys import QUESTION, texture
from rasterio.crs import CRS
from rasterio.transform import Affine

from geofovea.errors import OutputError
from geofovea.pipeline.answers.drawing.page import legend_of
from geofovea.pipeline.answers.drawing.plan import plan_picture
from geofovea.pipeline.answers.drawing.theme import EVIDENCE, INK, PAPER, SMALL, font
from geofovea.pipeline.answers.drawing.words import draw_head, draw_warnings
from geofovea.pipeline.answers.picture import draw_answer, save_picture
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.session.session import SceneSession
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

FEW = Budget(tiles=12, tokens=60)
README_WIDTH = 830
RASTERS = Path(os.environ.get("GEOFOVEA_SHARED", "/nowhere")) / "data" / "rasters"


@pytest.fixture(scope="module")
def embedded_host():
    return load_host(threads=1)


def asked(session, **options):
    return session.ask(QUESTION, budget=FEW, **options)


def finest(answer):
    level = answer.evidence[0].tile.level
    return [item.box_scene for item in answer.evidence if item.tile.level == level]


def contains(outer, inner):
    return inner.share_inside(outer) == pytest.approx(1)


def plan_on_page(answer):
    """The plan of a picture whose panels stand where `draw_answer` draws them."""
    pen = ImageDraw.Draw(Image.new("RGB", (1660, 900)))
    top = draw_head(pen, answer.question, answer.text, answer.confidence, "")
    return plan_picture(answer, draw_warnings(pen, answer.warnings, top) + 4)


def shown(page, panel):
    frame = panel.frame
    cut = page.crop((frame.left, frame.top, frame.right, frame.bottom))
    return np.asarray(cut).astype(int)


SHAPES = [(2048, 2048), (300, 4000), (4000, 300), (700, 1600), (1600, 700), (900, 900)]


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_the_close_ups_show_the_finest_evidence_whole(make_session, make_png, height, width):
    answer = asked(make_session(make_png(height, width)))
    plan = plan_picture(answer, 0)
    assert contains(plan.close_ups[0].box, answer.evidence[0].box_scene)
    for place, panel in zip(plan.places, plan.close_ups, strict=False):
        assert all(contains(panel.box, box) for box in place.boxes)
    if len(plan.close_ups) == len(plan.places):
        assert all(any(contains(p.box, b) for p in plan.close_ups) for b in finest(answer))


@pytest.mark.parametrize("name", ["P0706.png", "boats.jpg", "s2_TCI_cog.tif", "cog_world.tif"])
def test_the_close_up_of_a_real_scene_shows_what_reached_the_decoder(embedded_host, name):
    if not (RASTERS / name).exists():
        pytest.skip("the rasters are not here")
    session = SceneSession(open_scene(RASTERS / name), embedded_host)
    answer = session.ask("How many ships are in the marina?", budget=Budget(tiles=48, tokens=512))
    plan = plan_picture(answer, 0)
    panels = plan.close_ups or (plan.scene,)
    shown_whole = [box for box in finest(answer) if any(contains(p.box, box) for p in panels)]
    assert contains(panels[0].box, answer.evidence[0].box_scene)
    assert len(plan.places) > len(plan.close_ups) or shown_whole == finest(answer)


def test_pixels_of_the_evidence_are_those_of_the_scene(make_session):
    """No border, tint or veil lies on what answers, but for the corners around a spot."""
    session = make_session()
    answer = replace(asked(session), looks=())
    plan = plan_on_page(answer)
    panel = plan.close_ups[0]
    frame = panel.frame
    pixels = shown(draw_answer(answer, session.reader), panel)
    expected, _ = session.reader.read_box(panel.box, (frame.height, frame.width))
    x0, y0, x1, y1 = (round(c) for c in panel.on_page(plan.places[0].boxes[0]))
    inside = (slice(y0 - frame.top + 4, y1 - frame.top - 4),
              slice(x0 - frame.left + 4, x1 - frame.left - 4))  # fmt: skip
    assert pixels[inside].size
    assert (pixels[inside] == expected[inside]).all()
    # and what is outside is paler than it is
    outside = np.abs(expected.astype(int) - 246).mean() - np.abs(pixels - 246).mean()
    assert outside > 5


def test_a_far_place_has_a_way_in_and_a_near_one_has_none(make_session, make_png):
    far = plan_picture(asked(make_session()), 0)
    near = plan_picture(asked(make_session(make_png(200, 200))), 0)
    if len(far.places) == 1:
        assert far.way_in is not None
        assert contains(far.way_in.box, far.close_ups[0].box)
    assert near.way_in is None


@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 15), (64, 64)])
def test_a_tiny_scene_has_one_panel(make_session, make_png, height, width):
    answer = asked(make_session(make_png(height, width)))
    plan = plan_picture(answer, 0)
    assert (plan.close_ups, plan.way_in) == ((), None)
    assert draw_answer(answer).mode == "RGB"


@pytest.mark.parametrize(("height", "width"), [(100, 4000), (4000, 100), (3, 2000), (2000, 3)])
def test_a_long_scene_keeps_its_proportions(make_session, make_png, height, width):
    answer = asked(make_session(make_png(height, width)))
    plan = plan_picture(answer, 0)
    assert plan.layout.is_stacked == (width > height)
    for panel in (plan.scene, *plan.close_ups):
        box, frame = panel.box, panel.frame
        if min(frame.width, frame.height) > 40:
            assert frame.aspect == pytest.approx(box.width / box.height, rel=0.05)
        assert 0 < frame.left < frame.right <= 1660
    draw_answer(answer)


@pytest.mark.parametrize("focus", ["overview", "uniform"])
def test_ways_of_looking_without_scores_are_drawn_too(make_session, focus):
    assert draw_answer(asked(make_session(), focus=focus)).width == 1660


def test_an_answer_without_evidence_and_looks_is_drawn_too(make_session):
    answer = replace(asked(make_session()), evidence=(), looks=())
    assert plan_picture(answer, 0).close_ups == ()
    assert draw_answer(answer).width == 1660


@pytest.mark.parametrize("question", ["what " * 300, "what\nis\tthis\n?", "x" * 2000, "船は何隻？"])
def test_any_question_leaves_the_margins_and_the_confidence_free(make_session, question):
    page = draw_answer(replace(asked(make_session()), question=question))
    ink = np.asarray(page.crop((page.width - 39, 0, page.width, 140)))
    assert (ink == PAPER).all()
    between = np.asarray(page.crop((page.width - 380, 0, page.width - 341, 130)))
    assert (between == PAPER).all(), "the confidence stands apart"


def test_the_smallest_letters_are_eleven_pixels_high_at_the_width_of_a_readme():
    assert SMALL * README_WIDTH / 1660 >= 11
    assert font(SMALL).size == SMALL


def head(confidence):
    page = Image.new("RGB", (1660, 300), PAPER)
    draw_head(ImageDraw.Draw(page, "RGBA"), "How many?", "1", confidence, "not known")
    return np.asarray(page)


def test_the_bar_of_a_confidence_is_as_long_as_it_is_high():
    for confidence in (0.1, 0.5, 0.82, 1.0):
        row = head(confidence)[34 + 97, 1320:1620]
        assert (row == INK).all(1).sum() == pytest.approx(300 * confidence, abs=3)


def test_an_unknown_confidence_has_neither_number_nor_bar():
    unknown, none = head(None), head(0.0)
    assert (unknown[34 + 97, 1320:1620] == PAPER).all()
    assert not np.array_equal(unknown, none)


def test_warnings_stand_in_the_picture(make_session):
    answer = replace(asked(make_session()), warnings=())
    warned = replace(answer, warnings=("do not rely on this answer",))
    more = replace(answer, warnings=("one", "two", "three"))
    heights = [draw_answer(each).height for each in (answer, warned, more)]
    assert heights[0] < heights[1] < heights[2]


def test_the_legend_names_every_level_in_meters_per_pixel(make_session):
    answer = asked(make_session())
    entries = legend_of(answer, plan_picture(answer, 0))
    text = "; ".join(entry.text for entry in entries)
    for look in answer.looks:
        meters = 0.5 * 2**look.level
        unit = f"{meters:g} m/px" if meters >= 1 else f"{100 * meters:g} cm/px"
        assert unit in text
    assert "overview at" in text
    assert entries[-1].color == EVIDENCE or entries[-2].color == EVIDENCE


def test_without_a_ground_levels_are_ratios(make_session, make_png):
    answer = asked(make_session(make_png(1500, 1500)))
    text = "; ".join(entry.text for entry in legend_of(answer, plan_picture(answer, 0)))
    for look in answer.looks:
        assert f"1:{2**look.level}" in text
    assert "m/px" not in text


def test_a_saved_picture_is_a_png(make_session, tmp_path):
    session = make_session()
    answer = asked(session)
    path = tmp_path / "where it looked.png"
    save_picture(answer, session.reader, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), np.asarray(draw_answer(answer, session.reader)))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_an_answer_draws_itself_as_its_session_would(make_session, make_tiff):
    pixels = (texture(600, 600).astype(np.uint16) + 1) * 40
    session = make_session(make_tiff(pixels), bands=(3, 2, 1))
    answer = asked(session)
    alone, together = draw_answer(answer), draw_answer(answer, session.reader)
    # the tiles of both readers differ, so edges may be averaged in another way
    assert np.abs(np.asarray(alone).astype(int) - np.asarray(together)).mean() < 1


def test_a_picture_in_a_missing_folder_is_an_output_error(make_session, tmp_path):
    session = make_session()
    with pytest.raises(OutputError, match="there is no folder"):
        save_picture(asked(session), session.reader, tmp_path / "nowhere" / "picture.png")


def test_an_older_picture_survives_a_write_that_fails(make_session, tmp_path, monkeypatch):
    session = make_session()
    answer = asked(session)
    path = tmp_path / "picture.png"
    path.write_bytes(b"older")

    def fail(self, aside, *args):
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OutputError, match="No space left"):
        save_picture(answer, session.reader, path)
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["picture.png"]


def test_a_picture_of_one_band_is_gray(make_session, make_tiff):
    session = make_session(make_tiff(texture(500, 500, 1)))
    rgb, _ = session.reader.read_box(session.scene.box, (50, 50))
    assert (rgb[..., 0] == rgb[..., 1]).all()
    assert draw_answer(asked(session)).width == 1660


def test_missing_pixels_are_pale(make_session, make_tiff):
    pixels = texture(512, 512)
    pixels[:, :, 256:] = 0
    path = make_tiff(pixels, nodata=0, transform=Affine(2, 0, 5e5, 0, -2, 5e6),
                     crs=CRS.from_epsg(32633))  # fmt: skip
    session = make_session(path)
    panel = plan_picture(asked(session), 0).scene
    picture = np.asarray(panel.pixels(session.reader))
    assert (picture[:, -20:] == 236).all()
