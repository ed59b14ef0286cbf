"""Every error that GeoFovea raises on purpose.

    GeoFoveaError
    ├── SceneError              a raster cannot serve as a scene
    │   ├── SceneNotFoundError      no such file
    │   ├── SceneRefusedError       the name or the format is not allowed by default
    │   ├── SceneReadError          the file opened, its pixels did not (damaged, truncated)
    │   │   └── SceneChangedError       it is not the file that it was any more
    │   ├── AlignmentError          it cannot be laid on the scene of another date
    │   └── LevelBuildError         its level files cannot be built within the limits
    ├── GeometryError           an impossible box, tile, level or window
    ├── BudgetError             a budget that no answer can keep
    │   └── SpendLimitError         what may be spent at an endpoint is used up
    ├── QuestionError           an empty or oversized question
    ├── ModelError              a model cannot be found, loaded, or lacks what is asked of it
    │   ├── NoModelError            no model is named, and the demo model knows no such scene
    │   └── EndpointError           an endpoint refuses a request, or answers with nonsense
    │       └── EndpointUnavailableError    it is down, not ready, or lets nobody in
    ├── TrainingError           a training run cannot go on
    ├── OutputError             a result cannot be written where it was asked for
    │   └── DiskSpaceError          there is too little free disk for what would be written
    ├── DataError               a benchmark or world file is not what its format says
    ├── CancelledError          a question was canceled while it was answered
    ├── RunError                a run of many items cannot begin or go on
    │   └── WorkersError            what is said of its workers contradicts itself
    ├── ServingError            a server cannot be started as it was asked for
    ├── ConfigurationError      a configuration file says what cannot be meant
    └── MissingExtraError       an optional dependency is not installed

Where people expect an error of Python, ours is one, too: `SceneNotFoundError` is a
``FileNotFoundError``, `SceneReadError` and `OutputError` are ``OSError``, `MissingExtraError` is an
``ImportError``, and `BudgetError`, `QuestionError`, `GeometryError` and `ConfigurationError` are
``ValueError``.

A message says what was given, what is allowed, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AlignmentError",
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
    "QuestionError",
    "RunError",
    "SceneChangedError",
    "SceneError",
    "SceneNotFoundError",
    "SceneReadError",
    "SceneRefusedError",
    "ServingError",
    "SpendLimitError",
    "TrainingError",
    "WorkersError",
]


class GeoFoveaError(Exception):
    """Root of all errors of this package; the command line prints it and exits with its code."""

    exit_code: ClassVar[int] = 1


class SceneError(GeoFoveaError):
    """A raster cannot serve as a scene."""


class NothingShownError(SceneError):
    """A scene, or the region of it that is asked about, shows no valid pixel."""


class SceneNotFoundError(SceneError, FileNotFoundError):
    """There is no regular file at the given path."""


class SceneRefusedError(SceneError):
    """The name or the format of a raster is not opened by default."""


class SceneReadError(SceneError, OSError):
    """A scene opened, but its pixels could not be read."""


class SceneChangedError(SceneReadError):
    """A scene is not the file that it was when it was planned or opened."""


class AlignmentError(SceneError):
    """Two scenes cannot be laid on each other: they share no ground, or nothing says how."""


class LevelBuildError(SceneError):
    """The level files of a scene cannot be built within the limits on pixels and time."""


class GeometryError(GeoFoveaError, ValueError):
    """A box, tile, level or window is impossible."""


class BudgetError(GeoFoveaError, ValueError):
    """A budget is not positive, or too small for the smallest possible answer."""


class SpendLimitError(BudgetError):
    """What may be spent at an endpoint is used up; the request was not sent."""


class QuestionError(GeoFoveaError, ValueError):
    """A question is empty or too long for the model."""


class ModelError(GeoFoveaError):
    """A model cannot be found or loaded, or lacks a capability that was asked for."""


class NoModelError(ModelError):
    """No model is named, and the demo model was not trained on such a scene."""

    exit_code: ClassVar[int] = 2


class EndpointError(ModelError):
    """An endpoint could not be reached in time, refused a request, or answered with nonsense."""


class EndpointUnavailableError(EndpointError):
    """An endpoint answers nothing as things are: it is down, not ready, too busy, or wants a key.

    It says nothing about what was asked, so it halts a run and spoils none of its items.
    """


class TrainingError(GeoFoveaError):
    """A training run cannot go on, because its loss is not a number any more."""


class OutputError(GeoFoveaError, OSError):
    """A result cannot be written where it was asked for."""


class DiskSpaceError(OutputError):
    """There is too little free disk space for what would be written."""


class DataError(GeoFoveaError):
    """A data file does not hold what its format promises."""


class CancelledError(GeoFoveaError):
    """A question was canceled while it was answered; its session can be asked again."""


class RunError(GeoFoveaError):
    """A run of many items cannot begin or go on; what it has answered is kept."""


class WorkersError(RunError):
    """What is said about the workers of a run contradicts itself."""

    def __init__(self, field: str, message: str) -> None:
        """Name the value that does not go with the others, and say why."""
        super().__init__(message)
        self.field = field


class ConfigurationError(GeoFoveaError, ValueError):
    """A configuration file cannot be read, or says what cannot be meant."""

    exit_code: ClassVar[int] = 2


class ServingError(GeoFoveaError):
    """A server cannot be started at the address that was asked for."""


class MissingExtraError(GeoFoveaError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        """Name the missing package, the extra that brings it, and what it is needed for."""
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"run: pip install 'geofovea[{extra}]'"
        )
        self.package = package
        self.extra = extra


class DemoModelWarning(UserWarning):
    """The demo model answered about a scene of a kind that it was not trained on."""
