"""Which reductions, layer methods and cache policies a host of each family accepts, as a table.

    PYTHONPATH=tests/toys python tests/toys/reduction_rows.py

writes it into its page anew; a test fails where the page says something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from family_toys import QUESTION, host_of, tokens_of
from repository import ROOT

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.registry import FAMILIES
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.session.plan import plan_encoding, plan_skip
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.cache_policies.kv_spec import KV_NAMES, parse_kv
from geofovea.regionfocus.layer_plans.registry import LAYER_METHOD_NAMES
from geofovea.regionfocus.reductions.chain import make_chain
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, REDUCTION_NAMES

PAGE = ROOT / "docs" / "reductions.md"
BEGIN, END = "<!-- reductions by family: made by a test -->\n", "<!-- end -->\n"


def accepts(host: Any, name: str, tokens: Any) -> bool:
    """Whether a host answers with a reduction; one inside the decoder really runs."""
    chain = make_chain(name)
    try:
        plan_encoding(host, [chain])
    except ModelError:
        return False
    if chain.decoder is not None:
        host.generate(QUESTION, tokens, chain.decoder)
    return True


def skips(host: Any, name: str, tokens: Any) -> bool:
    """Whether a host answers with a layer method, which really runs."""
    # by default it starts behind all layers of so small a decoder but the last
    text = f"{name}:1" if name == "var" else name
    try:
        method = plan_skip(host, text, make_chain("focus_spread"))
    except ModelError:
        return False
    assert method is not None
    host.generate_together([Prompt(QUESTION, tokens, skip=method.beside(tokens).of(tokens))])
    return True


def stores(host: Any, name: str, tokens: Any) -> bool:
    """Whether a host answers out of a memory that stores, or reads, by a policy."""
    prompts, kv = host.stored_prompts, parse_kv(name)
    if prompts is None:
        return False
    tiles = prompts.store(tokens, kv.storing())
    try:
        prompts.generate(Prompt(QUESTION, tokens), tiles, kv.reading())
    except ModelError:
        return False
    return True


STAGES = (
    ("on projected tokens", REDUCTION_NAMES, accepts),
    ("inside the decoder", DECODER_REDUCTION_NAMES, accepts),
    ("inside the encoder", tuple(ENCODER_LINKS), accepts),
    ("`--skip`", LAYER_METHOD_NAMES, skips),
    ("`--memory`, `--kv`", KV_NAMES, stores),
)


def cell(names: Sequence[str], accepted: Sequence[str]) -> str:
    """All, none, or all but some."""
    if not accepted:
        return "none"
    refused = [f"`{name}`" for name in names if name not in accepted]
    return "all but " + ", ".join(refused) if refused else "all"


def table() -> str:
    """The table: families that accept the same share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for family in FAMILIES:
        host = host_of(family)
        tokens = tokens_of(host)
        tokens = replace(tokens, importance=torch.linspace(0, 1, len(tokens)))
        cells = tuple(
            cell(names, [name for name in names if does(host, name, tokens)])
            for _, names, does in STAGES
        )
        rows.setdefault(cells, []).append(f"`{family}`")
    head = ("family", *(f"{stage} ({len(names)})" for stage, names, _ in STAGES))
    return markdown_table(head, [[", ".join(which), *cells] for cells, which in rows.items()])


def page_with(made: str) -> str:
    """The page with a table in its place."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{made.strip()}\n\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table()), encoding="utf-8")
