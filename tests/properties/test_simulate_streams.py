"""The laws of simulated streams: the events say what the whole answer says, and a spoilt stream is never whole."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulate import Exchange, Fault, Provider, Request, SimulateConfig, SimulatedStream, Vendor, expected_answer
from pipeline.simulate.faults import STREAMED
from tests.fakes.stream_reading import Read, read_stream

SAID = "What is 6 times 7?"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": SAID}]
GEMINI = "/v1beta/models/gemini-2.5-pro:{}"
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat/completions": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}),
    "completions": ("/v1/completions", {"model": "m", "prompt": SAID}),
    "responses": ("/v1/responses", {"model": "m", "input": SAID}),
    "messages": ("/v1/messages", {"model": "m", "max_tokens": 100, "messages": MESSAGES}),
    "generateContent": (GEMINI.format("streamGenerateContent?alt=sse"), {"contents": [{"role": "user", "parts": [{"text": SAID}]}]}),
    "api/chat": ("/api/chat", {"model": "m", "messages": MESSAGES}),
    "api/generate": ("/api/generate", {"model": "m", "prompt": SAID}),
}
ENDPOINTS = sorted(ASKED)
ENDED = {"stop", "completed", "end_turn", "STOP"}

endpoints = st.sampled_from(ENDPOINTS)


def ask(endpoint: str, config: SimulateConfig, **more: Any) -> Exchange:
    target, body = ASKED[endpoint]
    asked = json.dumps({**body, "stream": True, **more}).encode()
    return Provider(config).receive(Request("POST", target, [], asked), now=0.0, wall=0.0)


def read(endpoint: str, config: SimulateConfig, **more: Any) -> Read:
    return read_stream(endpoint, ask(endpoint, config, **more).reply.body)


def spoilt_by(fault: Fault) -> SimulateConfig:
    return SimulateConfig(faults={fault.value: 1.0}, stream=SimulatedStream(event_characters=4))


@given(endpoints, st.integers(1, 100), st.integers(0, 300), st.sampled_from(list(Vendor)))
def test_events_say_what_the_whole_answer_says(endpoint: str, characters: int, length: int, vendor: Vendor) -> None:
    config = SimulateConfig(answer_characters=length, stream=SimulatedStream(event_characters=characters), vendor=vendor)

    got = read(endpoint, config)

    assert got.texts == {0: expected_answer(ASKED[endpoint][1], length)}
    assert {*got.ended.values()} <= ENDED
    assert got.ended.keys() == got.texts.keys()
    assert got.error is None


@given(st.integers(1, 4), st.integers(1, 60))
def test_choices_take_turns_and_each_ends(choices: int, characters: int) -> None:
    config = SimulateConfig(stream=SimulatedStream(event_characters=characters))

    got = read("chat/completions", config, n=choices)

    assert got.texts == dict.fromkeys(range(choices), expected_answer(ASKED["chat/completions"][1]))
    assert got.ended == dict.fromkeys(range(choices), "stop")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_usage_of_a_stream_is_that_of_the_whole_answer(endpoint: str) -> None:
    more = {"stream_options": {"include_usage": True}} if "completions" in endpoint else {}

    got = read(endpoint, SimulateConfig(), **more)

    output = (len(expected_answer(ASKED[endpoint][1])) + 3) // 4
    assert got.usage == ((len(SAID) + 3) // 4, output)


def test_usage_of_chunks_comes_only_where_it_is_asked_for() -> None:
    plain, asked = (
        ask("chat/completions", SimulateConfig(), **more).reply.body for more in ({}, {"stream_options": {"include_usage": True}})
    )

    assert b"usage" not in plain
    assert asked.count(b'"usage":null') == asked.count(b"data: {") - 1
    assert asked.rstrip().endswith(b"data: [DONE]")


@pytest.mark.parametrize("vendor, fragment", [
    (Vendor.AZURE, b'"prompt_filter_results"'), (Vendor.OPENROUTER, b": OPENROUTER PROCESSING"),
    (Vendor.DEEPSEEK, b'"finish_reason":"stop"}],"usage":{'), (Vendor.GROQ, b'"x_groq":{'),
])  # fmt: skip
def test_vendor_adds_what_is_its_own(vendor: Vendor, fragment: bytes) -> None:
    assert fragment in ask("chat/completions", SimulateConfig(vendor=vendor)).reply.body
    assert fragment not in ask("chat/completions", SimulateConfig()).reply.body


def test_gemini_without_sse_sends_one_json_array() -> None:
    target = GEMINI.format("streamGenerateContent")
    body = json.dumps(ASKED["generateContent"][1]).encode()

    reply = Provider(SimulateConfig()).receive(Request("POST", target, [], body), now=0.0, wall=0.0).reply

    assert ("content-type", "application/json") in reply.headers
    assert len(json.loads(reply.body)) > 1
    assert read_stream("generateContent", reply.body).texts == {0: expected_answer(ASKED["generateContent"][1])}


def test_cut_array_is_no_json() -> None:
    target = GEMINI.format("streamGenerateContent")
    body = json.dumps(ASKED["generateContent"][1]).encode()

    reply = Provider(spoilt_by(Fault.STREAM_CUT)).receive(Request("POST", target, [], body), now=0.0, wall=0.0).reply

    with pytest.raises(ValueError):
        json.loads(reply.body)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("fault", sorted(STREAMED - {Fault.STREAM_NO_DONE}, key=str), ids=lambda fault: fault.value)
def test_spoilt_stream_never_ends_as_a_whole_one_does(endpoint: str, fault: Fault) -> None:
    exchange = ask(endpoint, spoilt_by(fault))

    got = read_stream(endpoint, exchange.reply.body)

    assert exchange.fault is fault
    assert got.ended == {}
    assert got.texts.get(0, "") != expected_answer(ASKED[endpoint][1])
    assert (got.error is not None) == (fault is Fault.STREAM_ERROR)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_stream_without_its_last_word_is_whole_all_the_same(endpoint: str) -> None:
    exchange = ask(endpoint, spoilt_by(Fault.STREAM_NO_DONE))

    got = read_stream(endpoint, exchange.reply.body)

    assert b"[DONE]" not in exchange.reply.body
    assert b"message_stop" not in exchange.reply.body
    assert {*got.ended.values()} <= ENDED
    assert got.texts == {0: expected_answer(ASKED[endpoint][1])}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_truncated_stream_says_so(endpoint: str) -> None:
    got = read(endpoint, spoilt_by(Fault.TRUNCATED))

    assert got.ended[0] in {"length", "incomplete", "max_tokens", "MAX_TOKENS"}
    assert expected_answer(ASKED[endpoint][1]).startswith(got.texts[0])


@pytest.mark.parametrize("endpoint", ["chat/completions", "responses", "generateContent"])
def test_declined_stream_says_so(endpoint: str) -> None:
    assert read(endpoint, spoilt_by(Fault.DECLINED)).refused


def test_stream_can_come_unasked() -> None:
    target, body = ASKED["chat/completions"]

    exchange = Provider(spoilt_by(Fault.SSE_UNASKED)).receive(Request("POST", target, [], json.dumps(body).encode()), now=0.0, wall=0.0)

    assert ("content-type", "text/event-stream") in exchange.reply.headers
    assert read_stream("chat/completions", exchange.reply.body).texts == {0: expected_answer(body)}
