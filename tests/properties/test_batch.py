"""One outcome is one line of JSON that says what the outcome says, whatever a provider answered."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.output.lines import encode_batch, encode_flat, read_output_id
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success
from tests.strategies import custom_ids, json_values, texts

_replies = st.fixed_dictionaries(
    {},
    optional={
        "choices": json_values | st.lists(st.fixed_dictionaries({}, optional={"message": json_values, "text": json_values})),
        "output": json_values,
        "data": json_values | st.lists(st.fixed_dictionaries({"embedding": json_values}), max_size=3),
        "usage": json_values,
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
        assert response == {"status_code": outcome.status_code, "request_id": outcome.request_id, "body": json.loads(outcome.body)}
    if isinstance(outcome, Success):
        assert value["error"] is None
    elif response is None or response["status_code"] < 400:
        assert value["error"]["code"] == outcome.kind.value


@given(outcome=outcomes)
def test_a_flat_line_has_the_same_keys_for_every_outcome(outcome: Outcome) -> None:
    line = encode_flat(outcome)

    value = json.loads(line)
    assert line.count(b"\n") == 1
    assert b"\r" not in line
    assert list(value) == ["index", "custom_id", "status", "content", "usage", "status_code", "error", "attempts", "latency_seconds"]
    assert (value["index"], value["custom_id"]) == (outcome.index, outcome.custom_id)
    assert read_output_id(line) == outcome.custom_id
    assert (value["status"] == "error") == isinstance(outcome, Failure) == (value["error"] is not None)
    assert value["usage"] is None or isinstance(value["usage"], dict)


@given(one=outcomes, other=outcomes)
def test_lines_of_the_same_place_have_the_same_id(one: Outcome, other: Outcome) -> None:
    ids = [json.loads(encode_batch(outcome))["id"] for outcome in (one, other)]

    assert (ids[0] == ids[1]) == (one.index == other.index)
