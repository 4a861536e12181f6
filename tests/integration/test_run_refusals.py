"""Credentials and money: a key that gets nothing stops the run at once, a lone refusal is its row's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import pipeline
from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.runs import answers, refuses, run_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_FLIGHT = 20
LASTING_REFUSALS = ["key:401", "key:401:invalid_api_key", "key:402", "key:403", "key:429:insufficient_quota", "key:403:insufficient_quota"]


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider(latency_seconds=0.02) as hostile:
        yield hostile


@pytest.mark.parametrize("refusal", LASTING_REFUSALS)
@pytest.mark.parametrize("in_flight", [1, 2, IN_FLIGHT])
async def test_a_key_that_gets_nothing_costs_no_more_requests_than_were_in_flight(
    provider: HostileProvider, tmp_path: Path, refusal: str, in_flight: int
) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [refusal] * 500)

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": in_flight})

    assert isinstance(run.stopped, pipeline.RunAborted)
    assert provider.counts().arrivals <= in_flight
    assert run.lines == []


@pytest.mark.parametrize("refusal", LASTING_REFUSALS)
async def test_a_key_that_stops_working_leaves_the_rest_untouched(provider: HostileProvider, tmp_path: Path, refusal: str) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["plain"] * 100 + [refusal] * 400)

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": IN_FLIGHT})

    assert isinstance(run.stopped, pipeline.RunAborted)
    assert "no answer to row-1" in run.stopped.reason  # the provider's own words
    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * len(run.lines)
    assert provider.counts().arrivals <= 100 + 2 * IN_FLIGHT


@pytest.mark.parametrize("place", [0, 1, 60, 119])
@pytest.mark.parametrize("in_flight", [2, IN_FLIGHT])
@pytest.mark.parametrize("status", [401, 403])
async def test_a_lone_refusal_among_answers_is_its_rows_own(
    provider: HostileProvider, tmp_path: Path, status: int, in_flight: int, place: int
) -> None:
    provider.reset()
    ways = ["plain"] * 120
    ways[place] = f"key:{status}"
    write_rows(tmp_path / "in.jsonl", ways)

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": in_flight})

    assert run.stopped is None
    assert refuses(run.lines[place], f"row-{place}")
    assert [index for index, line in enumerate(run.lines) if not answers(line, f"row-{index}")] == [place]
    assert provider.counts().attempts[f"row-{place}"] == (2 if status == 401 else 1)


@pytest.mark.parametrize("place", [0, 60])
async def test_a_lone_401_that_passes_costs_nothing(provider: HostileProvider, tmp_path: Path, place: int) -> None:
    provider.reset()
    ways = ["plain"] * 120
    ways[place] = "key:401;plain"
    write_rows(tmp_path / "in.jsonl", ways)

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": IN_FLIGHT})

    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * 120


async def test_a_run_that_was_refused_goes_on_with_a_key_that_works(provider: HostileProvider, tmp_path: Path) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["plain"] * 50 + ["key:401;plain"] * 50)

    first = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": 3})
    before = provider.counts().attempts
    runs = [first]
    while runs[-1].stopped is not None and len(runs) < 50:
        runs.append(await run_file(tmp_path, provider.base_url, limits={"max_in_flight": 3}))

    assert isinstance(first.stopped, pipeline.RunAborted)
    assert [answers(line, f"row-{index}") for index, line in enumerate(runs[-1].lines)] == [True] * 100
    assert {provider.counts().attempts[f"row-{index}"] for index in range(len(first.lines))} == {1}
    assert all(before[f"row-{index}"] == 1 for index in range(50))


async def test_neither_output_nor_messages_hold_the_key(
    provider: HostileProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = "sk-never-to-be-seen-0123456789"
    monkeypatch.setenv("HOSTILE_KEY", f" {key}\n")
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["plain", "refuse:400", "garbage;plain", "redirect:307", "stall_before"])

    with caplog.at_level("DEBUG"):
        run = await run_file(
            tmp_path,
            provider.base_url,
            provider={"api_key_env": "HOSTILE_KEY"},
            timeouts={"idle_seconds": 0.2},
            retry={"attempts": 2},
        )

    assert provider.counts().keys == [f"Bearer {key}"]
    assert run.summary.total == 5
    assert [path for path in _files(tmp_path) if key.encode() in path.read_bytes()] == []
    assert key not in caplog.text
    assert key not in repr(run)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())
