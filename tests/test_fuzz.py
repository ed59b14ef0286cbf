"""A short run of the fuzzer of rasters, as CI can afford it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "fuzz_rasters.py"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="limits of processes are a Unix thing")
def test_forty_damaged_files_end_in_errors_or_honest_pixels():
    command = [
        sys.executable,
        "-W",
        "ignore",
        str(SCRIPT),
        "--cases",
        "40",
        "--seed",
        "5",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    records = json.loads(done.stdout)["records"]
    outcomes = {record["outcome"] for record in records}
    assert outcomes <= {"error", "same", "undetectable"}
    assert {"error", "same"} <= outcomes
    whole = [record["outcome"] for record in records if record["mutation"] == "none"]
    assert len(whole) >= 11
    assert set(whole) == {"same"}
