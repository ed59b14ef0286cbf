"""A frozen model beside which parts learn, and what a host does with the same prompt."""

import copy
import hashlib
import json

import torch
from pipeline_toys import lively_student, load_anew
from safetensors.torch import save_file

from geofovea.pipeline.hosts.learned.card import PART_FILES
from geofovea.pipeline.inference.decoder.planned import PlannedRun
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.training.export import write_model
from geofovea.pipeline.training.parts.frozen_model import FrozenModel


def frozen_model(folder):
    """A model of the embedded kind whose answers depend on every token."""
    write_model(lively_student(), folder)
    return FrozenModel(load_anew(folder), folder)


@torch.no_grad()
def planned_logits(model, decoder, vision, words, method):
    """What a host answers under a layer method, and the vision tokens of each layer.

    Args:
        model: The frozen model.
        decoder: Its own, or another in its place.
        vision: ``(n, d)``, what is visible.
        words: Of the question.
        method: Plans the layers.
    """
    stock = copy.deepcopy(decoder)
    stock.config._attn_implementation = "sdpa"
    start = torch.tensor([model.llava.config.text_config.bos_token_id])
    embedded = torch.cat([model.embed(start), vision, model.embed(words)])[None]
    visual, length = torch.arange(1, 1 + len(vision)), embedded.shape[1]
    sequence = PromptSequence(embedded, torch.arange(length)[None], visual, None, length)
    run = PlannedRun(stock, sequence, method)
    return model.llava.lm_head(run.prefill())[0], run.tokens_by_layer


def rewrite_part(folder, file, tensors):
    """Put other tensors into the file of a part, as if it had been written with them."""
    # copies: the file that they were read from is written over
    save_file({name: each.clone().contiguous() for name, each in tensors.items()}, folder / file)
    path = folder / "geofovea.json"
    record = json.loads(path.read_text())
    own = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    for kind, card in record["parts"].items():
        if file == PART_FILES[kind]:
            card["sha256"] = own
    path.write_text(json.dumps(record))
