"""A config that is put in force while a run goes on: what can change does, what cannot is named, and no limit or budget is exceeded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

import pipeline
from pipeline import Changed, ConfigError, LiveConfig, RunAborted
from pipeline.config import load_config_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from pipeline import Config, Summary

ROWS = 300
QUICK = {"simulate": {"latency": {"median_seconds": 0.02}}}


def config_of(folder: Path, **settings: Any) -> Config:
    body = {"model": "gpt-4o", "max_tokens": 20, "messages": [{"role": "user", "content": "{prompt}"}]}
    config = {
        "source": {"path": "in.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": body},
        "sink": {"path": "out.jsonl", "shape": "flat"},
        **settings,
    }
    return load_config_text(json.dumps({key: value for key, value in config.items() if value}), "config.yaml", folder=folder)


def limited(rate: float, in_flight: int = 20) -> dict[str, Any]:
    return {"requests_per_second": rate, "max_in_flight": in_flight, "learn": False}


async def changed_after(folder: Path, first: Config, rows: int, change: Callable[[LiveConfig], Awaitable[object]]) -> Summary:
    """Run a config, and change it when so many rows are done."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {row}"}) + "\n" for row in range(ROWS)))
    live, reached = LiveConfig(), trio.Event()

    def look(progress: pipeline.Progress) -> None:
        if progress.rows_done >= rows:
            reached.set()

    async def change_it() -> None:
        await reached.wait()
        await change(live)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(change_it)
            summary = await pipeline.run(first, live=live, progress=look)
            nursery.cancel_scope.cancel()
    return summary


def lanes_of(folder: Path) -> list[str]:
    return [json.loads(line)["lane"] for line in (folder / "out.jsonl").read_text().splitlines()]


async def test_a_raised_limit_holds_from_then_on(tmp_path: Path) -> None:
    told: list[Changed] = []

    async def raise_it(live: LiveConfig) -> None:
        told.append(await live.replace(config_of(tmp_path, provider=QUICK, limits=limited(1000, 40))))

    summary = await changed_after(tmp_path, config_of(tmp_path, provider=QUICK, limits=limited(20)), 5, raise_it)

    assert summary.succeeded == ROWS
    assert summary.duration_seconds < ROWS / 20
    assert told == [Changed(("limits.requests_per_second: 20 -> 1000", "limits.max_in_flight: 20 -> 40"))]


async def test_what_cannot_change_while_a_run_goes_on_is_named_and_stays(tmp_path: Path) -> None:
    told: list[Changed] = []

    async def change(live: LiveConfig) -> None:
        other = config_of(tmp_path, provider={**QUICK, "http2": True}, limits={**limited(500), "learn": True}, sink={"path": "other.jsonl"})
        told.append(await live.replace(other))

    summary = await changed_after(tmp_path, config_of(tmp_path, provider=QUICK, limits=limited(50)), 5, change)

    assert summary.succeeded == ROWS
    assert told[0].changes == ("limits.requests_per_second: 50 -> 500",)
    assert set(told[0].kept) == {"limits.learn", "sink.path", "sink.shape", "provider.http2"}
    assert not (tmp_path / "other.jsonl").exists()


async def test_lanes_come_and_go_and_no_row_is_lost(tmp_path: Path) -> None:
    one, two = ({"name": name, **QUICK, "limits": limited(rate)} for name, rate in (("one", 40), ("two", 400)))
    told: list[Changed] = []

    async def exchange(live: LiveConfig) -> None:
        told.append(await live.replace(config_of(tmp_path, providers=[one, two])))
        told.append(await live.replace(config_of(tmp_path, providers=[two])))

    summary = await changed_after(tmp_path, config_of(tmp_path, providers=[one]), 10, exchange)

    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert set(lanes_of(tmp_path)) == {"one", "two"}
    assert told == [Changed(("lane two is used from now on",)), Changed(("lane one is used no longer",))]
    assert [lane.out for lane in summary.lanes] == ["it is not in the config any more", None]
    assert lanes_of(tmp_path)[-100:] == ["two"] * 100


async def test_a_budget_that_is_set_later_counts_what_was_spent_before(tmp_path: Path) -> None:
    async def limit(live: LiveConfig) -> None:
        await live.replace(config_of(tmp_path, provider=QUICK, limits=limited(100), budget={"requests": 100}))

    with pytest.raises(BaseExceptionGroup) as caught:
        await changed_after(tmp_path, config_of(tmp_path, provider=QUICK, limits=limited(100)), 10, limit)

    stopped = caught.value.exceptions[0]
    assert isinstance(stopped, RunAborted)
    assert "budget.requests is used up: 100 requests are spent" in str(stopped)
    assert stopped.summary is not None
    assert stopped.summary.attempts == stopped.summary.succeeded == 100


async def test_a_raised_budget_brings_back_the_lane_that_had_spent_it(tmp_path: Path) -> None:
    def lanes(requests: int) -> list[dict[str, Any]]:
        return [
            {"name": "one", **QUICK, "limits": limited(400), "budget": {"requests": requests}},
            {"name": "two", **QUICK, "limits": limited(40)},
        ]

    async def raise_it(live: LiveConfig) -> None:
        await live.replace(config_of(tmp_path, providers=lanes(200)))

    summary = await changed_after(tmp_path, config_of(tmp_path, providers=lanes(10)), 20, raise_it)

    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert 20 < summary.lanes[0].attempts <= 200


async def test_a_config_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    lane = {"name": "one", **QUICK, "limits": limited(100)}
    problems: list[str] = []

    async def spoil(live: LiveConfig) -> None:
        for other in ([lane, {"name": "two", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "NOT_SET_ANYWHERE"}], None):
            with pytest.raises(ConfigError) as caught:
                await live.replace(config_of(tmp_path, providers=other, provider=None if other else QUICK))
            problems.append(str(caught.value))

    summary = await changed_after(tmp_path, config_of(tmp_path, providers=[lane]), 10, spoil)

    assert summary.succeeded == ROWS
    assert "NOT_SET_ANYWHERE is not set" in problems[0]
    assert "cannot take each other's place" in problems[1]
    assert set(lanes_of(tmp_path)) == {"one"}


async def test_a_lane_with_limits_of_its_own_from_now_on_says_which_of_them_hold(tmp_path: Path) -> None:
    """The keys were not compared one by one: `shared` seemed to be in force, and was not."""
    told: list[Changed] = []

    async def change(live: LiveConfig) -> None:
        own = {**limited(300), "shared": "a-name", "learn": True}
        told.append(await live.replace(config_of(tmp_path, providers=[{"name": "one", **QUICK, "limits": own}], limits=limited(50))))

    summary = await changed_after(tmp_path, config_of(tmp_path, providers=[{"name": "one", **QUICK}], limits=limited(50)), 5, change)

    assert summary.succeeded == ROWS
    assert told[0].changes == ("lane one: limits.requests_per_second: 50 -> 300",)
    assert set(told[0].kept) == {"lane one: limits.learn", "lane one: limits.shared"}
