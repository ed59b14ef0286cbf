"""Every way of asking takes the same options, with the same defaults."""

import inspect
from dataclasses import fields

import pytest

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.harness import make_answerer
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.session.options import AnswerOptions
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.session.xarray_accessor import FoveaAccessor

ANSWERING = {field.name: field.default for field in fields(AnswerOptions)}
LOADING = {field.name: field.default for field in fields(LoadOptions)}
SHOWING = dict.fromkeys(("bands", "composite", "band_map", "cache_tokens", "index"))
AT_ENDPOINT = {"endpoint": None}

DOORS = {
    "geofovea.ask": (gf.ask, ANSWERING | LOADING | SHOWING | AT_ENDPOINT),
    ".fovea.ask": (FoveaAccessor.ask, ANSWERING | LOADING | SHOWING | AT_ENDPOINT),
    "make_answerer": (make_answerer, ANSWERING | LOADING | SHOWING | AT_ENDPOINT),
    "SceneSession.ask": (gf.SceneSession.ask, ANSWERING),
    "SceneSession": (gf.SceneSession, SHOWING),
    "load_host": (gf.load_host, LOADING | AT_ENDPOINT),
    "AskSettings": (AskSettings, SHOWING | AT_ENDPOINT),
}


def defaults_of(door):
    return {name: p.default for name, p in inspect.signature(door).parameters.items()}


@pytest.mark.parametrize("name", DOORS)
def test_a_way_of_asking_takes_every_option_that_concerns_it(name):
    door, options = DOORS[name]
    defaults = defaults_of(door)
    assert {option: defaults.get(option, "missing") for option in options} == options


def test_an_object_of_xarray_is_asked_with_all_arguments_of_ask():
    ours, theirs = defaults_of(FoveaAccessor.ask), defaults_of(gf.ask)
    del ours["self"], theirs["scene"]
    assert ours == theirs


@pytest.mark.parametrize("verb", ["ask", "batch", "eval"])
def test_the_command_line_has_every_option(verb):
    # a stop is two numbers there, and an endpoint is an address with settings of its own
    names = {*ANSWERING, *LOADING, *SHOWING, "flatness", "confidence"} - {"stop"}
    offered = {parameter.name for parameter in main.get_command(None, verb).params}
    assert names <= offered, names - offered


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"descent": "none such"}, "unknown descent 'none such'"),
        ({"focus": "none such"}, "unknown focus 'none such'"),
        ({"focus": "rfm"}, "brings no region focus module"),
        ({"focus": "prompted"}, "asks a model behind an endpoint"),
        ({"focus": "similarity"}, "needs a dual encoder"),
        ({"focus_model": "owner/clip"}, "is for the focus 'similarity'"),
        ({"reduction": "none such"}, "none such"),
        ({"descent": "published"}, "needs a published LRS-VQA model"),
    ],
    ids=str,
)
def test_what_cannot_be_done_is_refused_before_a_tile_is_read(make_session, how, message):
    session = make_session()

    def read(*args, **kwargs):
        raise AssertionError("a tile was read")

    session.reader.read = read
    with pytest.raises(ModelError, match=message):
        session.ask("What is the color of the plane?", **how)


def test_an_object_is_shown_as_it_is_asked_for_each_time(tiny_host, make_tiff):
    from pipeline_toys import texture

    rioxarray = pytest.importorskip("rioxarray")
    with rioxarray.open_rasterio(make_tiff(texture(300, 300, 4))) as array:
        few = gf.Budget(tiles=6, tokens=40)
        for bands in ((1, 2, 3), (4, 3, 2), (1, 2, 3)):
            answer = array.fovea.ask("What is it?", model=tiny_host, budget=few, bands=bands)
            assert answer.radiometry.bands == bands
        gray = {"composite": "ndvi", "band_map": {"red": 3, "nir": 4}}
        answer = array.fovea.ask("What is it?", model=tiny_host, budget=few, **gray)
        assert answer.radiometry.bands != (1, 2, 3)
