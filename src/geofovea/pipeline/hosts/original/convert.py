"""From a checkpoint in the layout of its own repository to one of stock ``transformers``."""

from __future__ import annotations

from pathlib import Path

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.checkpoint import check_files, read_json, weight_files
from geofovea.pipeline.hosts.original.internvl import write_internvl
from geofovea.pipeline.hosts.original.internvl_configuration import check_internvl, is_internvl
from geofovea.pipeline.hosts.original.layout import check_convertible
from geofovea.pipeline.hosts.original.llava import write_llava
from geofovea.pipeline.hosts.original.written_folder import new_folder
from geofovea.pipeline.hosts.pretrained import check_loadable

__all__ = ["convert_checkpoint"]

_LAYER = "mm_vision_select_layer"


def convert_checkpoint(source: Path, output: Path, tower: str | None = None) -> Path:
    """Write a folder with the same model in the layout of stock ``transformers``.

    Weights are copied a tensor at a time, so memory is that of one file of 2 GiB.

    Args:
        source: Folder with ``config.json``, safetensors and a tokenizer: a LLaVA, or an InternVL.
        output: Folder to write; it must not exist.
        tower: Folder or hub id of the vision tower of a LLaVA; None takes the one that the model
            names, unless it holds one.

    Returns:
        The folder that was written.

    Raises:
        ModelError: If it is no such model, is built otherwise, lacks a part, or is pickled.
        OutputError: If the output exists or cannot be written.
    """
    if not (source / "config.json").is_file():
        raise ModelError(
            f"the folder {source} holds no config.json of a model; LHRS-Bot and others that are "
            "saved in parts (a FINAL.pt, adapters) have to be joined by the code of their authors "
            "and saved with save_pretrained first"
        )
    config = read_json(source / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise ModelError(
            f"{source / 'config.json'} names no model_type, so nobody can tell what model it is "
            "of; copy or download it again"
        )
    if is_internvl(config):
        check_internvl(str(source), config)
        if tower is not None:
            raise ModelError(f"{source} is an InternVL, which holds its tower; leave out tower=")
    else:
        check_convertible(str(source), config)
    check_files(str(source), config)
    # beside what stock transformers opens there may be copies, and parts of other programs
    files = weight_files(str(source), config) or sorted(source.glob("*.safetensors"))
    if not files:
        raise ModelError(f"{source} holds no weights in safetensors; copy or download it again")
    with new_folder(output) as part:
        if is_internvl(config):
            write_internvl(files, config, source, part)
        else:
            write_llava(files, config, source, part, tower)
        _check_loadable(part, source, "select_layer" if is_internvl(config) else _LAYER)
    return output


def _check_loadable(part: Path, source: Path, layer: str) -> None:
    """Refuse what no load would take.

    Args:
        part: The folder that was written.
        source: What was converted.
        layer: How its configuration calls the layer of the tower that the tokens are made of.

    Raises:
        ModelError: If a value that was passed on is one that the stock model cannot have.
    """
    try:
        check_loadable(part, str(source))
    except ModelError as error:
        reason = str(error).replace("vision_feature_layer", layer)
        raise ModelError(
            f"{source} would make a model that cannot be loaded: {reason}; if all of its files are "
            "as its authors published them, serve it with their code and name it by openai:NAME"
        ) from error
