"""From a folder or a hub id to a loaded host: safetensors only, no code of the model's own."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import (
    WeightCount,
    check_complete,
    check_files,
    check_size,
    companion,
    quiet_transformers,
    read_json,
    weight_files,
)
from geofovea.pipeline.hosts.dry_run import QUESTION, parts_that_fit, try_model
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.families.registry import FAMILIES, family_in
from geofovea.pipeline.hosts.families.stock_class import meta_model, stock_config
from geofovea.pipeline.hosts.learned.card import PART_FILES
from geofovea.pipeline.hosts.learned.trained_parts import TrainedParts
from geofovea.pipeline.hosts.load_options import LoadOptions
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.hosts.processor_template import processor_template, template_files
from geofovea.pipeline.hosts.region_focus import FOCUS_FILE
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE, read_scene_position
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings, with_calibration
from geofovea.pipeline.inference.vision.image_processor import ImageProcessor
from geofovea.pipeline.system.device_memory import is_out_of_memory
from geofovea.tiling.machine.system_errors import first_line

__all__ = [
    "check_loadable",
    "could_not_load",
    "family_of",
    "load_lvlm",
    "why_no_tokenizer",
]

_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_TEXTS = (
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
)
_WEIGHT_OF_LAYER = re.compile(r"\b(layers|layer|blocks|blk|h)\.\d+\.")


def load_lvlm(
    name: str,
    config: dict[str, Any],
    options: LoadOptions,
    called: str | None = None,
    *,
    reads_calibration: bool = True,
) -> LvlmHost:
    """Load a model of any family, from safetensors only, without code of its own.

    Args:
        name: A local folder or a hub id.
        config: Its ``config.json``.
        options: How to load it.
        called: What the host calls itself; by default the name.
        reads_calibration: Whether a calibration that it has is used, and has to fit its weights.

    Raises:
        ModelError: If it is of no family, its weights are pickled, missing or damaged, or it needs
            code of its own.
        MissingExtraError: If an option needs a package that is not installed.
    """
    kind = family_of(name, config)
    weight_count = check_files(name, config)
    _check_weights(name, config, weight_count)
    options.check_installed()
    options.check_recordable()
    processor = _image_processor(name, kind.defaults)
    measured = weight_files(name, config) if reads_calibration else None
    settings = _settings(name, kind.defaults, processor, options, measured)
    model, tokenizer = _load(name, kind, config, weight_count, options)
    if not options.places:
        model = model.to(options.device)
    device = model.get_input_embeddings().weight.device
    position = read_scene_position(companion(name, SCENE_POSITION_FILE), device)
    with parts_that_fit(name):
        settings = _with_tile(settings, kind, model.config, processor)
        family = kind(model.eval(), settings.tile_size)
        host = LvlmHost(called or name, family, tokenizer, settings, position)
    try_model(host)
    if options.compile_decode:
        host.record_steps()
    if focus := companion(name, FOCUS_FILE):
        host.use_region_focus(focus.parent)
    if settings.parts:

        def rebuild(change: Any) -> LvlmHost:
            other, words, own = change(model, tokenizer, settings)
            made = LvlmHost(host.name, kind(other, own.tile_size), words, own, position)
            made.threads = host.threads
            return made

        files = {part: companion(name, PART_FILES[part]) for part in settings.parts}
        host.parts = TrainedParts(name, settings.parts, files, rebuild)
    return host


def _with_tile(
    settings: HostSettings, kind: type[Family], config: Any, processor: ImageProcessor
) -> HostSettings:
    """Settings that know the side of a tile, where it is not the tower that says it."""
    if settings.tile_size is not None:
        return settings
    return replace(settings, tile_size=kind.usual_tile(config, processor.least, processor.most))


def check_loadable(folder: Path, called: str) -> None:
    """Refuse a folder that no load would take, without its weights: the model has no memory.

    Numbers of weights are not tried, and what they make of a tile.

    Args:
        folder: Of a model of a supported family, which needs no network.
        called: What messages call it.

    Raises:
        ModelError: If its files do not describe a model of its family that can be asked.
    """
    from transformers import GenerationConfig

    name, config = str(folder), read_json(folder / "config.json")
    kind = family_of(called, config)
    processor = _image_processor(name, kind.defaults)
    settings = _settings(name, kind.defaults, processor, LoadOptions(), ())
    model = meta_model(called, kind.model_class, config)
    try:
        tokenizer = _tokenizer(name)
        if (folder / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(name)
    except ModelError:
        raise
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        raise could_not_load(called, error) from error
    with parts_that_fit(called):
        settings = _with_tile(settings, kind, model.config, processor)
        family = kind(model.eval(), settings.tile_size)
        host = LvlmHost(called, family, tokenizer, settings)
        if host.room(QUESTION, 1) < 1:
            raise ModelError(
                f"{called} takes {host.capabilities.context} places (max_position_embeddings), and "
                "a question with a tile and an answer needs more"
            )


def family_of(name: str, config: dict[str, Any]) -> type[Family]:
    """The family of a model.

    Raises:
        ModelError: If it is of none that is supported.
    """
    model_type = config.get("model_type")
    if family := family_in(config):
        # a model may bring code besides; the class of its family in transformers is used instead
        return family
    supported = ", ".join(FAMILIES)
    if "auto_map" in config:
        raise ModelError(
            f"{name} is a {model_type!r} that runs code of its own (auto_map), which is never done "
            f"here; take its conversion for stock transformers, of one of {supported}"
        )
    raise ModelError(
        f"{name} is a {model_type!r}; supported are {supported}, and LRS-VQA checkpoints: name "
        "another model, or use model='embedded'"
    )


def _check_weights(name: str, config: Mapping[str, Any], weight_count: WeightCount | None) -> None:
    """Refuse parts without their list, and a quantization that ``transformers`` would not undo.

    It would take quantized numbers for weights.
    """
    from transformers.quantizers.auto import AUTO_QUANTIZATION_CONFIG_MAPPING

    parts = sorted(path.name for path in Path(name).glob("*.safetensors"))
    if weight_count is None and parts:
        raise ModelError(
            f"{name} has no model.safetensors and no model.safetensors.index.json, which lists the "
            f"files with its weights ({parts[0]}, ...); copy or download it again"
        )
    quantization = config.get("quantization_config")
    if weight_count is not None and weight_count.whole and quantization is None:
        raise ModelError(
            f"{name} holds whole numbers for weights, the first is {weight_count.whole}, and its "
            "config.json says nothing of a quantization; copy or download it again, or take the "
            "model that is not quantized"
        )
    method = quantization.get("quant_method") if isinstance(quantization, Mapping) else None
    known = {each.partition("_4bit")[0] for each in AUTO_QUANTIZATION_CONFIG_MAPPING}
    if method is not None and str(method) not in known:
        raise ModelError(
            f"{name} is quantized by {method!r} (quant_method in config.json), which this "
            "transformers does not know; update it with `pip install --upgrade transformers`, or "
            "take the model that is not quantized"
        )


def _settings(
    name: str,
    defaults: HostSettings,
    processor: ImageProcessor,
    options: LoadOptions,
    weights: Sequence[Path] | None,
) -> HostSettings:
    """From the most particular to the most general.

    They are options, a calibration of the user's, geofovea.json, the processor, the family. Without
    weights, no calibration is read.
    """
    path = companion(name, SETTINGS_FILE)
    settings = replace(defaults, image_mean=processor.mean, image_std=processor.std)
    if path is not None:
        is_measured = weights is not None
        settings = HostSettings.read(path, settings, reads_calibration=is_measured)
    if weights is not None:
        settings = with_calibration(name, settings, weights)
    names = ("positions", "answer_tokens", "thinking", "thought_tokens")
    chosen: dict[str, Any] = {name: getattr(options, name) for name in names}
    return replace(settings, **{name: v for name, v in chosen.items() if v is not None})


def _image_processor(name: str, defaults: HostSettings) -> ImageProcessor:
    """What the stock image processor of a model does; that of its family where no file says it."""
    record: object = None
    if path := companion(name, "processor_config.json"):
        record = read_json(path).get("image_processor")
    if not isinstance(record, dict):
        # AutoImageProcessor looks here where that file holds no image processor
        path = companion(name, "preprocessor_config.json")
        record = {} if path is None else read_json(path)
    return ImageProcessor.of(record, defaults.image_mean, defaults.image_std)


def _load(
    name: str,
    kind: type[Family],
    config: dict[str, Any],
    weight_count: WeightCount | None,
    options: LoadOptions,
) -> tuple[Any, Any]:
    import transformers

    make = getattr(transformers, kind.model_class, None)
    if make is None:
        raise ModelError(
            f"{name} needs a newer transformers than {transformers.__version__}: update it with "
            "`pip install --upgrade transformers`"
        )
    try:
        with quiet_transformers():
            if weight_count is not None:
                check_size(name, make, stock_config(name, make.config_class, config), weight_count)
            model, report = make.from_pretrained(
                name,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                **options.for_transformers(),
            )
            tokenizer = _tokenizer(name)
    except ModelError:
        raise
    except Exception as error:  # a file that somebody else wrote may confuse it in any way
        if not is_out_of_memory(error):
            raise could_not_load(name, error) from error
        raise ModelError(
            f"the device {options.device!r} has too little memory for the weights of {name}; load "
            "them with dtype='bfloat16', quantization='4bit' or device_map='auto', or take a "
            "smaller model"
        ) from error
    check_complete(f"the model {name!r}", report)
    _check_layers(name, report)
    return model, tokenizer


def _tokenizer(name: str) -> Any:
    """The tokenizer of a model, with the chat template that its processor has, if any."""
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except ValueError as error:
        raise ValueError(why_no_tokenizer(name, error)) from error
    if template := processor_template(name):
        # the tokenizer's own may be for texts without images
        tokenizer.chat_template = template
    # settings of a tokenizer that cannot be meant are noticed when it is first used
    tokenizer.encode("Which one?")
    tokenizer.convert_tokens_to_ids("<which>")
    # how long a prompt may be is the host's affair
    tokenizer.model_max_length = sys.maxsize
    return tokenizer


def why_no_tokenizer(name: str, error: BaseException) -> str:
    """Why a tokenizer could not be loaded, and what to do where that is known.

    Args:
        name: A local folder or a hub id.
        error: What its loading raised.
    """
    if isinstance(error, UnicodeDecodeError) and (damaged := _not_utf8(name)):
        return f"{damaged} is not text in UTF-8: copy or download it again"
    path = companion(name, "tokenizer.model")
    # without the packages for it transformers takes the file for one of tiktoken
    if path is not None and "tiktoken" in str(error) and path.read_bytes()[:1] == b"\n":
        return "its tokenizer.model needs `pip install sentencepiece protobuf`"
    if not any(companion(name, file) for file in _TOKENIZER_FILES):
        return "it has no tokenizer: copy its tokenizer.json and tokenizer_config.json too"
    return first_line(error)


def _not_utf8(name: str) -> Path | None:
    """The first file with words of a tokenizer that is not text in UTF-8."""
    files = [companion(name, file) for file in _TEXTS] + template_files(name)
    for path in files:
        try:
            if path is not None:
                path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            return path
    return None


def _check_layers(name: str, report: Mapping[str, Any]) -> None:
    """Refuse weights with more layers than the config.json has."""
    # transformers would go on without layers that the config.json does not count
    if spare := sorted(key for key in report["unexpected_keys"] if _WEIGHT_OF_LAYER.search(key)):
        raise ModelError(
            f"the model {name!r} has {len(spare)} weights of layers that its config.json does not "
            f"know, the first is {spare[0]}; copy or download it again"
        )


def could_not_load(name: str, error: Exception) -> ModelError:
    """The first line of what ``transformers`` or the hub has to say, and what to do."""
    message = first_line(error)
    if "ignore_mismatched_sizes" in message:
        # it says so of a report that it would have printed
        message = "its weights have other shapes than its config.json says: copy both again"
    return ModelError(
        f"the model {name!r} could not be loaded ({message}); name a "
        "folder or hub id of a supported model in safetensors, or use model='embedded'"
    )
