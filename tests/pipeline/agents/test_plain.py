"""What another program is told is bounded, and holds nothing that a terminal obeys."""

import json

from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.agents.plain import (
    MOST_TEXT,
    first_of,
    in_tool_words,
    plain_text,
    plain_values,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


@given(text=st.text(), most=st.integers(1, 50))
def test_a_text_is_visible_and_bounded(text, most):
    shown = plain_text(text, most)
    assert len(shown) <= most
    assert not any(ord(c) < 32 and c not in "\n\t" for c in shown)
    assert shown == text or len(text) > most or not text.isprintable()


@given(rows=st.lists(st.integers(), max_size=9), most=st.integers(1, 9))
def test_a_list_that_is_cut_says_how_many_there_were_and_how_to_get_the_others(rows, most):
    listed, notes = first_of(rows, most, "trucks", "look again")
    assert listed == rows[:most]
    whole = len(rows) <= most
    assert notes == ([] if whole else [f"{most} of {len(rows)} trucks are listed; look again"])


def test_arguments_are_named_as_the_tool_calls_them():
    text = "tiles=1 cannot hold both; give tokens= or nodata=0"
    assert in_tool_words(text, ["max_tiles"]) == text.replace("tiles=", "max_tiles=")
    assert in_tool_words("max_tiles=1", ["max_tiles"]) == "max_tiles=1"


def test_escapes_are_shown_and_long_texts_cut():
    assert plain_text("\x1b]0;owned\x07") == "\\x1b]0;owned\\x07"
    assert plain_text("x" * 10**6) == "x" * (MOST_TEXT - 1) + "…"
    assert plain_text("ship 🚢\nharbor") == "ship 🚢\nharbor"


@given(values=values)
def test_values_become_json_whatever_is_in_them(values):
    plain = plain_values(values)
    text = json.dumps(plain, allow_nan=False)
    assert "\\u001b" not in text


def test_lists_are_bounded():
    assert len(plain_values(list(range(10_000)))) == 256
    assert plain_values({"a": float("nan"), "b": (1, "\x00")}) == {"a": None, "b": [1, "\\x00"]}


def test_a_geometry_is_whole_or_none():
    ring = [[float(n), 1.0] for n in range(500)]
    shape = {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}
    assert plain_values({"geometry": shape}) == {"geometry": shape}
    shape["coordinates"] = [ring * 20]
    assert plain_values({"geometry": shape}) == {"geometry": None}
    shape["coordinates"] = [[]] * 5000
    assert plain_values({"geometry": shape}) == {"geometry": None}
