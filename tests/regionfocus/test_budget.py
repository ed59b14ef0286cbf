"""A budget is positive or refused."""

import json
import subprocess
import sys

import numpy as np
import pytest

from geofovea.errors import BudgetError
from geofovea.regionfocus.budget import Budget, share_down, share_up


@pytest.mark.parametrize("name", ["tiles", "tokens"])
@pytest.mark.parametrize("value", [0, -1, 1.0, True, "8", None, float("nan"), np.float32(3)])
def test_a_count_that_is_no_positive_whole_number_is_refused_by_name(name, value):
    with pytest.raises(BudgetError, match=f"^{name}=.* needs a whole number"):
        Budget(**{name: value})


@pytest.mark.parametrize("name", ["seconds", "host_ram_mb", "device_ram_mb"])
@pytest.mark.parametrize("value", [0, -0.5, True, "8", float("nan"), float("inf")])
def test_a_limit_that_is_no_positive_number_is_refused_by_name(name, value):
    with pytest.raises(BudgetError, match=f"^{name}=.* needs a positive number"):
        Budget(**{name: value})


def test_a_budget_is_written_as_json_with_null_for_no_limit():
    assert json.loads(json.dumps(Budget(tiles=8, seconds=2.5).to_json())) == {
        "tiles": 8,
        "tokens": 2376,
        "seconds": 2.5,
        "host_ram_mb": None,
        "device_ram_mb": None,
    }


@pytest.mark.parametrize("percent", range(1, 101))
def test_a_share_is_rounded_as_its_decimals_say(percent):
    for count in range(400):
        assert share_up(percent / 100, count) == -(-percent * count // 100)
        assert share_down(percent / 100, count) == percent * count // 100


def test_budget_and_names_are_imported_without_torch():
    code = (
        "import sys, geofovea.regionfocus.budget, geofovea.regionfocus.strategies;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
