"""A picture of an answer has the panels that its scene needs, and a failing write loses nothing."""

import numpy as np
import pytest
from PIL import Image
from pipeline_toys import QUESTION, texture

from geofovea.errors import OutputError
from geofovea.pipeline.answers.picture import draw_answer, save_picture
from geofovea.regionfocus.budget import Budget

FEW = Budget(tiles=12, tokens=60)
PANEL, GAP = 560, 16
PAPER = (250, 250, 248)


def panels_of(page):
    return (page.width - GAP) / (PANEL + GAP)


def drawn(session, **options):
    answer = session.ask(QUESTION, budget=FEW, **options)
    return draw_answer(answer, session.reader)


def test_a_big_scene_has_the_whole_the_way_in_and_the_place(make_session):
    page = drawn(make_session())
    assert panels_of(page) == 3
    assert page.mode == "RGB"


@pytest.mark.parametrize(("height", "width"), [(1, 1), (10, 15), (64, 64)])
def test_a_tiny_scene_has_one_panel(make_session, make_png, height, width):
    assert panels_of(drawn(make_session(make_png(height, width)))) == 1


@pytest.mark.parametrize(("height", "width"), [(100, 4000), (4000, 100), (3, 2000)])
def test_a_long_scene_keeps_its_proportions(make_session, make_png, height, width):
    page = drawn(make_session(make_png(height, width)))
    assert panels_of(page) == 3
    # beside the picture of the scene the panel stays paper: probe its far corner
    left, top = GAP, page.height - 2 * GAP - 20 - PANEL
    assert page.getpixel((left + PANEL - 1, top + PANEL - 1)) == PAPER


@pytest.mark.parametrize("focus", ["overview", "uniform"])
def test_ways_of_looking_without_scores_are_drawn_too(make_session, focus):
    assert panels_of(drawn(make_session(), focus=focus)) >= 1


def test_the_first_panel_shows_the_scene(make_session, make_tiff):
    pixels = np.zeros((3, 512, 512), np.uint8)
    pixels[0] = 200
    pixels[2, :, 256:] = 200
    session = make_session(make_tiff(pixels, photometric="rgb"))
    page = drawn(session)
    top = page.height - 2 * GAP - 20 - PANEL
    rgb = np.asarray(page.crop((GAP, top, GAP + PANEL, top + PANEL)))
    expected, _ = session.reader.read_box(session.scene.box, (PANEL, PANEL))
    # outlines, the frame and the legend cover some of it
    same = (rgb == expected).all(2)
    assert same[PANEL // 2 :].mean() > 0.6


@pytest.mark.parametrize("question", ["what " * 300, "what\nis\tthis\n?", "x" * 2000])
def test_any_question_fits_on_its_line(make_session, question):
    session = make_session()
    answer = session.ask(question, budget=FEW)
    page = draw_answer(answer, session.reader)
    assert panels_of(page) == 3
    ink = np.asarray(page.crop((page.width - GAP, 0, page.width, 44)))
    assert (ink == PAPER).all(), "the margin beside the question stays empty"


def test_a_saved_picture_is_a_png(make_session, tmp_path):
    session = make_session()
    answer = session.ask(QUESTION, budget=FEW)
    path = tmp_path / "where it looked.png"
    save_picture(answer, session.reader, path)
    with Image.open(path) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.asarray(picture), np.asarray(draw_answer(answer, session.reader)))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_picture_in_a_missing_folder_is_an_output_error(make_session, tmp_path):
    session = make_session()
    answer = session.ask(QUESTION, budget=FEW)
    with pytest.raises(OutputError, match="there is no folder"):
        save_picture(answer, session.reader, tmp_path / "nowhere" / "picture.png")


def test_an_older_picture_survives_a_write_that_fails(make_session, tmp_path, monkeypatch):
    session = make_session()
    answer = session.ask(QUESTION, budget=FEW)
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


def test_a_picture_of_one_band_is_grey(make_session, make_tiff):
    session = make_session(make_tiff(texture(500, 500, 1)))
    rgb, _ = session.reader.read_box(session.scene.box, (50, 50))
    assert (rgb[..., 0] == rgb[..., 1]).all()
    assert panels_of(drawn(session)) >= 1
