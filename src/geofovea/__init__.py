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

from geofovea._accessor_hook import install as _install_accessor
from geofovea._lazy import lazy_names
from geofovea._moved import install as _install_old_names
from geofovea._waiting import wait_asleep as _wait_asleep

if TYPE_CHECKING:
    from geofovea.errors import (
        AlignmentError,
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
        NothingShownError,
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
    from geofovea.pipeline.answers.confidence import Choice
    from geofovea.pipeline.answers.cost import Cost
    from geofovea.pipeline.answers.evidence_list import EvidenceList
    from geofovea.pipeline.answers.measurement import Measurement
    from geofovea.pipeline.archive.allowance import IndexBudget
    from geofovea.pipeline.archive.build import build_index
    from geofovea.pipeline.archive.search import search_index
    from geofovea.pipeline.dates.dated_answer import DatedAnswer
    from geofovea.pipeline.dates.opening import open_pair, open_stack
    from geofovea.pipeline.dates.session import StackSession
    from geofovea.pipeline.engine.memory_options import MemoryOptions
    from geofovea.pipeline.engine.watching import Watcher
    from geofovea.pipeline.focus.stopping import StopAt
    from geofovea.pipeline.hosts.base import Host
    from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings, SpendLimit
    from geofovea.pipeline.hosts.load import load_host
    from geofovea.pipeline.hosts.load import load_host as load_model
    from geofovea.pipeline.places.count import Count
    from geofovea.pipeline.places.one_call import count, find
    from geofovea.pipeline.places.place import Place
    from geofovea.pipeline.places.place_list import Places
    from geofovea.pipeline.session.ask import ask, measure
    from geofovea.pipeline.session.request import AskRequest
    from geofovea.pipeline.session.session import SceneSession
    from geofovea.pipeline.viewer.opened_scene import OpenedScene
    from geofovea.pipeline.viewer.opened_scene import open_session as open  # noqa: A004
    from geofovea.pipeline.viewer.show import show
    from geofovea.regionfocus.budget import Budget
    from geofovea.tiling.geo.region import Region
    from geofovea.tiling.opening import open_scene
    from geofovea.tiling.pyramid import Box, Pyramid, Tile
    from geofovea.tiling.scene import Scene

__all__ = [
    "AlignmentError",
    "Answer",
    "AskRequest",
    "Box",
    "Budget",
    "BudgetError",
    "CancelledError",
    "Choice",
    "ConfigurationError",
    "Cost",
    "Count",
    "DataError",
    "DatedAnswer",
    "DemoModelWarning",
    "DiskSpaceError",
    "EndpointError",
    "EndpointSettings",
    "EndpointUnavailableError",
    "EvidenceList",
    "GeoFoveaError",
    "GeometryError",
    "Host",
    "IndexBudget",
    "LevelBuildError",
    "Measurement",
    "MemoryOptions",
    "MissingExtraError",
    "ModelError",
    "NoModelError",
    "NothingShownError",
    "OpenedScene",
    "OutputError",
    "Place",
    "Places",
    "Pyramid",
    "QuestionError",
    "Region",
    "RunError",
    "Scene",
    "SceneChangedError",
    "SceneError",
    "SceneNotFoundError",
    "SceneReadError",
    "SceneRefusedError",
    "SceneSession",
    "ServingError",
    "SpendLimit",
    "SpendLimitError",
    "StackSession",
    "StopAt",
    "Tile",
    "TrainingError",
    "Watcher",
    "WorkersError",
    "__version__",
    "ask",
    "build_index",
    "count",
    "find",
    "load_host",
    "load_model",
    "measure",
    "open",
    "open_pair",
    "open_scene",
    "open_stack",
    "search_index",
    "show",
]

try:
    __version__ = _version("geofovea")
except _PackageNotFoundError:
    # run from a source tree that was never installed, as on a borrowed training machine
    __version__ = "0+uninstalled"

_HOMES = {name: "geofovea.errors" for name in __all__ if name.endswith(("Error", "Warning"))} | {
    "Answer": "geofovea.pipeline.answers.answer",
    "DatedAnswer": "geofovea.pipeline.dates.dated_answer",
    "StackSession": "geofovea.pipeline.dates.session",
    "StopAt": "geofovea.pipeline.focus.stopping",
    "SpendLimit": "geofovea.pipeline.hosts.endpoint.settings",
    "Region": "geofovea.tiling.geo.region",
    "OpenedScene": "geofovea.pipeline.viewer.opened_scene",
    "IndexBudget": "geofovea.pipeline.archive.allowance",
    "Host": "geofovea.pipeline.hosts.base",
    "EvidenceList": "geofovea.pipeline.answers.evidence_list",
    "EndpointSettings": "geofovea.pipeline.hosts.endpoint.settings",
    "Cost": "geofovea.pipeline.answers.cost",
    "Choice": "geofovea.pipeline.answers.confidence",
    "AskRequest": "geofovea.pipeline.session.request",
    "Box": "geofovea.tiling.pyramid",
    "Budget": "geofovea.regionfocus.budget",
    "Pyramid": "geofovea.tiling.pyramid",
    "Count": "geofovea.pipeline.places.count",
    "Place": "geofovea.pipeline.places.place",
    "Places": "geofovea.pipeline.places.place_list",
    "Scene": "geofovea.tiling.scene",
    "SceneSession": "geofovea.pipeline.session.session",
    "Tile": "geofovea.tiling.pyramid",
    "MemoryOptions": "geofovea.pipeline.engine.memory_options",
    "Watcher": "geofovea.pipeline.engine.watching",
    "ask": "geofovea.pipeline.session.ask",
    "Measurement": "geofovea.pipeline.answers.measurement",
    "build_index": "geofovea.pipeline.archive.build",
    "count": "geofovea.pipeline.places.one_call",
    "find": "geofovea.pipeline.places.one_call",
    "load_host": "geofovea.pipeline.hosts.load",
    "load_model": "geofovea.pipeline.hosts.load:load_host",
    "measure": "geofovea.pipeline.session.ask",
    "open": "geofovea.pipeline.viewer.opened_scene:open_session",
    "open_pair": "geofovea.pipeline.dates.opening",
    "open_scene": "geofovea.tiling.opening",
    "open_stack": "geofovea.pipeline.dates.opening",
    "search_index": "geofovea.pipeline.archive.search",
    "show": "geofovea.pipeline.viewer.show",
}

# before anything imports torch
_wait_asleep()

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    """The public names, whether or not they have been used yet."""
    return __all__


_install_old_names()
_install_accessor()
