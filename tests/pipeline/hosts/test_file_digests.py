"""What tells a model from another of the same name, and what is no difference."""

import json

import pytest

from geofovea.pipeline.hosts.file_digests import folder_digest
from geofovea.pipeline.hosts.learned.card import PART_FILES, SETTINGS_FILE
from geofovea.pipeline.hosts.learned.part_files import read_cards
from geofovea.pipeline.hosts.load import EMBEDDED_MODELS, embedded_model_path
from geofovea.pipeline.system.files import file_digest

CARD = {"method": "dyvte", "host_hash": "0" * 64, "settings": {"threshold": 1.0}}


def written(folder, card=CARD, weights=b"weights"):
    """The digest of a model of two files, one of them that of a part."""
    (folder / PART_FILES["exits"]).write_bytes(weights)
    (folder / SETTINGS_FILE).write_text(json.dumps({"pool": 2, "parts": {"exits": card}}, indent=1))
    return folder_digest(folder)


def test_a_hash_that_a_card_gets_later_leaves_the_digest_of_a_model(tmp_path):
    before = written(tmp_path)
    assert written(tmp_path, CARD | {"sha256": "1" * 64}) == before
    assert written(tmp_path, CARD | {"sha256": ""}) == before


def test_all_else_that_is_said_of_a_part_and_the_part_itself_enter_the_digest(tmp_path):
    hashed = CARD | {"sha256": "1" * 64}
    digests = [
        written(tmp_path),
        written(tmp_path, hashed | {"settings": {"threshold": 2.0}}),
        written(tmp_path, hashed, b"other weights"),
    ]
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"parts": 3}', '{"parts": {"a": 1}}'])
def test_settings_that_cannot_be_read_still_have_a_digest(content, tmp_path):
    written(tmp_path)
    (tmp_path / SETTINGS_FILE).write_text(content)
    assert len(folder_digest(tmp_path)) == 16


def test_each_part_that_travels_with_the_package_is_known_by_its_hash():
    folders = [embedded_model_path(name) for name in EMBEDDED_MODELS]
    cards = [(folder, *each) for folder in folders for each in read_cards(folder).items()]
    assert cards
    for folder, kind, card in cards:
        assert card.sha256 == file_digest(folder / PART_FILES[kind]), (folder.name, kind)
