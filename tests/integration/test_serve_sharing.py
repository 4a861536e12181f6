"""Several batches share one gate: the limit holds over all of them, they take turns, and the small overtake the big."""

from __future__ import annotations

import json
import urllib.request
from typing import TYPE_CHECKING, Any

from tests.fakes.serving import provider, rows, server

if TYPE_CHECKING:
    from pathlib import Path


def requests_of(base_url: str) -> list[dict[str, Any]]:
    """Everything that the provider was asked, in the order in which it came."""
    with urllib.request.urlopen(base_url.removesuffix("/v1") + "/_simulate/requests") as answer:
        found: list[dict[str, Any]] = json.load(answer)["requests"]
        return found


def test_the_limit_holds_over_all_batches_and_the_small_overtake_the_big(tmp_path: Path) -> None:
    limit = 40
    with provider(latency__median_seconds=0.01, limits__requests_per_second=limit * 1.5) as base_url:
        with server(tmp_path, base_url, limits={"requests_per_second": limit, "learn": False}) as served:
            big = served.create(served.upload(rows(5000, prefix="big")))["id"]
            while served.sent() < 10:
                pass
            small = [served.create(served.upload(rows(25, prefix=f"small{number}")))["id"] for number in range(3)]
            done = [served.wait(name) for name in small]

            at_the_end = served.batch(big)
            asked = requests_of(base_url)

    assert [batch["request_counts"]["completed"] for batch in done] == [25, 25, 25]
    assert at_the_end["status"] == "in_progress"
    # Each of four takes its turn, so the big one got about as many rows as each of the small ones; without turns it would be all of them.
    assert at_the_end["request_counts"]["completed"] < 300
    # The provider allows half as much again, for a busy machine delivers late; two gates would send twice the limit.
    assert {each["status"] for each in asked} == {200}


def test_a_batch_all_of_whose_rows_are_refused_completes_and_stops_no_other(tmp_path: Path) -> None:
    with provider(latency__median_seconds=0.01) as base_url, server(tmp_path, base_url) as served:
        bad = [json.loads(line) for line in rows(60, prefix="bad").splitlines()]
        for line in bad:
            line["body"]["messages"] = "no list"
        names = [served.create(served.upload("".join(json.dumps(line) + "\n" for line in bad).encode()))["id"]]
        first = served.wait(names[0])
        names.append(served.create(served.upload(rows(200, prefix="good")))["id"])

        counts = [served.wait(name)["request_counts"] for name in names]

    assert (first["status"], first["output_file_id"]) == ("completed", None)
    assert counts == [{"total": 60, "completed": 0, "failed": 60}, {"total": 200, "completed": 200, "failed": 0}]


def test_a_budget_holds_over_all_batches_and_processes_and_its_attempts_are_observed(tmp_path: Path) -> None:
    with provider(latency__median_seconds=0.01) as base_url:
        with server(tmp_path, base_url, budget={"requests": 30}, limits={"max_in_flight": 4}, metrics={"log": "log.jsonl"}) as served:
            batch, other = (served.create(served.upload(rows(40, prefix=prefix)))["id"] for prefix in "ab")
            while "budget.requests" not in (served.batch(batch)["headrace"]["reason"] or ""):
                pass
            held = [served.batch(name)["request_counts"]["completed"] for name in (batch, other)]
            assert served.stop() == 130
            served.start()
            while "budget.requests" not in (served.batch(other)["headrace"]["reason"] or ""):
                pass

            assert sum(held) == served.sent() == 30
    attempts = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert {each["index"] for each in attempts if "index" in each} <= set(range(40))


def test_every_batch_ends_once_however_many_come_and_go(tmp_path: Path) -> None:
    with provider() as base_url, server(tmp_path, base_url) as served:
        file = served.upload(rows(12))
        names = [served.create(file)["id"] for _ in range(12)]
        for name in names[::3]:
            served.post(f"/v1/batches/{name}/cancel", {})
        done = [served.wait(name) for name in names]

        files = served.call("GET", "/v1/files?purpose=batch_output").json["data"]
        named = {batch[field] for batch in done for field in ("output_file_id", "error_file_id")} - {None}

        assert {each["id"] for each in files} == named
        assert len(files) == len(named)
        assert {batch["status"] for batch in done} <= {"completed", "cancelled"}
        assert all(batch["request_counts"]["completed"] == 12 for batch in done if batch["status"] == "completed")
