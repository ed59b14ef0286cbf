"""Settings of methods on projected tokens: recorded numbers, worked examples, bounds."""

import pytest

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.projected.catp import Catp
from geofovea.regionfocus.reductions.projected.fopru import FoPru
from geofovea.regionfocus.reductions.projected.hiprune import HiPrune
from geofovea.regionfocus.reductions.projected.holov import HoloV
from geofovea.regionfocus.reductions.projected.lrs_vqa import (
    LrsVqa,
)
from geofovea.regionfocus.reductions.projected.prumerge import PruMerge, PruMergePlus
from geofovea.regionfocus.reductions.projected.recoverable import RecoverableCompression
from geofovea.regionfocus.reductions.projected.tokencorr import (
    TokenCorr,
)
from geofovea.regionfocus.reductions.projected.vflowopt import (
    VFlowOpt,
)
from geofovea.regionfocus.reductions.projected.visionzip import VisionZip


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: HoloV(crops=0), "at least one crop"),
        (lambda: HoloV(crop_score="mean"), "attention, combined or max"),
        (lambda: HiPrune(alpha=1.5), r"alpha in \[0, 1\]"),
    ],
)
def test_impossible_settings_of_methods_by_attention_are_refused(make, match):
    with pytest.raises(ModelError, match=match):
        make()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: VisionZip(contextual=2), r"in \[0, 1\], got 2"),
        (lambda: PruMerge(neighbours=-1), "at least 0, got -1"),
        (lambda: PruMergePlus(attended=-0.1), r"in \[0, 1\]"),
        (lambda: FoPru("column"), "'rank' or 'row'"),
        (lambda: VFlowOpt(m=0), "m of at least 1"),
    ],
)
def test_impossible_settings_of_merging_methods_are_refused(make, match):
    with pytest.raises(ModelError, match=match):
        make()


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Catp(-1), "lambda1 of at least 0"),
        (lambda: RecoverableCompression(0), "at least one neighbor"),
        (lambda: TokenCorr(threshold=2), "threshold in"),
        (lambda: LrsVqa(1.0), "threshold in"),
    ],
)
def test_impossible_settings_of_methods_by_question_are_refused(make, match):
    with pytest.raises(ModelError, match=match):
        make()
