"""Modules under their earlier names, for programs that reach below the public names.

An old name is imported as before, with a ``DeprecationWarning`` that says the new one. The public
names (``geofovea.__all__``) and the entry points have not moved.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["install"]

# old name -> where its names are now, the likeliest module first
_HOMES = {
    "datasets.lrs_vqa": ("datasets.benchmarks.lrs_vqa", "datasets.records.annotations"),
    "datasets.manifest": ("datasets.inputs.manifest",),
    "datasets.predictions": ("datasets.records.predictions",),
    "datasets.questions": ("datasets.synthetic.questions",),
    "datasets.region_files": ("datasets.inputs.region_files",),
    "datasets.scene_files": ("datasets.synthetic.scene_files",),
    "datasets.scene_lists": ("datasets.inputs.scene_lists",),
    "datasets.world": ("datasets.synthetic.world",),
    "pipeline.accessor": ("pipeline.session.xarray_accessor",),
    "pipeline.answer": (
        "pipeline.answers.answer",
        "pipeline.answers.evidence",
        "pipeline.answers.evidence_list",
        "pipeline.answers.cost",
    ),
    "pipeline.batch_plan": ("pipeline.runs.batch_plan",),
    "pipeline.decoding": ("pipeline.inference.decoder.run",),
    "pipeline.embedded": ("pipeline.training.embedded_model", "pipeline.hosts.load"),
    "pipeline.harness": ("pipeline.evaluation.harness",),
    "pipeline.lmms_eval_manifest": ("pipeline.evaluation.lmms_eval_plugin",),
    "pipeline.models": ("pipeline.hosts.load",),
    "pipeline.prompt_batch": ("pipeline.inference.prompts.batch",),
    "pipeline.vlmevalkit_model": ("pipeline.evaluation.vlmevalkit",),
    "regionfocus.allocation": ("regionfocus.selection.allocation",),
    "regionfocus.descent": ("regionfocus.search.descent",),
    "tiling.coordinates": ("tiling.geo.coordinates",),
    "tiling.georeference": ("tiling.geo.georeference",),
    "tiling.level_cache": ("tiling.overviews.cache",),
    "tiling.radiometry": ("tiling.pixels.radiometry", "tiling.pixels.radiometry_plan"),
    "tiling.region": ("tiling.geo.region",),
    "tiling.source": ("tiling.files.source",),
}
# names within a module that are called otherwise now
_NAMES = {"pipeline.decoding": {"PlainRun": "DecoderRun"}}


class _OldName(Loader):
    """Gives an old name the contents of the modules that took its place."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        old = spec.name.removeprefix("geofovea.")
        homes = [import_module(f"geofovea.{name}") for name in _HOMES[old]]
        warnings.warn(
            f"{spec.name} is {homes[0].__name__} now; the old name will go away",
            DeprecationWarning,
            stacklevel=2,
        )
        for home in reversed(homes):
            module.__dict__.update({k: v for k, v in vars(home).items() if not k.startswith("__")})
        for name, new in _NAMES.get(old, {}).items():
            setattr(module, name, getattr(module, new))
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is left to do: its contents were run under their new names."""


class _OldNames(MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol of the import system
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if not fullname.startswith("geofovea.") or fullname.removeprefix("geofovea.") not in _HOMES:
            return None
        return ModuleSpec(fullname, _OldName())


def install() -> None:
    """Let old names be imported, once; asked after everything that really is there."""
    if not any(isinstance(finder, _OldNames) for finder in sys.meta_path):
        sys.meta_path.append(_OldNames())
