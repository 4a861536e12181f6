"""Embeddings read by one typed decode say what the general way says of them, whatever is odd in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.answers import parts
from pipeline.core.answers import replies as replies_module
from pipeline.core.answers.classify import Result, classify
from pipeline.core.answers.parts import object_of
from pipeline.core.answers.plain_vectors import read_plain_vectors
from pipeline.core.answers.shapes import read_object
from pipeline.records import Answer

numbers = st.lists(st.floats(-1, 1) | st.integers(-3, 3), min_size=1, max_size=4)
vectors = numbers | st.sampled_from(
    ["AAAA", "null", "", [], None, {}, [None], [0.5, None], [float("nan")], 7, {"values": [1]}, "é", "\ud800"]
)
elements = st.fixed_dictionaries(
    {"embedding": vectors}, optional={"index": st.integers(-1, 4) | st.sampled_from([None, "1", 1.0]), "object": st.just("embedding")}
)
items = elements | elements | st.sampled_from([None, {}, 3, [1.0], {"error": "x"}, {"embedding": [1], "score": 1}])
replies: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"data": st.lists(items, max_size=4) | st.lists(elements, min_size=1, max_size=4)},
    optional={
        "usage": st.sampled_from([None, {"prompt_tokens": 3, "total_tokens": 3}, [], {"prompt_tokens": "many"}]),
        "object": st.just("list"),
        "model": st.sampled_from(["m", None]),
        "error": st.sampled_from([None, {}, {"message": "down"}, "down"]),
        "meta": st.just({"billed_units": {"input_tokens": 2}}),
        "id": st.just("x"),
    },
)
inputs = st.sampled_from([{"input": "a"}, {"input": ["a", "b"]}, {"input": [1, 2, 3]}, {}])


def encoded(value: Any, indent: int | None) -> bytes:
    return json.dumps(value, ensure_ascii=True, indent=indent).encode()


@given(reply=replies, indent=st.none() | st.just(1))
def test_plain_vectors_are_read_as_the_general_way_reads_them(reply: dict[str, Any], indent: int | None) -> None:
    body = encoded(reply, indent)

    short, general = read_plain_vectors(body), read_object(object_of(body))

    assert short is None or short == general


@given(reply=replies, asked=inputs, indent=st.none() | st.just(1))
@example(reply={"data": [{"embedding": [1]}], "error": {"message": "down"}}, asked={}, indent=None)
@example(reply={"data": [{"embedding": [1]}]}, asked={"input": ["a", "b"]}, indent=None)
def test_embeddings_mean_the_same_whichever_way_they_are_read(reply: dict[str, Any], asked: dict[str, Any], indent: int | None) -> None:
    answer, request = Answer(200, [], encoded(reply, indent)), json.dumps(asked).encode()
    meaning = classify(answer, now_utc=0.0, url="/v1/embeddings", asked=request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(replies_module, "read_plain_vectors", lambda _: None)
        general = classify(answer, now_utc=0.0, url="/v1/embeddings", asked=request)

    assert type(meaning) is type(general)
    assert meaning.body == general.body
    assert isinstance(meaning, Result) == isinstance(general, Result)
    assert (meaning.usage, str(getattr(meaning, "message", ""))) == (general.usage, str(getattr(general, "message", "")))


def test_ordinary_embeddings_take_the_short_way() -> None:
    reply = {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
        "model": "m",
        "usage": {"prompt_tokens": 1},
    }

    assert read_plain_vectors(json.dumps(reply).encode()) is not None


def test_a_reply_of_more_objects_than_are_looked_at_takes_the_general_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "MANY_BYTES", 100)
    monkeypatch.setattr(parts, "MOST_OBJECTS", 5)

    read = [read_plain_vectors(json.dumps({"data": [{"embedding": [0.123456789] * 3}] * count}).encode()) for count in (4, 5)]

    assert [reading is not None for reading in read] == [True, False]


@given(st.binary(max_size=20), st.integers(0, 4))
def test_a_byte_is_counted_up_to_the_bound(text: bytes, most: int) -> None:
    assert parts.has_more_than(most, b"\x00", text) == (text.count(b"\x00") > most)
