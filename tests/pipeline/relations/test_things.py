"""A name means another thing only where that is certain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofovea.pipeline.relations.things import other_thing


@pytest.mark.parametrize(
    ("name", "wanted", "other"),
    [
        ("car", "truck", "car"),
        ("Cars", "trucks", "car"),
        ("a red automobile", "truck", "automobile"),
        ("buses", "truck", "buses"),
        ("aircraft", "truck", "aircraft"),
        ("car park", "car", "car park"),
        ("container ship", "shipping container", "container ship"),
        ("boat", "bus", "boat"),
        # the same
        ("", "truck", None),
        ("truck", "truck", None),
        ("trucks", "truck", None),
        ("truck", "white trucks", None),
        ("lorry", "truck", None),
        ("white truck at the car park", "truck", None),
        ("car", "trucks and cars", None),
        # one is a kind of the other
        ("car", "vehicle", None),
        ("vehicle", "car", None),
        ("large-vehicle", "bus", None),
        ("storage_tank", "tank", None),
        ("tank", "vehicle", None),
        # not known
        ("Lastwagen", "truck", None),
        ("car", "limousine", None),
        ("object 1", "truck", None),
    ],
)
def test_only_a_known_name_of_something_else_is_another_thing(name, wanted, other):
    assert other_thing(name, wanted) == other


@given(name=st.text(), wanted=st.text())
def test_any_text_is_read(name, wanted):
    assert other_thing(name, name) is None
    assert other_thing(name, wanted) is None or name.strip()
