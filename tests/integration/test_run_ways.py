"""Each way in which a provider may answer, through a whole run: an answer is kept, what passes is tried again, what lasts is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.hostile_ways import LASTING, PASSING, RESULTS
from tests.fakes.runs import answers, refuses, run_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STALLS = {"stall_before", "stall_in_headers", "stall_in_body", "drip", "interim_for_ever"}
IMPATIENT = {"idle_seconds": 0.5, "total_seconds": 1}
# Of the first two only the kernel knows whether the answer is read before the connection breaks. The last one's second answer shows
# that its connection may have lost step, so the row is sent again unless it was the first there.
MAYBE_TWICE = {"reset_after", "close_a_little_later", "answered_twice"}


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider() as hostile:
        yield hostile


@pytest.mark.parametrize("transport", ["own", "httpx"])
@pytest.mark.parametrize("way", RESULTS)
async def test_an_answer_is_its_rows_own_and_asked_for_once(provider: HostileProvider, tmp_path: Path, way: str, transport: str) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [way, "plain", way, way, "plain"])

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": 2}, provider={"transport": transport})

    counts = provider.counts()
    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * 5
    assert set(counts.attempts.values()) == {1} or way in MAYBE_TWICE
    assert counts.most_in_flight <= 2


@pytest.mark.parametrize("way", PASSING)
async def test_a_fault_that_passes_costs_an_attempt_and_no_row(provider: HostileProvider, tmp_path: Path, way: str) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [f"{way};plain", "plain", f"{way};plain", "plain"])

    run = await run_file(tmp_path, provider.base_url, limits={"max_in_flight": 2}, timeouts=IMPATIENT if way in STALLS else {})

    counts = provider.counts()
    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * 4
    assert max(counts.attempts.values()) <= 2
    assert counts.most_in_flight <= 2


@pytest.mark.parametrize("way", ["stall_in_body", "status:503", "reset_before", "error_in_success", "garbage", "only_line_feeds"])
async def test_a_fault_that_does_not_pass_ends_with_the_attempts(provider: HostileProvider, tmp_path: Path, way: str) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [way, "plain"])

    run = await run_file(
        tmp_path, provider.base_url, retry={"attempts": 3, "patience_seconds": 0}, timeouts=IMPATIENT if way in STALLS else {}
    )

    assert provider.counts().attempts == {"row-0": 3, "row-1": 1}
    assert run.lines[0]["custom_id"] == "row-0"
    assert "after 3 attempts" in run.lines[0]["error"]["message"]
    assert answers(run.lines[1], "row-1")


@pytest.mark.parametrize("way", ["broken_json", "two_values"])
async def test_an_answer_that_is_none_is_bought_twice_and_kept(provider: HostileProvider, tmp_path: Path, way: str) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [way, "plain"])

    run = await run_file(tmp_path, provider.base_url)

    assert provider.counts().attempts == {"row-0": 2, "row-1": 1}
    assert run.lines[0]["error"]["code"] == "malformed_response"
    assert "answer to row-0" in run.lines[0]["response"]["body"]["error"]["message"]
    assert (run.summary.rejected, answers(run.lines[1], "row-1")) == (2, True)


async def test_a_byte_that_is_no_text_costs_only_itself(provider: HostileProvider, tmp_path: Path) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["bad_utf8"])

    run = await run_file(tmp_path, provider.base_url)

    assert provider.counts().attempts == {"row-0": 1}
    assert run.lines[0]["response"]["body"]["choices"][0]["message"]["content"].startswith("answ\ufffder to row-0")


@pytest.mark.parametrize("way", LASTING)
async def test_a_last_word_is_asked_for_once_and_kept(provider: HostileProvider, tmp_path: Path, way: str) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", [way, "plain", way])

    run = await run_file(tmp_path, provider.base_url)

    assert [refuses(run.lines[0], "row-0"), answers(run.lines[1], "row-1"), refuses(run.lines[2], "row-2")] == [True] * 3
    assert provider.counts().attempts == {"row-0": 1, "row-1": 1, "row-2": 1}
    assert (run.summary.failed, run.stopped) == (2, None)
