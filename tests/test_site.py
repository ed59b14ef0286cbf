"""The site builds without a warning, loads nothing from elsewhere, and answers in a few clicks."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urljoin, urlsplit

import pytest
from repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
HOME = "https://geofovea.github.io/geofovea/"
# what five kinds of readers ask, and a phrase of the passage that answers
QUESTIONS = {
    "How do I install it without a GPU?": "CPU wheel keeps the",
    "Which model can I run in 8 GB of memory?": "4 to 12 GB of free memory",
    "What does exit code 3 of a batch mean?": "the run is complete, but some rows failed",
    "How do I ask about my own image with Ollama?": "with a model behind an endpoint",
    "What will it cost in memory and time?": "counts the weights and one question",
    "How do I ask many questions about many scenes?": "asks many scenes many questions",
    "Where did the model look, and how do I see it in QGIS?": "Both open in QGIS with a style",
    "Which models fit my machine?": "whether it fits into the memory that is free now",
    "How do I pass an array instead of a file?": "an image that your program already holds",
    "How do I stop it from spending too much at an endpoint?": "checks the limits before each call",
    "What do the columns of answers.parquet mean?": "Nested fields are JSON texts",
}


class Page(HTMLParser):
    """What a page loads, and where its links lead."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.links = set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        values = {name: value or "" for name, value in attributes}
        if tag in ("script", "img", "iframe", "source") and "src" in values:
            self.loads.add(values["src"])
        if tag == "link" and values.get("rel") not in ("canonical", "prev", "next"):
            self.loads.add(values.get("href", ""))
        if tag == "a" and "href" in values:
            self.links.add(values["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Every page by its path below the site."""
    found = {}
    for path in sorted(site.rglob("*.html")):
        if path.name != "404.html":
            found[path.relative_to(site).as_posix()] = path.read_text(encoding="utf-8")
    return found


@pytest.fixture
def served(site):
    """Where the site is served on the loopback."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@contextmanager
def opened_browser():
    """Debian's Chromium."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium: install the package chromium")
        pytest.skip("no Chromium: install the package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def test_no_page_loads_anything_from_another_host(pages, site):
    for name, text in pages.items():
        for target in Page(text).loads:
            assert not urlsplit(target).netloc, f"{name} loads {target}"
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert not re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", text), style


def test_a_browser_asks_nobody_else_and_finds_pages_by_search(site, served):
    with opened_browser() as browser:
        page = browser.new_page()
        hosts = set()
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        for path in ("reference/cli/", "notebooks/ask_a_scene/", ""):
            page.goto(f"{served}/{path}")
            page.wait_for_load_state("networkidle")
        page.keyboard.press("/")
        page.keyboard.type("exit codes")
        hit = page.locator(".md-search-result__item").first
        hit.wait_for()
        assert "Exit codes" in hit.inner_text()
        assert hosts == {urlsplit(served).netloc}


def test_the_search_index_is_part_of_the_site(site):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    texts = " ".join(entry["text"] for entry in index["docs"])
    assert "many questions share tiles" in texts
    assert "--max-tiles" in texts


def clicks_from_home(pages):
    """How many clicks lead to each page."""
    distance, wave = {"index.html": 0}, ["index.html"]
    while wave:
        name = wave.pop(0)
        for link in Page(pages[name]).links:
            target = urljoin(HOME + name, link).split("#")[0]
            if not target.startswith(HOME):
                continue
            path = target.removeprefix(HOME)
            path = path if path.endswith(".html") else f"{path}index.html"
            if path in pages and path not in distance:
                distance[path] = distance[name] + 1
                wave.append(path)
    return distance


def test_every_page_is_within_three_clicks_of_home(pages):
    distance = clicks_from_home(pages)
    assert set(distance) == set(pages)
    assert max(distance.values()) <= 3


@pytest.mark.parametrize("question", QUESTIONS)
def test_what_people_ask_is_answered_within_three_clicks(pages, question):
    distance = clicks_from_home(pages)
    phrase = QUESTIONS[question]
    plain = {
        name: re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text)) for name, text in pages.items()
    }
    answers = [name for name, text in plain.items() if phrase in text]
    assert answers
    assert min(distance[name] for name in answers) <= 3


def test_notebooks_and_references_are_there(pages):
    assert "geofovea-answer" in pages["notebooks/ask_a_scene/index.html"]
    assert 'id="geofovea.SceneSession.ask_many"' in pages["reference/python/index.html"]
    commands = pages["reference/cli/index.html"]
    assert "--max-tiles" in commands
    # an earlier name of --save-png, and how click writes that there is no default
    assert not re.search(r"--picture\b", commands)
    assert "UNSET" not in commands
    assert "GeoFoveaError" in pages["reference/errors/index.html"]
