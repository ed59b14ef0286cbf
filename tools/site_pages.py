"""Pages of the site that are kept elsewhere in the repository, so that no text stands twice.

MkDocs loads this file as a hook. It adds the README, the changelog and the like as pages, the
notebooks as tutorials, and turns links into the repository into links within the site where the
site has the page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "https://github.com/geofovea/geofovea/blob/main/"
PICTURES = "https://raw.githubusercontent.com/geofovea/geofovea/main/"
# files of the repository, and the pages that they become
PAGES = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "contributing/architecture.md",
    "CHANGELOG.md": "contributing/changelog.md",
    "CODE_OF_CONDUCT.md": "contributing/conduct.md",
    "CONTRIBUTING.md": "contributing/index.md",
    "SECURITY.md": "contributing/security.md",
    "src/geofovea/pipeline/embedded_model/README.md": "models/demo-model-card.md",
    "src/geofovea/pipeline/embedded_earth/README.md": "models/earth-model-card.md",
}
# pictures that other hosts would be asked for
BADGE = re.compile(r"^\[!\[[^\n]*\n", re.MULTILINE)
LINK = re.compile(r"(\]\(|(?:src|href)=\")([^)\"\s]+)")


def page_of(path: str) -> str | None:
    """The page that a file of the repository is on the site, as a path below docs."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/") and (ROOT / path).is_file():
        return path.removeprefix("docs/")
    return path if path.startswith("notebooks/") and path.endswith(".ipynb") else None


def path_in_repository(target: str, folder: str) -> str | None:
    """What a link leads to, as a path from the root of the repository; None for other places."""
    for start in (REPOSITORY, PICTURES):
        if target.startswith(start):
            return target.removeprefix(start)
    if re.match(r"[a-z]+:|#|/", target):
        return None
    return posixpath.normpath(posixpath.join(folder, target))


def with_site_links(text: str, source: str, page: str) -> str:
    """Text of a page with links that stay within the site.

    Args:
        text: Markdown.
        source: File that it comes from, as a path from the root of the repository.
        page: Page that it becomes, as a path below docs.
    """

    def replace(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        path = path_in_repository(target, posixpath.dirname(source)) if target else None
        if path is None:
            return match[0]
        inside = page_of(path)
        place = posixpath.relpath(inside, posixpath.dirname(page) or ".") if inside else None
        return match[1] + (place or REPOSITORY + path) + (f"#{anchor}" if anchor else "")

    return LINK.sub(replace, text)


def _current_names_alone(command: Any) -> None:
    """Take the earlier names of options, which still work, out of what the reference shows."""
    for parameter in command.params:
        earlier = getattr(parameter, "earlier", ())
        parameter.opts = [name for name in parameter.opts if name not in earlier]
    for child in getattr(command, "commands", {}).values():
        _current_names_alone(child)


def on_startup(**_: Any) -> None:
    """Prepare the command line for its reference; this process runs no command."""
    from geofovea.pipeline.cli import main

    _current_names_alone(main)


# before the plugin that turns notebooks into pages
@event_priority(100)
def on_files(files: Files, config: Any) -> Files:
    """Add the pages and the notebooks."""
    for source, page in PAGES.items():
        text = BADGE.sub("", (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=with_site_links(text, source, page)))
    for notebook in sorted((ROOT / "notebooks").glob("*.ipynb")):
        name = f"notebooks/{notebook.name}"
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Keep links of ordinary pages within the site, too."""
    uri = page.file.src_uri
    if page.file.generated_by or uri.endswith(".ipynb"):
        return markdown
    return with_site_links(markdown, f"docs/{uri}", uri)


def on_page_content(html: str, **_: Any) -> str:
    """Leave out how click writes that an option has no default."""
    return html.replace("<code>Sentinel.UNSET</code>", "")
