"""Files, batches and errors as OpenAI's clients read them: every key, and the bounds of what may be asked, to the last character."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.batches.asked import batches_page, json_object, new_batch
from pipeline.core.batches.errors import ApiError, json_type
from pipeline.core.batches.records import Batch, BatchUsage, LineError, Status, StoredFile, page_of

GOOD = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


def test_a_file_shows_all_its_keys() -> None:
    assert StoredFile("file-1", 12, 100, "in.jsonl", "batch", 200).shown() == {
        "id": "file-1", "object": "file", "bytes": 12, "created_at": 100, "expires_at": 200, "filename": "in.jsonl", "purpose": "batch",
        "status": "processed", "status_details": None,
    }  # fmt: skip


def test_a_batch_shows_all_its_keys_whether_they_are_known_or_not() -> None:
    bare = Batch("batch_1", 100, "/v1/embeddings", "file-1", "24h").shown()
    times = ("in_progress_at", "expires_at", "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at")

    assert bare == {
        "id": "batch_1", "object": "batch", "endpoint": "/v1/embeddings", "model": None, "errors": None, "input_file_id": "file-1",
        "completion_window": "24h", "status": "validating", "output_file_id": None, "error_file_id": None, "created_at": 100,
        **dict.fromkeys(times), "request_counts": {"total": 0, "completed": 0, "failed": 0}, "usage": None, "metadata": None,
        "headrace": {},
    }  # fmt: skip

    full = Batch(
        "batch_1", 100, "/v1/embeddings", "file-1", "24h", Status.FAILED, metadata={"a": "b"}, model="m",
        errors=(LineError("invalid_json_line", "no JSON", None, 3),), output_file_id="file-2", error_file_id="file-3", failed_at=9,
        total=3, completed=2, failed=1, usage=BatchUsage(10, 4, 5, 2),
    ).shown({"reason": "waits"})  # fmt: skip

    assert full == {
        **bare, "status": "failed", "metadata": {"a": "b"}, "model": "m", "output_file_id": "file-2", "error_file_id": "file-3",
        "errors": {"object": "list", "data": [{"code": "invalid_json_line", "message": "no JSON", "param": None, "line": 3}]},
        "failed_at": 9, "request_counts": {"total": 3, "completed": 2, "failed": 1}, "headrace": {"reason": "waits"},
        "usage": {
            "input_tokens": 10, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 2}, "total_tokens": 15,
        },
    }  # fmt: skip


def test_a_page_names_its_first_and_its_last() -> None:
    assert page_of([], has_more=False) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    page = page_of([{"id": "a"}, {"id": "b"}], has_more=True)
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("a", "b", True)


def test_metadata_may_be_as_long_as_its_bounds() -> None:
    most = {"k" * 64: "v" * 512, **{str(number): "" for number in range(15)}}

    assert new_batch({**GOOD, "metadata": most}).metadata == most


@pytest.mark.parametrize("limit, code", [("0", "integer_below_min_value"), ("101", "integer_above_max_value")])
def test_a_limit_out_of_bounds_names_the_bound_and_the_value(limit: str, code: str) -> None:
    with pytest.raises(ApiError) as caught:
        batches_page({"limit": limit})

    assert (caught.value.code, caught.value.message) == (code, f"Invalid 'limit': must be from 1 to 100, got {limit}.")
    assert [batches_page({"limit": each}).limit for each in ("1", "100")] == [1, 100]


def test_a_window_that_is_none_says_what_may_stand_there() -> None:
    with pytest.raises(ApiError) as caught:
        new_batch({**GOOD, "completion_window": "0h"})

    assert caught.value.message == "Invalid value: '0h'. Use '24h', or a number with m, h or d, such as '3d'."
    assert not caught.value.retry


@pytest.mark.parametrize(
    "value, name",
    [(None, "null"), (True, "a boolean"), (1, "a number"), (1.5, "a number"), ("", "a string"), ([], "an array"), ({}, "an object")],
)
def test_types_have_the_names_of_json(value: Any, name: str) -> None:
    assert json_type(value) == name


@pytest.mark.parametrize(
    "data, message",
    [
        (b"{", "We could not parse the JSON body of your request."),
        (b"[1]", "Invalid type for 'body': expected an object, but got an array instead."),
    ],
)
def test_a_body_that_is_no_object_says_why(data: bytes, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        json_object(data)

    assert caught.value.message == message
