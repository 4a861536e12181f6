"""The official openai SDK against `headrace serve`: what code that was written for OpenAI's Batch API does, and what it is told."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import openai
import pytest

from tests.fakes.serving import FINAL, LOOK_SECONDS, SECONDS, provider, rows, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.types import Batch

    from tests.fakes.serving import Server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with provider(latency__median_seconds=0.005) as base_url, server(tmp_path_factory.mktemp("serve"), base_url) as made:
        yield made


@pytest.fixture
def client(served: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused") as made:
        yield made


def finished(client: openai.OpenAI, name: str) -> Batch:
    deadline = time.monotonic() + SECONDS
    while (batch := client.batches.retrieve(name)).status not in FINAL:
        assert time.monotonic() < deadline, batch
        time.sleep(LOOK_SECONDS)
    return batch


def create(client: openai.OpenAI, data: bytes, **more: str) -> Batch:
    file = client.files.create(file=data, purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more)


def test_a_batch_goes_from_upload_to_results_in_the_order_of_the_input(client: openai.OpenAI) -> None:
    file = client.files.create(file=rows(60), purpose="batch")
    assert client.files.wait_for_processing(file.id).status == "processed"

    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"description": "first"}
    )
    assert batch.request_counts is not None
    assert (batch.status, batch.request_counts.failed, batch.output_file_id) == ("validating", 0, None)
    done = finished(client, batch.id)

    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.total, done.request_counts.completed, done.request_counts.failed) == (60, 60, 0)
    assert (done.error_file_id, done.errors, done.metadata, done.model) == (None, None, {"description": "first"}, "m")
    assert done.usage is not None
    assert done.usage.total_tokens == done.usage.input_tokens + done.usage.output_tokens > 0
    assert done.output_file_id is not None
    lines = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert [line["custom_id"] for line in lines] == [f"r-{number}" for number in range(60)]
    assert all(line["response"]["status_code"] == 200 and line["response"]["request_id"] and line["error"] is None for line in lines)
    assert client.files.retrieve(done.output_file_id).purpose == "batch_output"
    assert None not in (done.in_progress_at, done.finalizing_at, done.completed_at, done.expires_at)


def test_a_bad_file_fails_its_batch_with_every_problem_and_sends_nothing(client: openai.OpenAI, served: Server) -> None:
    before = served.sent()
    good = json.loads(rows(1))
    lines = [
        good,
        {**good, "url": "/v1/embeddings"},
        None,
        {**good, "custom_id": "b", "body": {"model": "m", "messages": [], "stream": True}},
    ]
    data = b"".join(b"\n" if line is None else json.dumps(line).encode() + b"\n" for line in lines) + b"not json\n"

    batch = finished(client, create(client, data).id)

    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(error.code, error.line, error.param) for error in batch.errors.data] == [
        ("invalid_url", 2, "url"),
        ("duplicate_custom_id", 2, "custom_id"),
        ("streaming_unsupported", 4, "body.stream"),
        ("invalid_json_line", 5, None),
    ]
    assert served.sent() == before


def test_an_empty_file_fails_its_batch(client: openai.OpenAI) -> None:
    batch = finished(client, create(client, b"\n").id)

    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [error.code for error in batch.errors.data] == ["empty_file"]


def test_rows_that_the_provider_refuses_stand_in_the_error_file_alone(client: openai.OpenAI) -> None:
    bad = json.loads(rows(1, prefix="bad"))
    bad["body"]["messages"] = "no list"

    batch = finished(client, create(client, rows(3) + json.dumps(bad).encode() + b"\n").id)

    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (3, 1)
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    assert len(client.files.content(batch.output_file_id).text.splitlines()) == 3
    (line,) = map(json.loads, client.files.content(batch.error_file_id).text.splitlines())
    assert (line["custom_id"], line["response"]["status_code"], line["error"]) == ("bad-0", 400, None)


def test_errors_are_the_exceptions_that_the_sdk_has_for_them(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="No such File object: file-none"):
        client.files.retrieve("file-none")
    with pytest.raises(openai.NotFoundError, match="No batch found with id 'batch_none'"):
        client.batches.retrieve("batch_none")
    with pytest.raises(openai.NotFoundError) as caught:
        client.batches.create(input_file_id="file-none", endpoint="/v1/chat/completions", completion_window="24h")
    assert caught.value.param == "input_file_id"
    assert caught.value.request_id is not None
    assert caught.value.request_id.startswith("req_")
    file = client.files.create(file=rows(1), purpose="batch")
    with pytest.raises(openai.BadRequestError) as bad:
        client.batches.create(input_file_id=file.id, endpoint="/v1/none", completion_window="24h")
    assert (bad.value.param, bad.value.code) == ("endpoint", "invalid_value")
    assert "Supported values are: '/v1/chat/completions'" in bad.value.message
    other = client.files.create(file=rows(1), purpose="user_data")
    with pytest.raises(openai.BadRequestError):
        client.batches.create(input_file_id=other.id, endpoint="/v1/chat/completions", completion_window="24h")


def test_a_finished_batch_cannot_be_cancelled(client: openai.OpenAI) -> None:
    batch = finished(client, create(client, rows(1)).id)

    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'"):
        client.batches.cancel(batch.id)


def test_lists_are_paged_without_losing_or_doubling_anything(client: openai.OpenAI) -> None:
    data = rows(1)
    files = [client.files.create(file=data, purpose="fine-tune").id for _ in range(5)]
    batches = [create(client, data).id for _ in range(5)]

    assert [file.id for file in client.files.list(purpose="fine-tune", limit=2)] == files[::-1]
    assert [file.id for file in client.files.list(purpose="fine-tune", limit=2, order="asc")] == files
    assert [batch.id for batch in client.batches.list(limit=2)][:5] == batches[::-1]
    page = client.batches.list(limit=2)
    assert page.has_more
    assert page.last_id == page.data[-1].id
    with pytest.raises(openai.BadRequestError):
        client.files.list(after="file-none")


def test_a_deleted_file_is_gone_from_lists_and_pages_go_on_behind_it(client: openai.OpenAI) -> None:
    files = [client.files.create(file=rows(1), purpose="vision").id for _ in range(3)]

    assert client.files.delete(files[1]).deleted

    assert [file.id for file in client.files.list(purpose="vision")] == [files[2], files[0]]
    assert [file.id for file in client.files.list(purpose="vision", after=files[1])] == [files[0]]
    with pytest.raises(openai.NotFoundError):
        client.files.content(files[1])
    with pytest.raises(openai.NotFoundError):
        client.files.delete(files[1])


def test_a_file_that_is_told_to_expire_says_when(client: openai.OpenAI) -> None:
    file = client.files.create(file=rows(1), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})

    assert file.expires_at == file.created_at + 3600


def test_models_are_those_of_the_provider(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] != []


def test_a_file_of_bytes_and_one_with_a_name_come_back_as_they_were(client: openai.OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "ünïcode — 文.jsonl"
    path.write_bytes(bytes(range(256)) * 300)

    with path.open("rb") as file:
        named = client.files.create(file=file, purpose="user_data")

    assert (named.filename, named.bytes) == (path.name, 76_800)
    assert client.files.content(named.id).read() == path.read_bytes()
