"""The report's page, made of histories of known content: its size, its shares and its percentiles."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from pipeline.config import load_config_text
from pipeline.core.pacing.findings import Learned
from pipeline.edges.store.journal_schema import State
from pipeline.edges.telemetry.kept import KeptHistory
from pipeline.events import AttemptRecord, AttemptResult, LaneBack, LaneOut, RunBegan
from pipeline.inspect.report.findings import findings_of
from pipeline.inspect.report.gathered import FailedLine, Gathered
from pipeline.inspect.report.page import Report, page_of
from pipeline.inspect.report.plots import plots_of
from pipeline.inspect.report.timeline import timeline_of
from tests.fakes.observers import tell

if TYPE_CHECKING:
    from pipeline.config import Config

CONFIG = """
source: {path: in.jsonl}
providers:
  - {name: eu, simulate: {}, limits: {requests_per_second: 30, tokens_per_minute: 1000000}}
  - {name: us, simulate: {}, limits: {requests_per_second: 30, tokens_per_minute: 1000000}}
prices: {prompt_per_million: 1, output_per_million: 2}
budget: {cost: 1000}
sink: {path: out.jsonl}
"""
LIMITS: dict[str, float | None] = {"eu": 30.0, "us": 30.0}
CODES = ("http_429", "http_500", "timeout", "connection", "malformed_response", "http_400")


@pytest.fixture
def config() -> Config:
    return load_config_text(CONFIG, "c.yaml")


def history_of(attempts: int, seconds: float) -> KeptHistory:
    """A run of two lanes: a third of the time held by the learned pace, two thirds by the configured limit; some attempts fail."""
    draw, kept = random.Random(7), KeptHistory()
    kept.events([RunBegan(0.0, 1_700_000_000.0)])
    records = []
    for number in range(attempts):
        lane, left = ("eu", "us")[number % 2], (number + 1) * seconds / attempts
        took = draw.lognormvariate(0.5, 0.6)
        code = CODES[number % len(CODES)] if number % 40 == 0 else ""
        why = "learned" if left < seconds / 3 else "requests_per_second"
        result = AttemptResult.RETRIED if code else AttemptResult.ANSWERED
        records.append(
            AttemptRecord(number, f"row-{number}", 1, lane, number // 2, why, left, left, left, left + took / 3, left + took, result, 200,
                          code, prompt_tokens=400, output_tokens=300, estimated_tokens=800, cost=0.001)
        )  # fmt: skip
    kept.events([LaneOut(10.0, "refused", 1.0, "eu"), LaneBack(25.0, 15.0, "eu")])
    tell(kept, records)
    return kept


def gathered(kept: KeptHistory, failed: int = 0) -> Gathered:
    lines = [
        FailedLine(number * 7, f"row-{number * 7}", "http_400", 400, f"reason {number % 50}: " + "x" * 250, False)
        for number in range(failed)
    ]
    state = State(succeeded=900, failed=failed, rows=900 + failed, learned={"us": Learned(1140.0, "sliding")})
    return Gathered(state, False, [kept.history], {"http_400": failed} if failed else {}, lines, 0)


def page(config: Config, found: Gathered) -> str:
    timeline = timeline_of(found.sessions)
    findings = findings_of(found, timeline, config, LIMITS, "headrace run c.yaml")
    return page_of(
        Report("a → b", findings, found, timeline, LIMITS, plots_of(timeline, config, LIMITS), CONFIG, [("began", "now")], "out")
    )


def test_the_page_of_a_long_run_with_a_thousand_failures_stays_small(config: Config) -> None:
    kept = history_of(60_000, 38_000.0)  # as many buckets, and as full ones, as a million attempts have

    assert len(kept.history.buckets) > 500
    assert len(page(config, gathered(kept, failed=1_000)).encode()) < 300_000


def test_a_run_whose_first_seconds_are_not_in_its_journal_yet_says_no_time(config: Config) -> None:
    found = Gathered(State(succeeded=506), True, [], {}, [], 0)

    assert (
        findings_of(found, timeline_of([]), config, LIMITS, "headrace run c.yaml").headline
        == "So far 506 of 506 rows were answered; none failed."
    )


def test_the_first_screen_is_computed_from_the_run(config: Config) -> None:
    found = gathered(history_of(3_000, 100.0), failed=3)
    timeline = timeline_of(found.sessions)

    findings = findings_of(found, timeline, config, LIMITS, "headrace run c.yaml")

    assert findings.headline.startswith("900 of 903 rows were answered in 1 min 4")
    assert "for 3.00" in findings.headline
    assert "".join(text for text, _ in findings.lead).endswith(
        "Lane us allows about 19 requests a second where you set 30. Lane eu was out of reach for 15 s. "
    )
    assert [each.answer for each in findings.answers][3] == "3 of 903 rows"
    assert ("Lane us: write down what it allows", "providers[1].limits.requests_per_minute: 1140") in [
        (each.text, each.command) for each in findings.todo
    ]


def test_shares_are_right_to_two_points(config: Config) -> None:
    del config
    shares = timeline_of([history_of(6_000, 300.0).history]).shares()

    held = {name: share / (1 - shares["tail"]) for name, share in shares.items()}
    assert held["provider"] == pytest.approx(1 / 3, abs=0.02)
    assert held["requests"] == pytest.approx(2 / 3, abs=0.02)


def test_tokens_of_a_minute_never_look_like_more_than_there_were(config: Config) -> None:
    timeline = timeline_of([history_of(6_000, 300.0).history])
    (tokens,) = [plot for plot in plots_of(timeline, config, LIMITS) if plot.key == "tokens"]

    counted = next(series["v"] for series in tokens.series if series["label"] == "counted by the provider")
    assert max(counted) == pytest.approx(700 * 6_000 / 5, rel=0.05)
