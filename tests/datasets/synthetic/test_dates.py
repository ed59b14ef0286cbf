"""Worlds at dates: what happened is what two pictures differ in, and nothing else changed."""

import hashlib
import random
from dataclasses import replace

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.datasets.synthetic.change_questions import CHANGE_CATEGORIES, ask_changes
from geofovea.datasets.synthetic.dates import changes_between, make_dated_world
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import FILLER_SITES, SITES
from geofovea.datasets.synthetic.world import make_world
from geofovea.errors import DataError

# of every byte of level 2, as it was before worlds had dates
OLD_WORLDS = {0: "ca9e2b629aedbe5a", 7: "ed9b26484fa18d5a", 11: "b5a792ebe3bc1560"}


def in_one_light(world):
    return replace(world, light=1.0)


@pytest.mark.parametrize("seed", OLD_WORLDS)
def test_a_world_without_dates_is_what_it_was(seed):
    pixels = render_window(make_world(seed, 4096, 4096), 2, 0, 0, 1024, 1024)
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == OLD_WORLDS[seed]


@given(st.integers(0, 10_000), st.integers(0, 4))
@settings(max_examples=25, deadline=None)
def test_the_world_of_a_date_follows_from_seed_and_number(seed, number):
    first, second = (make_dated_world(seed, 4096, 4096, number) for _ in range(2))
    assert first == second
    random.seed(0)  # a global generator is no part of it
    assert make_dated_world(seed, 4096, 4096, number) == first


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_something_changes_at_every_date_and_named_sites_stay_unique(seed, number):
    before = make_dated_world(seed, 8192, 8192, number - 1)
    after = make_dated_world(seed, 8192, 8192, number)
    assert changes_between(before, after)
    assert changes_between(after, after) == ()
    kinds = [site.kind for site in after.named_sites]
    assert len(set(kinds)) == len(kinds)
    assert [site.kind in SITES for site in after.sites] == sorted(
        (site.kind in SITES for site in after.sites), reverse=True
    )
    for site in after.sites:
        centers = [(item.x, item.y) for item in (site.hall, *site.things)]
        assert len(set(centers)) == len(centers)
        assert all(thing.box.share_inside(site.pad) > 0.9 for thing in site.things)


def test_date_zero_is_the_world_as_it_was_made():
    dated = make_dated_world(3, 4096, 4096, 0)
    assert dated.date == "2024-06-01"
    assert replace(dated, date=None) == make_world(3, 4096, 4096)
    assert make_dated_world(3, 4096, 4096, 1).date == "2024-09-29"


@pytest.mark.parametrize("number", [-1, 64])
def test_a_date_that_there_is_not_is_refused(number):
    with pytest.raises(DataError, match="dates 0 to 63"):
        make_dated_world(3, 4096, 4096, number)


@pytest.mark.parametrize("seed", range(6))
def test_pictures_differ_where_something_changed_and_nowhere_else(seed):
    before = in_one_light(make_dated_world(seed, 4096, 4096, 1))
    after = in_one_light(make_dated_world(seed, 4096, 4096, 2))
    differs = np.zeros((4096, 4096), bool)
    for y in range(0, 4096, 1024):
        parts = [render_window(w, 0, 0, y, 4096, 1024) for w in (before, after)]
        differs[y : y + 1024] = (parts[0] != parts[1]).any(-1)
    changes = changes_between(before, after)
    assert changes
    for change in sorted(changes, key=lambda change: change.kind.endswith("site")):
        x0, y0, x1, y1 = (int(v) for v in change.box.as_tuple())
        assert differs[y0:y1, x0:x1].any(), change
        # a moving thing leaves a trail, and all have shadows
        differs[max(0, y0 - 48) : y1 + 48, max(0, x0 - 48) : x1 + 48] = False
    assert not differs.any()


def test_another_date_has_another_light():
    before, after = (make_dated_world(5, 4096, 4096, n) for n in (0, 1))
    assert before.light == 1.0 != after.light
    means = [render_window(w, 3, 0, 0, 512, 512).mean() for w in (before, after)]
    assert means[1] / means[0] == pytest.approx(after.light, rel=0.05)


def truth_by_hand(question, before, after):
    """The answer counted on the things of both dates, in another way than the asker's."""
    words = question.text.rstrip("?").split()
    new = [s for s in after.sites if s.box not in {b.box for b in before.sites}]
    if question.category == "new site":
        return new[0].kind
    kind = next(k for k in (*SITES, *FILLER_SITES) if f"the {k}" in question.text)
    old_site, new_site = (next(s for s in w.sites if s.kind == kind) for w in (before, after))
    old, now = ({(t.kind, t.x, t.y) for t in s.things} for s in (old_site, new_site))
    if question.category in ("appeared", "gone"):
        (only,) = now - old if question.category == "appeared" else old - now
        return only[0]
    if question.category == "new count":
        thing = words[3].removesuffix("s")
        return str(sum(key[0] == thing for key in now - old))
    thing, attribute = words[2], words[-1]
    values = [
        next(getattr(t, attribute) for t in s.things if t.kind == thing)
        for s in (old_site, new_site)
    ]
    return "no" if values[0] == values[1] else "yes"


def test_answers_are_those_that_a_count_by_hand_gives():
    asked = dict.fromkeys(CHANGE_CATEGORIES, 0)
    answers = set()
    for seed in range(40):
        side = (4096, 8192)[seed % 2]
        before, after = (make_dated_world(seed, side, side, n) for n in (0, 1))
        for question in ask_changes(before, after, 4):
            assert question.answer == truth_by_hand(question, before, after), question.text
            assert question.evidence
            asked[question.category] += 1
            answers.add((question.category, question.answer))
    assert min(asked.values()) >= 10
    assert {
        ("changed", "yes"),
        ("changed", "no"),
        ("new count", "0"),
        ("new count", "1"),
    } <= answers


def test_a_file_says_its_date_and_one_without_says_none(tmp_path):
    dated, plain = make_dated_world(1, 768, 768, 1), make_world(1, 768, 768)
    for world, expected in ((dated, "2024:09:29 00:00:00"), (plain, None)):
        write_scene(world, tmp_path / "scene.tif")
        with rasterio.open(tmp_path / "scene.tif") as dataset:
            assert dataset.tags().get("TIFFTAG_DATETIME") == expected
