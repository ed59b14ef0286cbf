"""GeoFovea answers questions about satellite scenes too large for any vision-language model.

    import geofovea as gf

    answer = gf.ask("scene.tif", "What is the color of the plane at the airport?")
    answer.text, answer.confidence
    answer.evidence.to_geojson("evidence.geojson")

Everything below is imported when first used; importing the package is fast and needs no torch.
"""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version
from typing import TYPE_CHECKING

from geofovea._lazy import lazy_names
from geofovea._moved import install as _install_old_names
from geofovea._waiting import wait_asleep as _wait_asleep

if TYPE_CHECKING:
    from geofovea.errors import (
        BudgetError,
        CancelledError,
        ConfigurationError,
        DataError,
        DemoModelWarning,
        DiskSpaceError,
        EndpointError,
        EndpointUnavailableError,
        GeoFoveaError,
        GeometryError,
        LevelBuildError,
        MissingExtraError,
        ModelError,
        NoModelError,
        OutputError,
        QuestionError,
        RunError,
        SceneChangedError,
        SceneError,
        SceneNotFoundError,
        SceneReadError,
        SceneRefusedError,
        ServingError,
        SpendLimitError,
        TrainingError,
        WorkersError,
    )
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.pipeline.hosts.load import load_host
    from geofovea.pipeline.session.ask import ask
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling.opening import open_scene
    from geofovea.tiling.pyramid import Box, Pyramid, Tile
    from geofovea.tiling.scene import Scene

__all__ = [
    "Answer",
    "Box",
    "Budget",
    "BudgetError",
    "CancelledError",
    "ConfigurationError",
    "DataError",
    "DemoModelWarning",
    "DiskSpaceError",
    "EndpointError",
    "EndpointUnavailableError",
    "GeoFoveaError",
    "GeometryError",
    "LevelBuildError",
    "MissingExtraError",
    "ModelError",
    "NoModelError",
    "OutputError",
    "Pyramid",
    "QuestionError",
    "RunError",
    "Scene",
    "SceneChangedError",
    "SceneError",
    "SceneNotFoundError",
    "SceneReadError",
    "SceneRefusedError",
    "SceneSession",
    "ServingError",
    "SpendLimitError",
    "Tile",
    "TrainingError",
    "WorkersError",
    "__version__",
    "ask",
    "load_host",
    "open_scene",
]

try:
    __version__ = _version("geofovea")
except _PackageNotFoundError:
    # run from a source tree that was never installed, as on a borrowed training machine
    __version__ = "0+uninstalled"

_HOMES = {name: "geofovea.errors" for name in __all__ if name.endswith(("Error", "Warning"))} | {
    "Answer": "geofovea.pipeline.answers.answer",
    "Box": "geofovea.tiling.pyramid",
    "Budget": "geofovea.regionfocus.budget",
    "Pyramid": "geofovea.tiling.pyramid",
    "Scene": "geofovea.tiling.scene",
    "SceneSession": "geofovea.pipeline.session.session",
    "Tile": "geofovea.tiling.pyramid",
    "ask": "geofovea.pipeline.session.ask",
    "load_host": "geofovea.pipeline.hosts.load",
    "open_scene": "geofovea.tiling.opening",
}

# before anything imports torch
_wait_asleep()

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """The public names, whether or not they have been used yet."""
    return __all__


_install_old_names()
