"""What a hostile page, question or file name can do: nothing."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from page_toys import ask, view_at, wait_for_answer

from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.serving import Listening

HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)> plane?"

ATTEMPTS = """async ([base, token]) => {
    const outcome = async (promise) => promise.then(
        (reply) => `${reply.type} ${reply.status}`, () => "refused");
    const loads = (tag, path) => new Promise((done) => {
        const element = document.createElement(tag);
        element.onload = () => done("loaded");
        element.onerror = () => done("refused");
        element.src = base + path;
        document.body.append(element);
    });
    const body = JSON.stringify({ scene: "1", question: "Owned?" });
    return {
        read: await outcome(fetch(base + "api/scenes")),
        readWithToken: await outcome(fetch(base + "api/scenes",
            { headers: { Authorization: `Bearer ${token}` } })),
        ask: (await outcome(fetch(base + "api/jobs", { method: "POST", body, mode: "no-cors" })))
            .split(" ")[0],
        tile: await loads("img", "api/scenes/1/view/0/0/0"),
        script: await loads("script", "viewer.js"),
    };
}"""


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of another server on this machine, whose pages a person may have open."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>stranger</title><body></body>")

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_page_of_another_server_gets_nothing_and_asks_nothing(
    chromium: Any, site: Listening, desk: Desk, stranger: str, name: str
) -> None:
    base, _, token = site.address.partition("#token=")
    count = len(desk.jobs())
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(stranger.replace("127.0.0.1", name))
        outcome = page.evaluate(ATTEMPTS, [base, token])
    finally:
        context.close()
    # an opaque reply says that it was sent, not that it was heard: no job came of it
    assert outcome.pop("ask") in ("opaque", "refused")
    assert set(outcome.values()) == {"refused"}
    assert len(desk.jobs()) == count


def test_the_page_without_its_token_says_what_to_do(chromium: Any, site: Listening) -> None:
    context = chromium.new_context()
    try:
        page = context.new_page()
        page.goto(site.address.partition("#")[0])
        text = page.get_by_role("alert").text_content()
    finally:
        context.close()
    assert "geofovea serve" in text


def test_the_token_leaves_the_address_at_once(visit: Callable[..., Any], site: Listening) -> None:
    page = visit()
    assert site.token not in page.evaluate("location.href")
    assert site.token not in page.content()


def test_texts_of_a_question_and_of_a_file_name_stay_texts(visit: Callable[..., Any]) -> None:
    page = visit()
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    view_at(page, 400, 300, 1, "2")
    ask(page, HOSTILE)
    wait_for_answer(page)
    assert page.locator(".gf-asked").text_content() == HOSTILE
    assert page.title() == "GeoFovea"
    assert page.locator("#geofovea img, #geofovea script").count() == 0
    assert dialogs == []


def test_letters_that_cannot_be_seen_are_written_out(visit: Callable[..., Any]) -> None:
    name = "<img src=x onerror=alert(1)>\\u202egnp.\\u001b[31m.png"
    page = visit()
    view_at(page, 400, 300, 1, "2")
    assert page.get_by_label("Scene", exact=True).locator("option").nth(1).text_content() == name
    assert page.get_by_role("application", name=f"Map of {name}.").count() == 1
    ask(page, "Is \u202ethis\x1b]0;owned\x07 an \u2066airport?")
    wait_for_answer(page)
    written = "Is \\u202ethis\\u001b]0;owned\\u0007 an \\u2066airport?"
    assert page.locator(".gf-asked").text_content() == written
    assert page.locator(".gf-history button").first.text_content() == written
    assert page.get_by_role("region", name=name).count() == 1
    letters = set(page.locator("#geofovea").text_content())
    assert not letters & set("\u202e\u2066\x1b\x07")


GO_TO = """place => new Promise((done) => {
    addEventListener("hashchange", () => setTimeout(done), { once: true });
    location.hash = place;
})"""


def test_an_address_that_nobody_means_still_opens_the_page(visit: Callable[..., Any]) -> None:
    page = visit()
    for place in ("1,2,3,%", "nan,1,1,1", "1,2,-3,1", "%%%", "1e308,1e308,1e308,1", "0,0,1,2,<b>"):
        page.evaluate(GO_TO, place)
        page.reload()
        page.wait_for_selector("[data-ready]")
        page.wait_for_selector(".gf-map-cell[data-renders]")
    # a reload gives up tiles on their way; errors of scripts still count
    page.witness.forget_aborted()


def test_no_script_may_write_markup(visit: Callable[..., Any]) -> None:
    page = visit()
    attempt = """() => {
        try { document.body.innerHTML = "<b>x</b>"; return "written"; }
        catch (error) { return error.name; }
    }"""
    assert page.evaluate(attempt) == "TypeError"
    page.witness.faults.clear()
