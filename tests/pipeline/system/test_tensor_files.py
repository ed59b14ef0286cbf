"""Tensors are written whole or not at all, and a full disk is said in words."""

import pytest
import torch
from full_disks import few_bytes
from safetensors.torch import load_file

from geofovea.errors import OutputError
from geofovea.pipeline.system.tensor_files import full_disk_told, write_tensors

OLDER = {"a": torch.arange(4.0)}
NO_ROOM = "File too large; make room there, and run the same command again"


@pytest.fixture
def little_room():
    with few_bytes(2**20):
        yield


def test_tensors_come_back(tmp_path):
    write_tensors(tmp_path / "a.safetensors", OLDER, {"step": "3"})
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], OLDER["a"])


@pytest.mark.parametrize("older", [None, OLDER])
def test_a_full_disk_is_an_output_error_and_leaves_what_was_there(tmp_path, little_room, older):
    path = tmp_path / "a.safetensors"
    if older is not None:
        write_tensors(path, older)
    with pytest.raises(OutputError, match=rf"a\.safetensors could not be written: {NO_ROOM}$"):
        write_tensors(path, {"a": torch.zeros(2**20)})
    assert [p.name for p in tmp_path.iterdir()] == ([] if older is None else [path.name])
    assert older is None or torch.equal(load_file(path)["a"], older["a"])


def test_a_tokenizer_on_a_full_disk_is_an_output_error(tmp_path, little_room):
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    tokenizer = Tokenizer(WordLevel({str(n): n for n in range(100_000)}, unk_token="0"))
    with pytest.raises(OutputError, match=f"written: {NO_ROOM}$"), full_disk_told(tmp_path):
        tokenizer.save(str(tmp_path / "tokenizer.json"))


@pytest.mark.parametrize("error", [ValueError("a bug"), OSError(28, "No space left on device")])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(type(error)) as caught, full_disk_told("x"):
        raise error
    assert caught.value is error
