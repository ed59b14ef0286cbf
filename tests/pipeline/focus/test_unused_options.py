"""What a way of looking has no use for is refused with the question, in every door alike."""

import numpy as np
import pytest

from geofovea.errors import ModelError
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.pyramid import Box

FEW = Budget(tiles=2, tokens=30)
BOXES = [Box(10, 10, 40, 40)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"focus": "overview", "route": "several"}, "leave out route='several', or choose another"),
        ({"focus": "uniform", "descent": "geometric"}, "leave out descent='geometric'"),
        (
            {"focus": "full", "route": "one", "stop": StopAt(confidence=0.9)},
            "leave out route='one' and what stops a search",
        ),
        (
            {"focus": "attention", "boxes": BOXES},
            "boxes= says where the evidence is, for the focus",
        ),
        ({"boxes": BOXES}, "for the focus 'oracle' and not for 'attention'"),
        ({"boxes": np.array([(1, 1, 5, 5)])}, "boxes= is a list of geofovea.Box"),
        ({"focus": "uniform", "boxes": BOXES}, "for the focus 'oracle' and not for 'uniform'"),
        ({"focus": "overview", "focus_model": "a/b"}, "focus_model='a/b' is for the focus 'simil"),
        ({"focus": "attention", "focus_model": "a/b"}, "focus_model='a/b' is for the focus 'simil"),
    ],
)
def test_what_would_do_nothing_is_refused(make_session, options, message):
    with pytest.raises(ModelError, match=message.replace("(", r"\(")):
        make_session().ask("Where is the pond?", budget=FEW, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"focus": "overview", "route": "auto", "stop": StopAt()},
        {"focus": "oracle", "boxes": BOXES, "descent": "geometric"},
    ],
)
def test_what_means_the_usual_is_taken(make_session, options):
    assert make_session().ask("Where is the pond?", budget=FEW, **options).cost.tiles_encoded >= 1
