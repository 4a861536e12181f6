"""Several lanes over real sockets: every row is answered once, by a lane that its result names, whatever one of the lanes does."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trio

import pipeline
from pipeline import RunAborted
from pipeline.config import load_config_text

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline import Config, Summary

ROWS = 200


def config_of(folder: Path, lanes: list[dict[str, Any]], **settings: Any) -> Config:
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {row}"}) + "\n" for row in range(ROWS)))
    body = {"model": "gpt-4o", "max_tokens": 20, "messages": [{"role": "user", "content": "{prompt}"}]}
    config = {
        "source": {"path": "in.jsonl"},
        "request": {"url": "/v1/chat/completions", "body": body},
        "providers": lanes,
        "timeouts": {"total_seconds": 3},
        "sink": {"path": "out.jsonl", "shape": "flat"},
        **settings,
    }
    return load_config_text(json.dumps(config), "config.yaml", folder=folder)


def lane(name: str, rate: float, **simulate: Any) -> dict[str, Any]:
    limits = {"requests_per_second": rate, "max_in_flight": 20}
    latency = {"median_seconds": 0.05}
    return {"name": name, "limits": limits, "simulate": {"latency": latency, **simulate}}


def go(config: Config) -> Summary:
    async def main() -> Summary:
        return await pipeline.run(config)

    return trio.run(main)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


OUTAGES = {
    "refused": {"fault": "connection_refused", "at_seconds": 0.5, "seconds": 1},
    "401": {"fault": "wrong_key", "at_seconds": 0.5, "seconds": 1},
    "gateway": {"fault": "http_502", "at_seconds": 0.5, "seconds": 1},
    "hole": {"fault": "stall", "at_seconds": 0.5, "seconds": 1},
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_the_largest_of_three_lanes_dies_for_a_while_and_takes_no_row_with_it(tmp_path: Path, outage: dict[str, Any]) -> None:
    lanes = [lane("large", 40, outages=[outage]), lane("middle", 20), lane("small", 10)]

    summary = go(config_of(tmp_path, lanes))

    lines = results(tmp_path)
    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert [line["content"] is not None for line in lines] == [True] * ROWS
    assert [line["index"] for line in lines] == list(range(ROWS))
    assert Counter(line["lane"] for line in lines) == {each.name: each.succeeded for each in summary.lanes}
    assert all(each.succeeded >= 10 for each in summary.lanes)
    assert summary.lanes[0].out is None


def test_lanes_with_keys_of_their_own_at_one_server_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOD", "sk-good")
    monkeypatch.setenv("EMPTY", "sk-empty")
    keys = (pipeline.SimulatedKey(key="sk-good"), pipeline.SimulatedKey(key="sk-empty", quota=pipeline.SimulatedQuota(requests=20)))

    async def main() -> Summary:
        async with trio.open_nursery() as nursery:
            base_url = await nursery.start(pipeline.serve_simulated, pipeline.SimulateConfig(keys=keys))
            lanes = [{"name": name.lower(), "base_url": base_url, "api_key_env": name} for name in ("GOOD", "EMPTY")]
            summary = await pipeline.run(config_of(tmp_path, lanes))
            nursery.cancel_scope.cancel()
        return summary

    summary = trio.run(main)

    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert [each.succeeded for each in summary.lanes] == [ROWS - 20, 20]
    assert "nothing is left in the account" in (summary.lanes[1].out or "")
    assert "EMPTY" in (summary.lanes[1].out or "")


def test_a_lane_asks_for_its_own_model(tmp_path: Path) -> None:
    other = {**lane("other", 50, models=["m-small"], only_models=True), "model": "m-small"}

    summary = go(config_of(tmp_path, [lane("main", 50), other]))

    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert all(each.succeeded for each in summary.lanes)
    assert {line["lane"] for line in results(tmp_path)} == {"main", "other"}


def test_the_run_stops_with_the_causes_of_all_lanes_and_goes_on_with_others(tmp_path: Path) -> None:
    broken = [lane("one", 50, outages=[{"fault": "wrong_key"}]), lane("two", 50, quota={"requests": 30})]

    with pytest.raises(RunAborted) as caught:
        go(config_of(tmp_path, broken))

    assert "one: " in str(caught.value)
    assert "two: " in str(caught.value)
    assert caught.value.summary is not None
    assert (caught.value.summary.succeeded, caught.value.summary.failed) == (30, 0)
    summary = go(config_of(tmp_path, [lane("three", 100)]))
    assert (summary.succeeded, summary.skipped_resumed) == (ROWS, 30)
    assert [line["index"] for line in results(tmp_path)] == list(range(ROWS))
