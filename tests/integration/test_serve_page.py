"""The page of `headrace serve` in a real browser: it works by keyboard, on a phone, dark and light, and asks nobody else for anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.fakes.browser import BROWSER, browser
from tests.fakes.serving import provider, rows, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.browser import Tab
    from tests.fakes.serving import Server

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")]

FITS = "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
EVIL = "<img src=x onerror=document.title='broken'>"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Server]:
    with provider(latency__median_seconds=0.01) as base_url, server(tmp_path, base_url) as made:
        yield made


def nothing_wrong(tab: Tab, served: Server) -> None:
    assert tab.problems == []
    assert [url for url in tab.asked if not url.startswith((f"{served.url}/", "about:", "data:", "blob:"))] == []
    assert tab.run(FITS)


def test_a_file_becomes_a_batch_and_its_results_by_keyboard_alone(served: Server, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in rows(40).splitlines()]
    for line in lines[::8]:
        line["custom_id"] = f"{EVIL} {line['custom_id']}"
        line["body"]["messages"] = "no list"
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with browser(tmp_path, f"{served.url}/") as tab:
        tab.wait("!document.querySelector('#empty').hidden")
        assert f'base_url="{served.url}/v1"' in tab.text("#lines")

        tab.choose("#file", tmp_path / "mine.jsonl")
        tab.wait("document.activeElement.id === 'start'")
        assert "/v1/chat/completions" in tab.text("#chosen-name")
        tab.press("Enter")
        tab.wait("document.querySelector('#batches .good')?.innerText === 'completed'")
        tab.run("document.querySelector('#older, #batches button').focus()")
        tab.run("document.querySelector('#batches button').focus()")
        tab.press("Enter")
        tab.wait("document.querySelector('#detail').open")

        detail = tab.text("#detail-body")
        assert "Why rows failed" in detail
        assert "5 × " in detail
        assert EVIL in detail
        downloads = tab.run("[...document.querySelectorAll('#detail-body a')].map((link) => link.getAttribute('href'))")
        assert len(downloads) == 2
        assert tab.run(f"fetch({json.dumps(downloads[0])}).then((r) => r.text()).then((t) => t.trim().split('\\n').length)") == 35
        tab.press("Escape")
        tab.wait("!document.querySelector('#detail').open")
        assert tab.run("document.title") == "headrace"
        nothing_wrong(tab, served)


def test_a_bad_file_is_told_before_it_is_uploaded(served: Server, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"custom_id": "a"}\nnot json\n')
    with browser(tmp_path, f"{served.url}/") as tab:
        tab.wait("!document.querySelector('#content').hidden")

        tab.choose("#file", tmp_path / "bad.jsonl")
        tab.wait("document.activeElement.id === 'forget'")

        assert "line 1: method is missing" in tab.text("#chosen-problems")
        assert tab.run("document.querySelector('#start').disabled")
        nothing_wrong(tab, served)


def test_a_batch_is_cancelled_only_after_a_second_yes(tmp_path: Path) -> None:
    with provider(latency__median_seconds=0.1) as base_url, server(tmp_path, base_url, limits={"max_in_flight": 2}) as served:
        batch = served.create(served.upload(rows(4000)))["id"]
        with browser(tmp_path, f"{served.url}/") as tab:
            tab.wait("document.querySelector('#batches button')")
            tab.run("document.querySelector('#batches button').click()")
            tab.wait("document.querySelector('#detail-body .danger')?.innerText === 'Cancel'")
            tab.run("document.querySelector('#detail-body .danger').click()")
            assert tab.text("#detail-body .danger") == "Yes, cancel it"
            assert served.batch(batch)["status"] == "in_progress"
            tab.press("Enter")

            tab.wait("/cancelled|cancelling/.test(document.querySelector('#batches').innerText)")
            assert served.wait(batch)["status"] == "cancelled"
            nothing_wrong(tab, served)


def test_it_fits_a_screen_and_a_phone_dark_and_light(served: Server, tmp_path: Path) -> None:
    body = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "metadata": {"description": "Reviews of spring, " * 10}}
    served.post("/v1/batches", {"input_file_id": served.upload(rows(3)), **body})
    served.create(served.upload(b"nonsense\n"))
    with browser(tmp_path, f"{served.url}/") as tab:
        tab.wait("document.querySelectorAll('#batches > li').length === 2")
        tab.run("document.querySelector('#files-section').open = true")
        tab.wait("document.querySelector('#files').children.length >= 2")
        for width in (1200, 360):
            for dark in (False, True):
                tab.show_as(width=width, height=900, dark=dark)
                colour = tab.run("getComputedStyle(document.body).backgroundColor")
                assert colour == ("rgb(15, 23, 42)" if dark else "rgb(248, 250, 252)")
                assert tab.run(FITS)
                tab.look(tmp_path / f"page-{width}-{dark}.png")
        nothing_wrong(tab, served)


def test_a_page_of_a_server_with_a_key_asks_for_it_and_keeps_it_for_the_tab(tmp_path: Path) -> None:
    key = "page-key"
    with provider() as base_url:
        with server(tmp_path, base_url, environment={"K": key}, serve={"api_key_env": "K"}) as served:
            with browser(tmp_path, f"{served.url}/") as tab:
                tab.wait("!document.querySelector('#key-form').hidden")
                assert tab.run("document.querySelector('#content').hidden")
                tab.run(f"document.querySelector('#key').value = '{key}'; document.querySelector('#key-form button').click()")
                tab.wait("!document.querySelector('#content').hidden")

                assert tab.run("document.cookie") == ""
                assert tab.run("sessionStorage.getItem('key')") == key
                assert all("401" in problem for problem in tab.problems)
