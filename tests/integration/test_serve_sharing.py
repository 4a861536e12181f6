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
    with provider(latency__median_seconds=0.01, limits__requests_per_second=limit + 1) as base_url:
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
    times = sorted(each["at"] for each in asked)
    assert {each["status"] for each in asked} == {200}
    assert all(times[at + limit + 2] - times[at] > 1.0 for at in range(len(times) - limit - 2))


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
