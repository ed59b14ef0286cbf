"""A page of HTML that holds all it shows, and asks nobody for anything.

Words of models, people and files are escaped by the template, and letters in them that cannot be
seen are written out: those that turn the direction of others make a name look like another. A page
runs no script, and its policy allows the one style that it holds and pictures that are part of it.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import Any

import jinja2

from geofovea.pipeline.system.terminal import visible

__all__ = ["render_page"]


def render_page(module: str, template: str, **values: Any) -> str:
    """Fill in a template that extends ``page.html``.

    Args:
        module: Name of the module beside which it stands, in a folder ``templates``.
        template: Its file name.
        values: By the names that it uses; one that it lacks is an error.
    """
    own, shared = (files(name.rpartition(".")[0]) / "templates" for name in (module, __name__))

    def source(name: str) -> str:
        folder = own if (own / name).is_file() else shared
        return (folder / name).read_text(encoding="utf-8")

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(source),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_plain,
    )
    style = (shared / "style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    page = environment.get_template(template)
    return page.render(style=style, style_hash=f"sha256-{digest}", **values)


def _plain(value: Any) -> Any:
    return visible(value, lines=True) if type(value) is str else value
