"""How the lines that a run wrote become a batch's two files: only lines with a 200 answer stand in the output file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.batches.records import Batch, BatchUsage, FailureExample, Status, StoredFile, page_of
from pipeline.core.batches.results import Split
from pipeline.core.output.lines import encode_batch
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success

BODY = b'{"id":"x","choices":[{"message":{"content":"hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'
NAMES = ["a", '"', '","response":{"status_code":200', "\\", "é\u2028", '\\","response":{"status_code":']


def success(name: str = "a", index: int = 26, *, request_id: str | None = None, body: bytes = BODY, status: int = 200) -> Success:
    return Success(index, name, status, request_id, body, NO_USAGE, 1, 0.1)


def split(outcome: Outcome) -> tuple[Split, bool, dict[str, Any]]:
    kept = Split("batch_ff00")
    to_output, line = kept.take(encode_batch(outcome))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    return kept, to_output, json.loads(line)


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_goes_to_the_output_file_whatever_its_id_holds(name: str) -> None:
    kept, to_output, line = split(success(name, request_id="req-9"))

    assert to_output
    assert line["custom_id"] == name
    assert line["response"] == {"status_code": 200, "request_id": "req-9", "body": json.loads(BODY)}
    assert line["error"] is None
    assert (kept.completed, kept.failed, kept.usage) == (1, 0, BatchUsage(3, 0, 2, 0))


def test_an_answer_without_a_request_id_gets_one_that_no_other_has() -> None:
    _, _, line = split(success(index=26))

    assert line["response"]["request_id"] == "req_ff00_1a"


def test_another_success_status_is_a_200_for_clients() -> None:
    _, to_output, line = split(success(status=201))

    assert to_output
    assert line["response"]["status_code"] == 200


def test_details_of_usage_are_counted() -> None:
    usage = {
        "prompt_tokens": 30,
        "completion_tokens": 20,
        "total_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 8},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    kept, _, _ = split(success(body=json.dumps({"choices": [], "usage": usage}).encode()))

    assert kept.usage == BatchUsage(30, 8, 20, 5)


@pytest.mark.parametrize("name", NAMES)
def test_an_http_failure_goes_to_the_error_file_with_its_response_alone(name: str) -> None:
    body = b'{"error":{"message":"no","code":"bad"}}'
    failure = Failure(0, name, FailureKind.RETRIES_EXHAUSTED, "tried 6 times", status_code=500, body=body, attempts=6)

    kept, to_output, line = split(failure)

    assert not to_output
    assert (line["custom_id"], line["response"]["status_code"], line["response"]["body"]) == (name, 500, json.loads(body))
    assert line["response"]["request_id"] == "req_ff00_0"
    assert line["error"] is None
    assert (kept.completed, kept.failed) == (0, 1)


def test_a_row_without_an_answer_goes_to_the_error_file() -> None:
    kept, to_output, line = split(Failure(0, "a", FailureKind.TIMEOUT, "no answer in 600 s", attempts=6))

    assert not to_output
    assert (line["response"], line["error"]["code"]) == (None, "timeout")
    assert kept.failures == {"timeout": FailureExample(1, "a", "no answer in 600 s")}


def test_an_answer_that_was_rejected_never_stands_in_the_output_file() -> None:
    kept, to_output, line = split(Failure(0, "a", FailureKind.MALFORMED_RESPONSE, "no choices", status_code=200, body=b"{}", attempts=2))

    assert not to_output
    assert (line["response"]["status_code"], line["error"]["code"]) == (200, "malformed_response")
    assert kept.failed == 1


@pytest.mark.parametrize("kind", [FailureKind.CANCELLED, FailureKind.EXPIRED])
def test_rows_that_were_cancelled_or_expired_do_not_count_as_failed(kind: FailureKind) -> None:
    kept, to_output, line = split(Failure(0, "a", kind, "gone"))

    assert not to_output
    assert line["error"]["code"] == kind.value
    assert (kept.completed, kept.failed, kept.dropped, kept.failures) == (0, 0, 1, {})


def test_a_batch_object_has_every_key_and_counts_from_the_start() -> None:
    shown = Batch("batch_1", 5, "/v1/embeddings", "file-1", "24h", expires_at=10).shown()

    assert shown["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert (shown["errors"], shown["usage"], shown["output_file_id"], shown["error_file_id"]) == (None, None, None, None)
    assert {key for key in shown if key.endswith("_at")} == {
        "created_at",
        "in_progress_at",
        "expires_at",
        "finalizing_at",
        "completed_at",
        "failed_at",
        "expired_at",
        "cancelling_at",
        "cancelled_at",
    }


def test_a_file_object_is_processed_from_the_start() -> None:
    shown = StoredFile("file-1", 7, 5, "a.jsonl", "batch").shown()

    assert (shown["object"], shown["status"], shown["status_details"], shown["expires_at"]) == ("file", "processed", None, None)


def test_only_four_statuses_are_final() -> None:
    assert {status.value for status in Status if status.is_final} == {"failed", "completed", "expired", "cancelled"}


def test_a_page_names_its_ends() -> None:
    assert page_of([], has_more=False) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert page_of([{"id": "a"}, {"id": "b"}], has_more=True)["last_id"] == "b"
