"""Checks the files of a model before ``transformers`` opens them: no pickle, no code, no bomb.

``transformers`` follows what a folder says of itself further than its options tell: an index of
safetensors, or ``transformers_weights`` in ``config.json``, may name a pickle; the name of an
attention may be that of code on the hub; an adapter is joined to the model where ``peft`` is
installed; and memory is taken for sizes that the weights do not have.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from safetensors import SafetensorError, safe_open

from geofovea.datasets.tables.text_files import json_of
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.learned.card import SETTINGS_FILE
from geofovea.tiling.machine.system_errors import first_line, reason_of

__all__ = [
    "WeightCount",
    "ask_hub_once",
    "check_complete",
    "check_depth",
    "check_files",
    "check_size",
    "companion",
    "entries",
    "quiet_transformers",
    "read_json",
    "refuse_adapter",
    "weight_files",
]

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
_INDEX_ENDING = ".safetensors.index.json"
_WEIGHTS, _INDEX = "model.safetensors", f"model{_INDEX_ENDING}"
_DEPTHS = frozenset({"num_hidden_layers", "num_layers", "n_layers", "depth"})
_CODE = frozenset(
    f"{start}{what}_implementation{end}"
    for start in ("", "_")
    for what in ("attn", "experts")
    for end in ("", "_internal")
)
# one file, for parts need an index; copies, for tied weights share memory
_CONVERSION = (
    'python -c "import glob, torch, safetensors.torch as s; w = {{}}; '
    "[w.update((k, v.clone().contiguous()) for k, v in torch.load(f, weights_only=True).items()) "
    "for f in sorted(glob.glob('{files}'))]; "
    "s.save_file(w, 'model.safetensors', metadata={{'format': 'pt'}})\""
)
_PARTS = "pytorch_model*.bin"
_MOST_TEMPLATE_BYTES, _MOST_CONFIG_BYTES = 2**20, 2**26
_CONFIGS = (
    "tokenizer_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    SETTINGS_FILE,
)
_HUB_SECONDS = 20
# a head that is tied to the embeddings has no weights of its own, and eight numbers of four bits
# are in one of thirty-two
_TIED, _PACKED = 2, 8


@dataclass(frozen=True, slots=True)
class WeightCount:
    """How much the files of a model hold.

    Attributes:
        tensors: Tensors.
        numbers: Their elements.
        whole: The first weight whose elements are whole numbers, as quantized ones are; or empty.
    """

    tensors: int
    numbers: int
    whole: str = ""


def check_files(name: str, config: Mapping[str, Any]) -> WeightCount | None:
    """Refuse a model whose files would have code run or a pickle opened.

    Args:
        name: A local folder or a hub id; weights on the hub are downloaded.
        config: Its ``config.json``.

    Returns:
        How much its weights hold; None where it has none by the names of ``transformers``.

    Raises:
        ModelError: If its weights are pickled or damaged, it names code of the hub, it is an
            adapter, cannot have so many layers, or a text of it is larger than any real one.
    """
    for key, value in entries(config):
        if key in _CODE and isinstance(value, str) and "/" in value:
            raise ModelError(
                f"config.json of {name} wants code of the hub run ({key}: {value!r}), which is "
                "never done here; take that line out of it"
            )
    refuse_adapter(name)
    _refuse_pickle(Path(name))
    _refuse_long_texts(Path(name))
    files = weight_files(name, config)
    if not files:
        return None
    count = _count(files)
    check_depth(name, config, count)
    return count


def refuse_adapter(name: str) -> None:
    """Refuse a folder that holds an adapter, alone or beside a model.

    Raises:
        ModelError: If it does.
    """
    if companion(name, "adapter_config.json") is not None:
        raise ModelError(
            f"{name} holds an adapter (adapter_config.json); merge it into its model with peft's "
            "merge_and_unload, and save that as safetensors"
        )


def check_depth(name: str, config: Mapping[str, Any], count: WeightCount) -> None:
    """Refuse a number of layers that the weights cannot have, before lists are made for them.

    Args:
        name: Of the model.
        config: Its ``config.json``.
        count: What its files hold.

    Raises:
        ModelError: If there are fewer tensors than layers, or no layer.
    """
    for key, depth in entries(config):
        if key in _DEPTHS and isinstance(depth, (int, float)) and not 1 <= depth <= count.tensors:
            raise ModelError(
                f"the config.json of {name} asks for {depth} layers ({key}), and its files hold "
                f"{count.tensors} tensors; copy or download it again"
            )


def check_size(name: str, make: Any, config: Any, count: WeightCount) -> None:
    """Refuse a configuration with far more weights than there are, before memory is taken for them.

    Args:
        name: Of the model.
        make: Its class in ``transformers``.
        config: Its configuration.
        count: What its files hold.

    Raises:
        ModelError: If it is of other weights than these.
    """
    import torch

    with torch.device("meta"):
        model = make(config)
    weights = sum(w.numel() for w in (*model.parameters(), *model.buffers()))
    most = count.numbers * _TIED * (_PACKED if getattr(config, "quantization_config", None) else 1)
    if weights > most:
        raise ModelError(
            f"config.json of {name!r} speaks of {weights:,} weights, its files hold "
            f"{count.numbers:,}: they do not belong together; copy or download it again"
        )


def check_complete(what: str, report: Mapping[str, Any]) -> None:
    """Refuse a model some of whose weights are not there.

    Args:
        what: The model, as it is called in a message.
        report: What ``from_pretrained`` says of loading it.

    Raises:
        ModelError: If ``transformers`` would continue with random numbers in their place.
    """
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{what} lacks {len(missing)} weights, the first is {missing[0]}; copy or download it "
            "again"
        )


def ask_hub_once(name: str) -> None:
    """Fail at once where a model is not whole on this machine and not at the hub either.

    Downloads ask six times where nobody answers, and tell each time on standard error.

    Args:
        name: A hub id.

    Raises:
        OSError: If the hub cannot be reached, or has no such model.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    extent = "it is not"
    try:
        config = try_to_load_from_cache(name, "config.json")
        if isinstance(config, str):
            extent = "only a part of it is"
        if not isinstance(config, str) or not _has_weights(Path(config).parent):
            HfApi().model_info(name, timeout=_HUB_SECONDS)
    except Exception as error:  # its client raises those of several libraries
        raise OSError(
            f"{extent} on this machine, and the hub did not give it: {first_line(error)}; check "
            "the name, the connection and HF_HUB_OFFLINE, and set HF_TOKEN for a gated model"
        ) from error


def _has_weights(folder: Path) -> bool:
    """Whether no file of weights is missing in a folder of the hub's cache."""
    if (folder / _INDEX).exists():
        shards = read_json(folder / _INDEX).get("weight_map")
        names = set(shards.values()) if isinstance(shards, Mapping) else set()
        return all((folder / str(name)).exists() for name in names)
    # pickles are refused elsewhere, in words of their own
    return any(any(folder.glob(pattern)) for pattern in ("*.safetensors", *_PICKLES))


def companion(name: str, file: str, *, may_be_out_of_reach: bool = True) -> Path | None:
    """A file beside the weights of a model, from the hub where need be; None if there is none.

    Args:
        name: A local folder or a hub id.
        file: Its name.
        may_be_out_of_reach: A hub that cannot be reached has no such file.

    Raises:
        OSError: If the hub cannot be reached, and that is not how it may be.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder / file if (folder / file).exists() else None
    from transformers.utils import cached_file

    path = cached_file(
        name,
        file,
        _raise_exceptions_for_missing_entries=False,
        _raise_exceptions_for_connection_errors=not may_be_out_of_reach,
    )
    return None if path is None else Path(path)


def read_json(path: Path) -> dict[str, Any]:
    """What a file says, empty where it is no object.

    Raises:
        ModelError: If it cannot be read as JSON.
    """
    try:
        value: object = json_of(path)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"{path} is not a JSON object ({reason_of(error)}); copy or download it again"
        ) from error
    return value if isinstance(value, dict) else {}


def entries(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All keys with their plain values, those of nested objects under the outermost's key too."""
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from entries(value)
            if key in _CODE:
                yield from ((key, inner) for inner in value.values())
        else:
            yield key, value


def _refuse_pickle(folder: Path) -> None:
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    pickled = sorted(p.name for pattern in _PICKLES for p in folder.glob(pattern))
    if pickled:
        # beside the weights there may be a projector, or arguments of a training
        weights = (name for name in pickled if PurePosixPath(name).match(_PARTS))
        raise _is_pickle(str(folder), next(weights, pickled[0]))


def _refuse_long_texts(folder: Path) -> None:
    """Refuse templates and settings that are larger than any real ones, before they are read."""
    templates = [*folder.glob("*.jinja"), *folder.glob("*/*.jinja")]
    templates += [folder / "chat_template.json"]
    limits = [(path, _MOST_TEMPLATE_BYTES) for path in templates]
    limits += [(folder / name, _MOST_CONFIG_BYTES) for name in _CONFIGS]
    for path, most in limits:
        if path.is_file() and path.stat().st_size > most:
            raise ModelError(
                f"{path} has {path.stat().st_size:,} bytes, more than the {most:,} that such a "
                "file may have; copy or download it again"
            )


def _is_pickle(name: str, file: str) -> ModelError:
    path = PurePosixPath(file)
    # a name out of a file may hold quotes, and stands in a command here
    files = file if re.fullmatch(r"[\w.-]+", file) else f"*{path.suffix}"
    files = _PARTS if path.match(_PARTS) else files
    return ModelError(
        f"{name} holds its weights as pickle ({file}), which runs code when it is opened and is "
        "refused; convert them to safetensors on a machine that holds nothing else: "
        f"{_CONVERSION.format(files=files)}"
    )


def weight_files(name: str, config: Mapping[str, Any]) -> list[Path]:
    """The files that ``transformers`` would open, all of them safetensors; none if it finds none.

    Raises:
        ModelError: If one would be no safetensors file of this model.
    """
    listing = config.get("transformers_weights")
    names: tuple[str, ...] = (_WEIGHTS, _INDEX)
    if listing is not None:
        names = (_checked(name, listing, "config.json", (".safetensors", _INDEX_ENDING)),)
    weights = next((path for file in names if (path := companion(name, file))), None)
    if weights is None or weights.suffix != ".json":
        return [weights] if weights else []
    parts = read_json(weights).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise ModelError(f"{weights} names no file of weights; copy or download it again")
    shards = {_checked(name, part, weights.name, (".safetensors",)) for part in parts.values()}
    paths = {shard: companion(name, shard) for shard in sorted(shards)}
    for shard, path in paths.items():
        if path is None:
            raise ModelError(f"{name} lacks {shard}, which {weights.name} names; copy it again")
    return [path for path in paths.values() if path is not None]


def _checked(name: str, file: object, source: str, endings: tuple[str, ...]) -> str:
    """The name of a file with weights in the folder of a model, as one of its own files has it."""
    path = PurePosixPath(str(file))
    if not isinstance(file, str) or path.is_absolute() or ".." in path.parts or "\\" in file:
        raise ModelError(
            f"the weights of {name} could not be loaded: {source} looks for them in {file!r}, "
            "which is not a file of its folder; copy or download it again"
        )
    if file.endswith(endings):
        return file
    if any(path.match(pattern) for pattern in _PICKLES):
        raise _is_pickle(name, file)
    raise ModelError(
        f"{source} of {name} looks for weights in {file!r}, which is not safetensors; convert them"
    )


def _count(files: list[Path]) -> WeightCount:
    tensors = numbers = 0
    whole: list[str] = []
    for path in files:
        try:
            with safe_open(path, "pt") as reader:
                parts = {key: reader.get_slice(key) for key in reader.keys()}  # noqa: SIM118
                shapes = [part.get_shape() for part in parts.values()]
                dtypes = {key: part.get_dtype() for key, part in parts.items()}
        except (OSError, SafetensorError) as error:
            raise ModelError(
                f"the weights in {path} could not be loaded ({reason_of(error)}); copy or "
                "download them again"
            ) from error
        tensors += len(shapes)
        numbers += sum(math.prod(shape) for shape in shapes)
        whole += [k for k, d in dtypes.items() if k.endswith(".weight") and d[:1] in ("I", "U")]
    return WeightCount(tensors, numbers, next(iter(whole), ""))


@contextmanager
def quiet_transformers(*, shows_bars: bool = True) -> Iterator[None]:
    """Keep its reports off standard error, and its progress bars too unless someone watches.

    Args:
        shows_bars: Whether who watches a terminal sees them.
    """
    from transformers.utils import logging

    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if had_bars and not (shows_bars and sys.stderr.isatty()):
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
