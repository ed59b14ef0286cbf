"""What a page asks of two dates is done with the pixels that it shows of each."""

import numpy as np
import pytest
import rasterio
from pipeline_toys import texture
from rasterio.transform import Affine

from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.place_work import compare_dates
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene


@pytest.fixture
def scenes(tmp_path):
    """One place at two dates; each band shows something else."""
    before = texture(256, 256)
    place = {"crs": "EPSG:32633", "transform": Affine(1, 0, 5e5, 0, -1, 5e6)}
    shape = {"driver": "GTiff", "count": 3, "height": 256, "width": 256, "dtype": np.uint8}
    for name, pixels in (("before", before), ("after", before[:, ::-1])):
        with rasterio.open(tmp_path / f"{name}.tif", "w", **shape, **place) as file:
            file.write(pixels)
    return [open_scene(tmp_path / f"{name}.tif") for name in ("before", "after")]


def test_two_dates_are_compared_in_the_bands_that_are_shown(tiny_host, scenes):
    before, after = (SceneSession(scene, tiny_host, (2,)) for scene in scenes)
    request = AskRequest("What changed?", Budget(tiles=12, tokens=40))
    stack = make_stack(scenes, ("2024-01-01", "2024-06-01"))
    answer, _ = compare_dates(stack, before, after, "compare", request, Watcher())
    expected, other = (
        StackSession(stack, tiny_host, bands).answer(request).answer for bands in ((2,), None)
    )
    assert answer.text == expected.text != other.text
