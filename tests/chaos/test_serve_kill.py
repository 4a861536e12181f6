"""Law 7 for a server: kill -9 at random instants, start again, and every batch goes on. And what else must survive: a cancel, a deleted
input, a provider that is down."""

from __future__ import annotations

import random
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from pipeline.edges.store.catalog import Catalog
from tests.fakes.serving import FINAL, LOOK_SECONDS, SECONDS, Server, provider, rows, server

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KILLS = 4
IN_FLIGHT = 8


def wait_until(condition: Callable[[], object]) -> None:
    deadline, look = time.monotonic() + SECONDS, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "not so in time"
        look.wait(LOOK_SECONDS)


def names(served: Server, batch: dict[str, Any], field: str) -> list[str]:
    return [line["custom_id"] for line in served.lines(batch[field])]


def test_every_batch_is_whole_after_kills_at_any_instant(tmp_path: Path) -> None:
    sizes = {"a": 150, "b": 40, "c": 90}
    draw = random.Random(14)
    with provider(latency__median_seconds=0.03) as base_url:
        with server(tmp_path, base_url, limits={"max_in_flight": IN_FLIGHT}) as served:
            batches = {prefix: served.create(served.upload(rows(count, prefix=prefix)))["id"] for prefix, count in sizes.items()}
            for _ in range(KILLS):
                threading.Event().wait(draw.uniform(0.0, 0.25))
                served.kill()
                served.start()
            done = {prefix: served.wait(name) for prefix, name in batches.items()}

            for prefix, count in sizes.items():
                assert done[prefix]["status"] == "completed"
                assert done[prefix]["request_counts"] == {"total": count, "completed": count, "failed": 0}
                assert names(served, done[prefix], "output_file_id") == [f"{prefix}-{number}" for number in range(count)]
            assert sum(sizes.values()) <= served.sent() <= sum(sizes.values()) + KILLS * IN_FLIGHT
            wait_until(lambda: not list((served.folder / "headrace-data" / "batches").iterdir()))
            assert served.stop() == 0


def test_a_stop_lets_what_is_in_flight_finish_and_sends_nothing_twice(tmp_path: Path) -> None:
    with provider(latency__median_seconds=0.2) as base_url:
        with server(tmp_path, base_url, limits={"max_in_flight": 4}) as served:
            batch = served.create(served.upload(rows(24)))["id"]
            wait_until(lambda: served.sent() > 4)

            assert served.stop() == 130
            sent = served.sent()
            served.start()
            before = served.batch(batch)
            done = served.wait(batch)

            assert before["request_counts"]["completed"] == sent
            assert (done["status"], done["request_counts"]["completed"], served.sent()) == ("completed", 24, 24)


def test_a_cancel_keeps_the_answers_that_came_and_survives_a_kill(tmp_path: Path) -> None:
    with provider(latency__median_seconds=0.05) as base_url:
        with server(tmp_path, base_url, limits={"max_in_flight": 4}) as served:
            batch = served.create(served.upload(rows(3000)))["id"]
            wait_until(lambda: served.batch(batch)["request_counts"]["completed"] > 10)

            cancelled = served.post(f"/v1/batches/{batch}/cancel", {}).json
            served.kill()
            served.start()
            done = served.wait(batch)
            again = served.post(f"/v1/batches/{batch}/cancel", {})

            assert cancelled["status"] == "cancelling"
            assert (done["status"], again.status) == ("cancelled", 200)
            assert done["cancelled_at"] is not None
            answered, rest = names(served, done, "output_file_id"), served.lines(done["error_file_id"])
            assert len(answered) > 10
            assert sorted(answered + [line["custom_id"] for line in rest]) == sorted(f"r-{number}" for number in range(3000))
            assert {(line["response"], line["error"]["code"]) for line in rest} == {(None, "batch_cancelled")}
            assert done["request_counts"] == {"total": 3000, "completed": len(answered), "failed": 0}
            assert served.sent() <= len(answered) + 2 * 4


def test_a_batch_waits_for_a_provider_that_is_down_and_can_be_cancelled_meanwhile(tmp_path: Path) -> None:
    with provider() as gone:
        pass
    with server(tmp_path, gone, retry={"patience_seconds": 3600}) as served:
        waiting, unwanted = (served.create(served.upload(rows(20, prefix=prefix)))["id"] for prefix in "ab")
        wait_until(lambda: served.batch(waiting)["headrace"]["reason"])

        held = served.batch(waiting)
        served.post(f"/v1/batches/{unwanted}/cancel", {})
        cancelled = served.wait(unwanted)

        assert (held["status"], held["request_counts"]["failed"]) == ("in_progress", 0)
        assert "refused" in held["headrace"]["reason"]
        assert (cancelled["status"], cancelled["output_file_id"]) == ("cancelled", None)
        assert len(served.lines(cancelled["error_file_id"])) == 20
        assert served.batch(waiting)["status"] == "in_progress"


def test_a_batch_goes_on_by_itself_when_a_refused_key_is_taken_again(tmp_path: Path) -> None:
    with provider(outages=[{"fault": "wrong_key", "seconds": 4}]) as base_url:
        with server(tmp_path, base_url) as served:
            batch = served.create(served.upload(rows(30)))["id"]
            wait_until(lambda: served.batch(batch)["headrace"]["reason"])
            wait_until(lambda: served.post("/v1/headrace/again", {}).status == 200 and served.batch(batch)["status"] in FINAL)

            done = served.batch(batch)
            assert (done["status"], done["request_counts"]["completed"]) == ("completed", 30)


def test_a_batch_whose_time_is_over_keeps_its_answers_and_expires_if_the_config_says_so(tmp_path: Path) -> None:
    with provider(latency__median_seconds=0.05) as base_url:
        with server(tmp_path, base_url, limits={"max_in_flight": 2}, serve={"expire_batches": True}) as served:
            batch = served.create(served.upload(rows(500)))["id"]
            wait_until(lambda: served.batch(batch)["request_counts"]["completed"] > 5)
            assert served.stop() == 130
            with closing(Catalog(tmp_path / "headrace-data" / "headrace.db")) as catalog:
                catalog.change(batch, lambda was: replace(was, expires_at=was.created_at))
            served.start()

            done = served.wait(batch)

            answered, rest = names(served, done, "output_file_id"), served.lines(done["error_file_id"])
            assert (done["status"], len(answered) + len(rest)) == ("expired", 500)
            assert len(answered) > 5
            assert {line["error"]["code"] for line in rest} == {"batch_expired"}
            assert done["request_counts"] == {"total": 500, "completed": len(answered), "failed": 0}
            assert done["expired_at"] is not None
