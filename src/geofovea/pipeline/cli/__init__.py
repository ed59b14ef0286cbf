"""The command line: ``geofovea VERB``, a module a verb."""

from geofovea._lazy import lazy_names

__all__ = ["main"]

__getattr__ = lazy_names(__name__, {"main": "geofovea.pipeline.cli.program"})
