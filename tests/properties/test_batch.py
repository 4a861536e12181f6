"""One outcome is one line of JSON that says what the outcome says, whatever a provider answered."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.keys import KEYS
from pipeline.core.output.lines import encode_batch
from pipeline.core.output.read_lines import read_line, read_output_id
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success
from tests.strategies import custom_ids, json_values, texts

_message = st.fixed_dictionaries({}, optional={"content": json_values, "tool_calls": json_values, "refusal": json_values})
_part = st.fixed_dictionaries({}, optional={"type": json_values, "text": json_values, "functionCall": json_values})
_replies = st.fixed_dictionaries(
    {},
    optional={
        "choices": json_values | st.lists(st.fixed_dictionaries({}, optional={"message": json_values | _message, "text": json_values})),
        "output": json_values | st.lists(st.fixed_dictionaries({}, optional={"type": json_values, "content": st.lists(_part)})),
        "candidates": json_values | st.lists(st.fixed_dictionaries({"content": st.fixed_dictionaries({"parts": st.lists(_part)})})),
        "content": json_values | st.lists(_part),
        "message": json_values | _message,
        "data": json_values | st.lists(st.fixed_dictionaries({"embedding": json_values}), max_size=3),
        "results": json_values,
        "embeddings": json_values,
        "usage": json_values,
        "usageMetadata": json_values,
        "error": json_values,
    },
)
bodies = (json_values | _replies).map(msgspec.json.encode)
indexes = st.integers(0, 10**12)
statuses = st.integers(100, 599)
latencies = st.floats(0, 1e6)
successes = st.builds(Success, indexes, custom_ids, statuses, st.none() | texts, bodies, st.just(NO_USAGE), st.integers(1, 9), latencies)
failures = st.builds(
    Failure,
    indexes,
    custom_ids,
    st.sampled_from(FailureKind),
    st.text(),
    st.none() | statuses,
    st.none() | texts,
    st.none() | bodies,
    st.integers(0, 9),
    latencies,
)
outcomes: st.SearchStrategy[Outcome] = successes | failures


@given(outcome=outcomes)
def test_a_batch_line_says_what_the_outcome_says(outcome: Outcome) -> None:
    line = encode_batch(outcome)

    value = json.loads(line)
    response = value["response"]
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert list(value) == ["id", "custom_id", "response", "error"]
    assert value["custom_id"] == outcome.custom_id == read_output_id(line)
    assert (response is not None) == (outcome.body is not None and outcome.status_code is not None)
    if response is not None:
        assert outcome.body is not None
        assert (response["status_code"], response["request_id"]) == (outcome.status_code, outcome.request_id)
        assert isinstance(response["body"], dict)
        value_of_body = json.loads(outcome.body)
        assert response["body"] == value_of_body or not isinstance(value_of_body, dict)
    if isinstance(outcome, Success):
        assert value["error"] is None
    elif response is None or response["status_code"] < 400:
        assert value["error"]["code"] == outcome.kind.value


_any_text = st.text() | st.text(st.characters(exclude_categories=[]))  # halves of surrogate pairs and control characters, too
_any_object = st.binary().map(lambda data: b"{" + data) | st.sampled_from(
    [b'{"n":NaN,"i":1' + b"0" * 5000 + b"}", b'{"s":"\\ud800\x00"}', b"{%s}"]
)


@given(
    index=indexes, base=st.sampled_from([0, 7]), custom_id=_any_text, status=statuses, request_id=st.none() | _any_text, body=_any_object
)
def test_a_batch_line_is_what_an_encoder_of_json_makes_of_it(
    index: int, base: int, custom_id: str, status: int, request_id: str | None, body: bytes
) -> None:
    success = Success(index, custom_id, status, request_id, body, NO_USAGE, 1, 0.5)
    response = {"status_code": status, "request_id": request_id, "body": msgspec.Raw(body)}
    line = {"id": f"batch_req_{base + index:012x}", "custom_id": custom_id, "response": response, "error": None}
    try:
        expected = msgspec.json.encode(line)
    except UnicodeEncodeError:
        with pytest.raises(UnicodeEncodeError):
            encode_batch(success, base)
    else:
        assert encode_batch(success, base) == expected + b"\n"


@given(outcome=outcomes)
def test_a_flat_line_has_the_same_keys_for_every_outcome(outcome: Outcome) -> None:
    line = encode_flat(outcome)

    value = json.loads(line)
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert value.keys() == KEYS["flat"]
    assert (value["index"], value["custom_id"]) == (outcome.index, outcome.custom_id)
    assert read_output_id(line) == outcome.custom_id
    assert (value["status"] == "error") == isinstance(outcome, Failure) == (value["error"] is not None)
    assert isinstance(value["usage"], dict | None)
    assert isinstance(value["response"], dict | None)


@given(outcome=outcomes)
def test_every_line_that_we_wrote_is_read_back(outcome: Outcome) -> None:
    succeeded = isinstance(outcome, Success) and outcome.status_code < 400

    batch, flat = read_line(encode_batch(outcome)), read_line(encode_flat(outcome))

    assert batch is not None
    assert flat is not None
    assert (batch.index, batch.custom_id) == (flat.index, flat.custom_id) == (outcome.index, outcome.custom_id)
    assert batch.succeeded == flat.succeeded == succeeded


@given(one=outcomes, other=outcomes)
def test_lines_of_the_same_place_have_the_same_id(one: Outcome, other: Outcome) -> None:
    ids = [json.loads(encode_batch(outcome))["id"] for outcome in (one, other)]

    assert (ids[0] == ids[1]) == (one.index == other.index)
