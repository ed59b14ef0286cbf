"""Pictures of the documentation show the numbers of its tables."""

import math
import re
import sys

import pytest
from PIL import Image
from repository import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from draw_figures import DOCS, FIGURES, draw_confidence, draw_windows, table_of


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.picture)
def test_a_picture_was_drawn_from_the_table_of_its_page(figure):
    assert all(len(table) > 2 for table in figure.tables())
    assert figure.drawn_from() == figure.digest(), "run: python tools/draw_figures.py"


def test_a_table_is_found_by_its_header_and_ends_with_its_last_row():
    first, line = "| a | b |\n|---|---|\n| 1 | x |\n\n", "|---|---|\n"
    text = f"{first}| a   | c |\n{line}| `2` | y |\n| 3\\* | z |\n\nend"
    assert table_of(text, "| a | c") == [["2", "y"], ["3", "z"]]
    with pytest.raises(ValueError, match="no table begins"):
        table_of(text, "| d")


def test_the_table_of_confidences_adds_up_to_what_the_page_says():
    (rows,) = next(f for f in FIGURES if f.draw is draw_confidence).tables()
    answers = sum(int(row[1]) for row in rows)
    right = sum(int(row[2]) for row in rows) / answers
    mean = sum(int(row[1]) * float(row[3]) for row in rows) / answers
    page = (DOCS / "benchmarks" / "quality.md").read_text(encoding="utf-8")
    said = re.search(
        r"Of the (\d+), accuracy is ([\d.]+), mean confidence ([\d.]+)", " ".join(page.split())
    )
    assert said is not None
    assert int(said[1]) == answers
    assert math.isclose(right, float(said[2]), abs_tol=0.005)
    assert math.isclose(mean, float(said[3]), abs_tol=0.005)


@pytest.mark.parametrize(
    "figure",
    [f for f in FIGURES if f.draw is not draw_windows],
    ids=lambda figure: figure.picture,
)
def test_a_chart_can_be_drawn_again_from_its_table(figure, tmp_path):
    again = tmp_path / figure.picture
    figure.draw(figure.tables(), again)
    with Image.open(again) as drawn, Image.open(figure.path) as kept:
        assert drawn.size == kept.size


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.picture)
def test_a_picture_is_light_and_wide_enough_to_read(figure):
    assert figure.path.stat().st_size < 120_000
    with Image.open(figure.path) as image:
        assert image.width >= 800
