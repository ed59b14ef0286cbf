"""The published annotation file, where it is at hand."""

import pytest
from repository import SHARED

from geofovea.datasets.records.annotations import read_records


@pytest.fixture(scope="session")
def published_file():
    """Path of the LRS-VQA annotation file; a skip where it is absent."""
    folder = SHARED / "data" / "lrs_vqa"
    path = folder / "LRS_VQA_merged.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {folder}; set GEOFOVEA_SHARED")
    return path


@pytest.fixture(scope="session")
def published(published_file):
    """All records of the published file."""
    return list(read_records(published_file))
