"""Which reductions a host of each family accepts, as a table for people.

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
from geofovea.pipeline.session.plan import plan_encoding
from geofovea.pipeline.system.tables import markdown_table
from geofovea.regionfocus.reductions.chain import make_chain
from geofovea.regionfocus.reductions.chain_spec import ENCODER_LINKS
from geofovea.regionfocus.reductions.registry import DECODER_REDUCTION_NAMES, REDUCTION_NAMES

PAGE = ROOT / "docs" / "reductions.md"
BEGIN, END = "<!-- reductions by family: made by a test -->\n", "<!-- end -->\n"
STAGES = (
    ("on projected tokens", REDUCTION_NAMES),
    ("inside the decoder", DECODER_REDUCTION_NAMES),
    ("inside the encoder", tuple(ENCODER_LINKS)),
)


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
            cell(names, [name for name in names if accepts(host, name, tokens)])
            for _, names in STAGES
        )
        rows.setdefault(cells, []).append(f"`{family}`")
    head = ("family", *(f"{stage} ({len(names)})" for stage, names in STAGES))
    return markdown_table(head, [[", ".join(which), *cells] for cells, which in rows.items()])


def page_with(made: str) -> str:
    """The page with a table in its place."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{before}{BEGIN}\n{made.strip()}\n\n{END}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page_with(table()), encoding="utf-8")
