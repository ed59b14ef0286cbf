"""The published annotation file, where it is at hand."""

import os
import sys
from pathlib import Path

import pytest

# tests are imported by path, not as a package; their toys are not on the path by themselves
sys.path.insert(0, str(Path(__file__).parent))

from geofovea.datasets.benchmarks.lrs_vqa import read_records


@pytest.fixture(scope="session")
def published_file():
    """Path of the LRS-VQA annotation file; a skip where it is absent."""
    default = Path(__file__).resolve().parents[3] / "shared"
    folder = Path(os.environ.get("GEOFOVEA_SHARED", default)) / "data" / "lrs_vqa"
    path = folder / "LRS_VQA_merged.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {folder}; set GEOFOVEA_SHARED")
    return path


@pytest.fixture(scope="session")
def published(published_file):
    """All records of the published file."""
    return list(read_records(published_file))
