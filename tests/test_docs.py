"""What the documentation names is there, and what is there is documented."""

import json
import re

import pytest
from doc_pages import DOCS, PAGES, README, name_of
from repository import ROOT

import geofovea
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.system.configuration import FILE_VARIABLE, SETTINGS, read_configuration
from geofovea.pipeline.system.model_catalog import CATALOG, FOUR_BIT, bytes_needed
from geofovea.tiling.pixels.composites import COMPOSITES

SUPPORTED = (DOCS / "supported.md").read_text(encoding="utf-8")
SOURCE = ROOT / "src" / "geofovea"
REPOSITORY = re.compile(
    r"https://(?:github\.com/geofovea/geofovea/(?:blob|tree)|"
    r"raw\.githubusercontent\.com/geofovea/geofovea)/main/([^)#\"\s]+)"
)
OTHER_FILES = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")]


def text_of(name):
    return (DOCS / name).read_text(encoding="utf-8")


def source_of_tests():
    return "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "tests").rglob("*.py"))


def test_every_row_of_what_is_supported_names_a_test_that_is_there():
    tests = set(re.findall(r"^def (test_\w+)", source_of_tests(), re.MULTILINE))
    rows = [line for line in SUPPORTED.splitlines() if re.match(r"\| (?!---)", line)]
    rows = [line for line in rows if not line.endswith("| test |")]
    assert len(rows) > 40
    for row in rows:
        named = re.findall(r"`((?:[\w/]+/)?test_\w+(?:\.py)?)`", row.rsplit(" | ", 1)[-1])
        assert named, row
        for name in named:
            if name.endswith(".py"):
                found = list((ROOT / "tests").rglob(name.rsplit("/", 1)[-1]))
                assert any(str(path).endswith(f"/{name}") for path in found), name
            else:
                assert name in tests, name


@pytest.mark.parametrize("path", [*PAGES, *OTHER_FILES], ids=name_of)
def test_files_that_a_page_links_are_there(path):
    text = path.read_text(encoding="utf-8")
    for target in REPOSITORY.findall(text):
        assert (ROOT / target).exists(), target
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text):
        assert (path.parent / target).exists(), target


def test_the_readme_is_short_and_has_no_link_that_a_package_index_would_break():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    targets = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", text)
    assert len(targets) > 10
    assert not [t for pair in targets for t in pair if t and not t.startswith("https://")]


def test_the_readme_renders_as_plain_markdown():
    from markdown_it import MarkdownIt

    html = MarkdownIt("gfm-like", {"html": False, "linkify": False}).render(
        README.read_text(encoding="utf-8")
    )
    assert html.count("<table>") == 2
    assert html.count("<h1>") == 1
    assert "```" not in html
    assert "&lt;img" not in html


def test_every_public_name_is_in_the_reference():
    names = set(geofovea.__all__) - {"__version__"}
    reference = text_of("reference/python.md")
    documented = set(re.findall(r"^::: geofovea\.(\w+)$", reference, re.MULTILINE))
    assert not {n for n in names - documented if not n.endswith("Error")}
    assert "::: geofovea.errors" in text_of("reference/errors.md")


def test_every_environment_variable_is_documented():
    used = set()
    for path in SOURCE.rglob("*.py"):
        used |= set(re.findall(r"GEOFOVEA_[A-Z_]+[A-Z]", path.read_text(encoding="utf-8")))
    table = text_of("reference/environment.md")
    assert not {name for name in used if f"`{name}`" not in table}
    named = set(re.findall(r"`(GEOFOVEA_[A-Z_]+)`", table))
    assert not named - used


def test_the_table_of_models_is_that_of_the_catalog():
    row = r"^\| ([^|]+) \| `([^`]+/[^`]+)` \| ([^|]+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$"
    rows = re.findall(row, text_of("models/index.md"), re.MULTILINE)
    expected = [
        (
            m.name,
            m.hub_id,
            m.license,
            f"{m.download_gb:.1f}",
            f"{bytes_needed(m, 2, 4096) / 1e9:.1f}",
            f"{bytes_needed(m, FOUR_BIT, 4096) / 1e9:.1f}",
        )
        for m in CATALOG
    ]
    assert rows == expected


def test_every_composite_is_documented():
    page = text_of("how-to/bands.md")
    assert not {name for name in COMPOSITES if f"`{name}`" not in page}


def test_the_example_of_model_settings_is_one(tmp_path):
    example = re.search(r"```json\n(.*?)```", text_of("reference/model-settings.md"), re.DOTALL)[1]
    path = tmp_path / "geofovea.json"
    path.write_text(example)
    assert HostSettings.read(path).focus_layer == json.loads(example)["focus_layer"]


def test_the_example_of_a_configuration_is_one_and_names_every_setting(tmp_path, monkeypatch):
    example = re.search(r"```toml\n(.*?)```", text_of("how-to/configuration.md"), re.DOTALL)[1]
    (tmp_path / "named.toml").write_text(example)
    for setting in SETTINGS:
        monkeypatch.delenv(setting.variable, raising=False)
    monkeypatch.setenv(FILE_VARIABLE, str(tmp_path / "named.toml"))
    left_out = {"cache.tokens_gigabytes"}
    assert set(read_configuration().values) == {s.key for s in SETTINGS} - left_out


def test_the_glossary_has_at_most_two_dozen_words():
    rows = re.findall(r"^\| \*\*", text_of("concepts/glossary.md"), re.MULTILINE)
    assert 10 <= len(rows) <= 24
