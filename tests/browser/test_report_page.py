"""The report in Chromium: it asks nobody for anything, says nothing on the console, and works by keyboard, in the dark and in print."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pipeline
from pipeline.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator

sync_api = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="the package axe-playwright-python is not installed")

pytestmark = pytest.mark.browser
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "</script><img src=x onerror=\"document.title='broken'\"><b>{{7*7}}"
ROWS = 300


def browser_of(play: Any) -> Any:
    """The system's Chromium, or playwright's own; the test is skipped where there is neither."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    try:
        return play.chromium.launch(executable_path=path, args=["--no-sandbox"])
    except sync_api.Error as error:
        pytest.skip(f"there is no Chromium here: {str(error).splitlines()[0]}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as play:
        found = browser_of(play)
        yield found
        found.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run with two lanes, failures, hostile text and streams."""
    folder = tmp_path_factory.mktemp("page")
    rows = [{"custom_id": HOSTILE, "prompt": "row 0"}, *({"prompt": f"row {number}"} for number in range(1, ROWS))]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    script = {"0": "http_400", "7": "http_400", "20": "http_500", "21": "http_429"}
    lanes = [{"name": f"{name} <b>", "simulate": {"script": script, "latency": {"median_seconds": 0.01}}} for name in ("eu", "us")]
    body = {"model": "gpt-4o", "stream": True, "messages": [{"role": "user", "content": "{prompt}"}]}
    config = {
        "source": {"path": "in.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": body},
        "providers": lanes,
        "limits": {"requests_per_second": 80},
        "prices": {"prompt_per_million": 1000, "output_per_million": 2000},
        "sink": {"path": "out.jsonl"},
    }
    (folder / "c.yaml").write_text(json.dumps(config))
    main(["run", str(folder / "c.yaml"), "--progress", "none"])
    return Path(pipeline.report(folder / "c.yaml").path)


class Page:
    """A page that is open, with all that it asked for and said."""

    def __init__(
        self, browser: Any, report: Path, *, width: int = 1280, scheme: str = "light", scripts: bool = True, csp: bool = True
    ) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts, bypass_csp=not csp
        )
        self.tab = self.context.new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.tab.on("request", lambda request: self.asked.append(request.url))
        self.tab.on("console", lambda message: self.said.append(message.text))
        self.tab.on("pageerror", lambda error: self.said.append(str(error)))
        self.tab.goto(report.as_uri())
        if scripts:
            self.tab.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()


@pytest.mark.parametrize("width", [1280, 320])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fetches_nothing_says_nothing_and_anybody_can_use_it(browser: Any, report: Path, width: int, scheme: str) -> None:
    with Page(browser, report, width=width, scheme=scheme) as page:
        outside = [url for url in page.asked if not url.startswith(("file:", "data:"))]
        sideways = page.tab.evaluate("document.documentElement.scrollWidth - innerWidth")
        plots = page.tab.locator(".uplot").count()
        assert (outside, page.said, sideways) == ([], [], 0)
        assert plots >= 8
    with Page(browser, report, width=width, scheme=scheme, csp=False) as page:  # the checker is a script that the policy refuses
        found = axe.Axe().run(page.tab)
        assert [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]] == []


def test_hostile_text_is_shown_as_text(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        page.tab.fill("[data-table=failed] input", "onerror")

        assert page.tab.inner_text("[data-table=failed] tbody td:nth-child(2)") == HOSTILE
        assert page.tab.evaluate("document.images.length") == 0
        assert "broken" not in page.tab.title()
        page.tab.locator("[data-plot=throughput]").locator("xpath=..").locator("summary").click()
        assert page.tab.locator("figure details[open] tbody tr").count() > 0
        assert "eu <b>" in page.tab.inner_text("[aria-label=Lanes]")


def test_a_script_that_is_not_ours_does_not_run(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        page.tab.evaluate(
            "(() => { const s = document.createElement('script'); s.textContent = 'window.bad = 1'; document.body.append(s); })()"
        )

        assert page.tab.evaluate("window.bad === undefined")


def test_the_keyboard_reads_zooms_and_comes_back(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        tab = page.tab
        tab.focus("[data-plot=throughput]")
        tab.keyboard.press("End")
        spoken = tab.inner_text("#live")
        tab.keyboard.press("Home")
        tab.keyboard.press("+")
        zoomed = tab.is_visible("#reset")
        tab.keyboard.press("Escape")

        assert "answered" in spoken
        assert "your limit 160/s" in spoken
        assert zoomed
        assert not tab.is_visible("#reset")


def test_a_drag_zooms_every_plot_over_time(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        tab = page.tab
        box = tab.locator("[data-plot=throughput] .u-over").bounding_box()
        tab.mouse.move(box["x"] + 200, box["y"] + 60)
        tab.mouse.down()
        tab.mouse.move(box["x"] + 500, box["y"] + 60, steps=4)
        tab.mouse.up()

        shown = tab.evaluate("[...new Set(plots.filter(plot => plot.timed).map(plot => plot.scales.x.min.toFixed(3)))]")
        assert len(shown) == 1
        assert float(shown[0]) > 0


def test_tables_are_searched_filtered_sorted_and_leafed_through(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        tab = page.tab
        tab.select_option("[data-table=failed] select", label="HTTP 400 (2)")
        assert tab.inner_text("[data-table=failed] .n") == "2 rows"
        tab.click("[data-table=slow] thead th:first-child button")
        assert tab.get_attribute("[data-table=slow] thead th:first-child", "aria-sort") == "descending"
        tab.click("[data-table=slow] .pager button:nth-child(2)")
        assert tab.inner_text("[data-table=slow] .pager span") == "16 to 30 of 200"
        assert tab.locator("[data-table=slow] tbody tr").count() == 15


def test_the_switches_change_what_is_shown(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        page.tab.click("#latency-switch button:nth-child(2)")
        page.tab.click("#theme button:nth-child(3)")

        assert page.tab.locator("[data-plot=latency] .uplot").count() == 1
        assert page.tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(14, 17, 22)"
        assert page.said == []


def test_without_scripts_the_figures_and_tables_stay(browser: Any, report: Path) -> None:
    with Page(browser, report, scripts=False) as page:
        text = page.tab.inner_text("body")

        assert "298 of 300 rows were answered" in text
        assert "viewer does not run" in text
        assert "Failed rows" in text
        assert not page.tab.is_visible(".grid >> nth=0")


def test_it_prints(browser: Any, report: Path) -> None:
    with Page(browser, report) as page:
        assert len(page.tab.pdf()) > 20_000
