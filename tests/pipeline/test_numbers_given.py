"""Every public entry refuses what is not a number by an error of its own, in Python's names."""

import inspect
from fractions import Fraction

import numpy as np
import pytest
import xarray as xr

import geofovea as gf
from geofovea._arguments import is_number, is_whole, shown
from geofovea.pipeline.places.counting import count_places
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.session.xarray_accessor import FoveaAccessor

ENDLESS = 10**5000
"""A whole number that no float holds, and that Python does not show."""
NEVER = {
    "text": "3",
    "list": [3],
    "array": np.arange(3),
    "complex": 1j,
    "nan": float("nan"),
    "negative": -1,
    "endless": ENDLESS,
}
NO_COUNT = NEVER | {"truth": True, "half": 2.5, "infinity": float("inf")}
NO_SHARE = NEVER | {"truth": True, "two": 2}
NO_LIMIT = NEVER | {"truth": True, "zero": 0, "infinity": float("inf")}
NO_CORNER = {k: v for k, v in NEVER.items() if k != "negative"}
NO_INDEX = {k: v for k, v in NO_COUNT.items() if k not in ("endless", "truth")}
NO_PIXEL = {k: v for k, v in NEVER.items() if k not in ("text", "nan", "negative")}
NO_FLAG = {"text": "no", "number": 1, "list": [True]}
NO_NAME = {"number": 3, "list": ["a"], "truth": True}

ASKED = {
    **dict.fromkeys(("tiles", "tokens"), NO_COUNT),
    "budget": NEVER,
    "stop": NEVER,
    "boxes": {"number": 3, "numbers": [3], "text": "all"},
    "choices": {"number": 3, "truth": True},
    "region": NEVER,
    **dict.fromkeys(("focus", "descent", "route", "skip", "focus_model"), NO_NAME),
    "reduction": NO_NAME | {"nothing": None},
}
OPENED = {
    "bands": {k: v for k, v in NO_COUNT.items() if k != "list"}
    | {"floats": (1.0, 2.0, 3.0), "truths": (True,), "texts": ("1",)},
    "band_map": NEVER | {"floats": {"red": 1.5}, "texts": {"red": "1"}},
    "composite": {"number": 3, "list": [3]},
    "cache_tokens": NO_FLAG,
    "index": {"number": 3, "truth": True},
}
LOADED = {
    **dict.fromkeys(("threads", "answer_tokens", "thought_tokens"), NO_COUNT),
    "compile_decode": NO_FLAG,
}
LOOKED = {
    **dict.fromkeys(("tiles", "tokens"), NO_COUNT),
    **dict.fromkeys(("seconds", "host_ram_mb"), NO_LIMIT),
    "min_score": NO_SHARE,
    "budget": NEVER,
    "region": NEVER,
}
FOUND = LOOKED | {
    "sampled_share": NO_SHARE,
    "seed": NO_COUNT,
    "second_look": NO_FLAG,
    "focus": NO_NAME,
    "coverage": NO_NAME,
}
COUNTED = LOOKED | {"seed": NO_COUNT, "confusion": NEVER}
ENTRIES = {
    "ask": ASKED | OPENED | {"threads": NO_COUNT},
    "session.ask": ASKED | {"concentrated": NO_FLAG, "watch": NO_NAME},
    "measure": {name: ASKED[name] for name in ("tiles", "tokens", "budget", "focus", "descent")},
    "find": FOUND,
    "count": COUNTED,
    "open": OPENED | {"memory": NEVER},
    "load_host": LOADED,
    "open_scene": {
        "nodata": NO_PIXEL,
        "allow_vrt": NO_FLAG,
        "allow_remote": NO_FLAG,
        "allowed_hosts": {"number": 3, "text": "example.org", "numbers": [3]},
    },
    "open_pair": {"dates": NEVER, "match_light": NO_FLAG, "bands": OPENED["bands"]},
    "open_stack": {"scenes": {"number": 3, "truth": True}},
    "pair.ask": {name: ASKED[name] for name in ("tiles", "tokens", "budget", "choices", "focus")},
    "pair.changes": LOOKED,
    "Budget": {
        **dict.fromkeys(("tiles", "tokens"), NO_COUNT),
        **dict.fromkeys(("seconds", "host_ram_mb", "device_ram_mb"), NO_LIMIT),
    },
    "IndexBudget": {"tiles": NO_COUNT, "seconds": NO_LIMIT, "megabytes": NO_LIMIT},
    "MemoryOptions": {
        "megabytes": NO_LIMIT,
        "ready_megabytes": NEVER,
        "policy": {"number": 3, "list": []},
    },
    "StopAt": {"flatness": NEVER, "confidence": NO_SHARE},
    "EndpointSettings": {
        **dict.fromkeys(("tile_size", "image_tokens", "answer_tokens", "attempts"), NO_COUNT),
        **dict.fromkeys(("attempt_seconds", "total_seconds"), NO_LIMIT),
        "pause_seconds": NEVER,
        "limit": NEVER,
    },
    "SpendLimit": dict.fromkeys(("calls", "tokens"), NO_COUNT),
    "Pyramid": dict.fromkeys(("width", "height", "tile_size", "base_side"), NO_COUNT),
    "Box": {
        **dict.fromkeys(("x0", "y0"), NO_CORNER),
        **dict.fromkeys(("x1", "y1"), NEVER),
    },
    "Tile": dict.fromkeys(("level", "row", "col"), NO_INDEX),
    "search_index": {
        **dict.fromkeys(("scenes", "tiles"), NO_COUNT),
        "levels": NO_COUNT | {"floats": [0.5]},
    },
    "build_index": {
        "levels": {k: v for k, v in NO_COUNT.items() if k not in ("list", "array")},
        "tile_size": NO_COUNT,
        "bands": OPENED["bands"],
        "band_map": NEVER,
        "nodata": NO_PIXEL,
        "budget": NEVER,
    },
    "show": {"height": NO_COUNT},
    ".fovea.ask": {"tiles": NO_COUNT, "bands": OPENED["bands"], "threads": NO_COUNT},
    ".fovea.find": {"tiles": NO_COUNT, "seed": NO_COUNT},
}
CASES = [
    pytest.param(entry, name, value, id=f"{entry}({name}={what})")
    for entry, options in ENTRIES.items()
    for name, values in options.items()
    for what, value in values.items()
]


@pytest.fixture(scope="module")
def entries(embedded_host, tmp_path_factory):
    """Each entry by its name; every case is refused before a tile is read."""
    array = xr.DataArray(np.zeros((3, 40, 40), np.uint8), dims=("band", "y", "x"))
    scene, host = gf.open_scene(array), embedded_host
    session, pair = gf.SceneSession(scene, host), gf.open_pair(scene, scene, model=host)
    folder = tmp_path_factory.mktemp("given")
    gf.build_index(folder / "index", [], encoder="embedded")

    def find(**options):
        return gf.find(scene, "truck", model=host, **{"tiles": 1} | options)

    def count(**options):
        return gf.count(scene, "truck", model=host, **{"tiles": 1} | options)

    return {
        "ask": lambda **o: gf.ask(scene, "What?", model=host, **o),
        "session.ask": lambda **o: session.ask("What?", **o),
        "measure": lambda **o: gf.measure(
            scene, "distance from the pond to the hall", model=host, **o
        ),
        "find": find,
        "count": count,
        "open": lambda **o: gf.open(scene, model=host, **o),
        "load_host": lambda **o: gf.load_host("embedded", **o),
        "open_scene": lambda **o: gf.open_scene(folder / "none.tif", **o),
        "open_pair": lambda **o: gf.open_pair(scene, scene, model=host, **o),
        "open_stack": lambda **o: gf.open_stack(o["scenes"], model=host),
        "pair.ask": lambda **o: pair.ask("What changed?", **o),
        "pair.changes": pair.changes,
        "Budget": gf.Budget,
        "IndexBudget": gf.IndexBudget,
        "MemoryOptions": gf.MemoryOptions,
        "StopAt": gf.StopAt,
        "EndpointSettings": lambda **o: gf.EndpointSettings("http://localhost/v1", **o),
        "SpendLimit": gf.SpendLimit,
        "Pyramid": lambda **o: gf.Pyramid(**{"width": 9, "height": 9, "tile_size": 3} | o),
        "Box": lambda **o: gf.Box(**{"x0": 0, "y0": 0, "x1": 1, "y1": 1} | o),
        "Tile": lambda **o: gf.Tile(**{"level": 0, "row": 0, "col": 0} | o),
        "search_index": lambda **o: gf.search_index(folder / "index", "truck", **o),
        "build_index": lambda **o: gf.build_index(folder / "index", [], **o),
        "show": lambda **o: gf.show(session, **o),
        ".fovea.ask": lambda **o: array.fovea.ask("What?", model=host, **o),
        ".fovea.find": lambda **o: array.fovea.find("truck", model=host, **o),
    }


@pytest.mark.parametrize(("entry", "name", "value"), CASES)
def test_what_cannot_be_meant_is_refused_by_an_error_of_this_package(entries, entry, name, value):
    with pytest.raises(gf.GeoFoveaError) as refused:
        entries[entry](**{name: value})
    # in the names of Python, and on a line that can be read
    assert "--" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_the_sweep_holds_every_number_of_the_entries():
    doors = {
        "ask": gf.ask,
        "session.ask": gf.SceneSession.ask,
        "find": find_places,
        "count": count_places,
        "measure": gf.measure,
        "pair.ask": gf.StackSession.ask,
        "pair.changes": gf.StackSession.changes,
        "load_host": gf.load_host,
        "search_index": gf.search_index,
        "build_index": gf.build_index,
        "open": gf.open,
        **{name: getattr(gf, name) for name in ("Budget", "IndexBudget", "StopAt", "SpendLimit")},
        **{name: getattr(gf, name) for name in ("EndpointSettings", "Pyramid", "Box", "Tile")},
    }
    # those of loading stand under load_host
    elsewhere = {"answer_tokens", "thought_tokens", "boxes", "choices"}
    for entry, door in doors.items():
        numbers = {
            name
            for name, parameter in inspect.signature(door).parameters.items()
            if str(parameter.annotation).startswith(("int", "float", "tuple[int", "Sequence[int"))
        }
        missing = numbers - set(ENTRIES[entry]) - (elsewhere if entry == "ask" else set())
        assert not missing, (entry, missing)
    assert set(inspect.signature(FoveaAccessor.ask).parameters) >= set(ENTRIES[".fovea.ask"])


def test_numbers_of_numpy_are_numbers():
    budget = gf.Budget(tiles=np.int64(3), seconds=np.float32(2), host_ram_mb=Fraction(3, 2))
    assert budget == gf.Budget(tiles=3, seconds=2.0, host_ram_mb=1.5)
    assert [type(v) for v in (budget.tiles, budget.seconds, budget.host_ram_mb)] == [
        int,
        float,
        float,
    ]
    assert is_whole(np.uint8(3), 3, 3)
    assert is_number(np.float16(3))
    assert not is_whole(np.bool_(True))


def test_a_message_shows_any_value_in_a_few_letters():
    class Broken:
        def __repr__(self):
            raise RuntimeError

    assert shown("a" * 100) == "'" + "a" * 56 + "..."
    assert shown(ENDLESS) == "a value of type int"
    assert shown(Broken()) == "a value of type Broken"
