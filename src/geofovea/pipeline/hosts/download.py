"""Downloads a model from the hub: checks first what would be fetched, then shows progress.

Only what a host reads is fetched: configurations, tokenizers and weights in safetensors at the top
of the repository. Pickles and code stay where they are.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from geofovea.errors import DiskSpaceError, ModelError
from geofovea.pipeline.hosts.pretrained import family_of
from geofovea.pipeline.hosts.published.weights import is_published

__all__ = ["HubModel", "download_model", "examine_model"]

_WANTED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja")
_WEIGHTS = "model*.safetensors"
# of other programs
_UNWANTED = ("onnx*", "openvino*", "flax*", "tf_*")
_HOW = "name a hub id such as llava-hf/llava-1.5-7b-hf; 'geofovea models' lists some"


@dataclass(frozen=True, slots=True)
class HubModel:
    """What the hub has of a model, at one commit.

    Attributes:
        hub_id: ``owner/name``.
        commit: What is downloaded, whatever is uploaded meanwhile.
        files: Names of what is wanted, with their sizes in bytes.
        license: As the hub tells it; empty if it does not.
    """

    hub_id: str
    commit: str
    files: dict[str, int]
    license: str = ""

    @property
    def total_bytes(self) -> int:
        """Of all files that are wanted."""
        return sum(self.files.values())


def examine_model(hub_id: str) -> HubModel:
    """Ask the hub for the files of a model, and read its configuration.

    Raises:
        ModelError: If it is not there, is gated, of no supported family, or its weights are not
            in safetensors.
    """
    if hub_id.count("/") != 1 or not all(hub_id.split("/")):
        raise ModelError(f"{hub_id!r} is not a hub id: {_HOW}")
    from huggingface_hub import HfApi, hf_hub_download

    with _hub(hub_id):
        info = HfApi().model_info(hub_id, files_metadata=True)
        commit, listed = str(info.sha), info.siblings or []
        names = {file.rfilename: file.size or 0 for file in listed}
        _check_list(hub_id, names)
        config = json.loads(
            Path(hf_hub_download(hub_id, "config.json", revision=commit)).read_text()
        )
    if not is_published(config):
        family_of(hub_id, config)
    card: Any = info.card_data or {}
    files = {name: size for name, size in names.items() if _is_wanted(name)}
    return HubModel(hub_id, commit, files, str(card.get("license") or ""))


def download_model(model: HubModel) -> Path:
    """Fetch the files of a model into the cache of ``huggingface_hub``; those there are kept.

    Returns:
        The folder that holds them.

    Raises:
        ModelError: If the hub stops answering, or has other files by now; those fetched are kept.
        DiskSpaceError: If there is too little room for what is missing.
    """
    from huggingface_hub import constants, snapshot_download, try_to_load_from_cache
    from huggingface_hub.utils.tqdm import disable_progress_bars

    def is_here(name: str) -> bool:
        found = try_to_load_from_cache(model.hub_id, name, revision=model.commit)
        return isinstance(found, str)

    missing = sum(size for name, size in model.files.items() if not is_here(name))
    cache = Path(constants.HF_HUB_CACHE)
    free = shutil.disk_usage(next(p for p in (cache, *cache.parents) if p.exists())).free
    if missing > free:
        raise DiskSpaceError(
            f"{model.hub_id} takes {missing / 1e9:.1f} GB more, and {cache} has {free / 1e9:.1f} "
            "GB free: make room, or set HF_HOME to a folder on another disk"
        )
    if not sys.stderr.isatty():
        disable_progress_bars()
    with _hub(model.hub_id):
        # by its name and not by its commit: so it is found by its name without a hub, too
        folder = Path(snapshot_download(model.hub_id, allow_patterns=list(model.files)))
    if folder.name != model.commit:
        raise ModelError(f"{model.hub_id} was changed on the hub meanwhile: get it again")
    return folder


def _is_wanted(name: str) -> bool:
    named = "/" not in name and any(fnmatch(name, pattern) for pattern in _WANTED)
    return named and not any(fnmatch(name, pattern) for pattern in _UNWANTED)


def _check_list(hub_id: str, names: dict[str, int]) -> None:
    """Refuse a repository from its list of files."""
    if "config.json" not in names:
        raise ModelError(
            f"{hub_id} has no config.json, so it is not a model of transformers: {_HOW}"
        )
    if not any(fnmatch(name, _WEIGHTS) for name in names):
        raise ModelError(
            f"{hub_id} has no weights in safetensors, and pickles are never opened here: look for "
            "its conversion on the hub, or save it with save_pretrained(safe_serialization=True)"
        )


@contextmanager
def _hub(hub_id: str) -> Iterator[None]:
    """Say in one line what the hub, or the way to it, has against a model."""
    try:
        yield
    except ModelError:
        raise
    except Exception as error:  # its client raises those of several libraries
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0] if lines else type(error).__name__
        raise ModelError(
            f"the hub did not give {hub_id} ({reason}): check the name, the connection and "
            "HF_HUB_OFFLINE; a gated model needs HF_TOKEN"
        ) from error
