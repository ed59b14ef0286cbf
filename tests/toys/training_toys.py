"""A config that trains a tiny student in seconds."""

from pipeline_toys import TINY

from geofovea.pipeline.training.curriculum import Phase, TrainingConfig, Turn
from geofovea.pipeline.training.samples import SampleSpec

PLAN = SampleSpec(
    coarse_levels=1, coarse_tiles=1, native_tiles=2, questions=3, scene_sides=(2048,), dropped=0.2
)
TURN = Turn(2, PLAN)
CONFIG = TrainingConfig(seed=4, shape=TINY, phases=(Phase(3, (TURN,)), Phase(1, (TURN,))), warmup=2)
