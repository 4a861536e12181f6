"""What a request to the Batch API may say, and how it is refused: OpenAI's params and codes."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.batches.asked import Paging, batches_page, file_life, files_page, json_object, new_batch
from pipeline.core.batches.errors import ApiError, no_batch, no_file

GOOD = {"input_file_id": "file-1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}


def refused(**changes: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        new_batch({**GOOD, **changes})
    return caught.value


def test_a_good_request_is_read_and_unknown_keys_are_passed_over() -> None:
    asked = new_batch({**GOOD, "metadata": {"run": "7"}, "output_expires_after": {"anchor": "created_at", "seconds": 3600}, "else": 1})

    assert (asked.window_seconds, asked.metadata, asked.output_seconds) == (86_400, {"run": "7"}, 3600)


@pytest.mark.parametrize("name", ["input_file_id", "endpoint", "completion_window"])
def test_a_missing_field_is_named(name: str) -> None:
    error = refused(**{name: None})

    assert error.body() == {
        "error": {
            "message": f"Missing required parameter: '{name}'.",
            "type": "invalid_request_error",
            "param": name,
            "code": "missing_required_parameter",
        }
    }


@pytest.mark.parametrize(
    "changes, param, code",
    [
        ({"endpoint": "/v1/x"}, "endpoint", "invalid_value"),
        ({"endpoint": 7}, "endpoint", "invalid_type"),
        ({"completion_window": "24"}, "completion_window", "invalid_value"),
        ({"completion_window": "0h"}, "completion_window", "invalid_value"),
        ({"completion_window": "9999999d"}, "completion_window", "invalid_value"),
        ({"metadata": {"tags": ["a"]}}, "metadata.tags", "invalid_type"),
        ({"metadata": {"k" * 65: "a"}}, "metadata." + "k" * 64, "string_above_max_length"),
        ({"metadata": {"k": "a" * 513}}, "metadata.k", "string_above_max_length"),
        ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
        ({"metadata": "x"}, "metadata", "invalid_type"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds", "invalid_value"),
        ({"output_expires_after": {"seconds": 3600}}, "output_expires_after.anchor", "missing_required_parameter"),
        ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, "output_expires_after.anchor", "invalid_value"),
        ({"output_expires_after": 7}, "output_expires_after", "invalid_type"),
    ],
)
def test_a_wrong_value_is_refused_with_its_param_and_code(changes: dict[str, Any], param: str, code: str) -> None:
    error = refused(**changes)

    assert (error.status, error.param, error.code) == (400, param, code)


@pytest.mark.parametrize("window, seconds", [("24h", 86_400), ("90m", 5400), ("3d", 259_200)])
def test_windows_in_minutes_hours_and_days_are_taken(window: str, seconds: int) -> None:
    assert new_batch({**GOOD, "completion_window": window}).window_seconds == seconds


def test_lists_have_openais_defaults_and_bounds() -> None:
    assert batches_page({}) == Paging(20, None)
    assert files_page({"order": "asc", "after": "file-1", "limit": "10000"}) == Paging(10_000, "file-1", newest_first=False)
    for query in ({"limit": "0"}, {"limit": "101"}, {"limit": "x"}, {"limit": "-1"}):
        with pytest.raises(ApiError) as caught:
            batches_page(query)
        assert (caught.value.status, caught.value.param) == (400, "limit")
    with pytest.raises(ApiError):
        files_page({"order": "up"})


def test_the_life_of_a_file_is_read_from_two_form_fields() -> None:
    assert file_life(None, None) is None
    assert file_life("created_at", "3600") == 3600
    for anchor, seconds in (("created_at", None), (None, "3600"), ("created_at", "60"), ("created_at", "soon"), ("made", "3600")):
        with pytest.raises(ApiError):
            file_life(anchor, seconds)


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"7", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_is_a_400(data: bytes) -> None:
    with pytest.raises(ApiError) as caught:
        json_object(data)

    assert caught.value.status == 400


def test_what_is_not_there_is_a_404_with_openais_words() -> None:
    assert (no_file("file-1").status, no_file("file-1").message) == (404, "No such File object: file-1")
    assert (no_batch("batch_1").status, no_batch("batch_1").message) == (404, "No batch found with id 'batch_1'.")
