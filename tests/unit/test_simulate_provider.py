"""What a provider decides, request by request, without a socket."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest

from pipeline.simulate import (
    QUIRKS,
    Dialect,
    Exchange,
    Fault,
    LatencyConfig,
    Provider,
    Request,
    RetryAfter,
    SimulateConfig,
    SimulatedLimits,
    expected_answer,
    expected_vector,
)
from pipeline.simulate.faults import STREAMED

CHAT = "/v1/chat/completions"


def ask(provider: Provider, body: Any, target: str = CHAT, now: float = 0.0, headers: dict[str, str] | None = None) -> Exchange:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
    return provider.receive(Request("POST", target, sent, raw), now=now, wall=1_700_000_000.0)


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


def decoded(exchange: Exchange) -> Any:
    return json.loads(exchange.reply.body)


def read_leniently(body: bytes) -> str:
    """The content of a chat, whole or streamed, with whatever stands before or behind it."""
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: {")]
    if events:
        deltas = [json.loads(event)["choices"][0]["delta"] for event in events]
        return "".join(delta.get("content", "") for delta in deltas)
    answered = json.JSONDecoder().raw_decode(body[body.index(b"{") :].decode())[0]
    text: str = answered["choices"][0]["message"]["content"]
    return text


def content(exchange: Exchange) -> str:
    text: str = decoded(exchange)["choices"][0]["message"]["content"]
    return text


def test_chat_answer_shows_what_it_answers() -> None:
    body = chat("What is 6 times 7?")

    answered = ask(Provider(SimulateConfig()), body)

    assert answered.reply.status == 200
    assert content(answered) == expected_answer(body)
    assert content(answered).endswith(": What is 6 times 7?")
    assert decoded(answered)["usage"] == {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}


def test_answer_differs_where_only_an_earlier_message_does() -> None:
    first, second = (
        {"model": "m", "messages": [{"role": "system", "content": said}, {"role": "user", "content": "go"}]}
        for said in ("be brief", "sing")
    )

    assert expected_answer(first) != expected_answer(second)


def test_answer_is_the_same_in_every_run_and_at_every_attempt() -> None:
    one, two = Provider(SimulateConfig(seed=1)), Provider(SimulateConfig(seed=2))
    ask(one, chat("other"), now=3.0)

    replies = [ask(provider, chat("hello"), now=now).reply for provider, now in ((one, 5.0), (one, 9.0), (two, 0.0))]

    assert replies[0] == replies[1] == replies[2]


def test_answer_is_made_as_long_as_asked() -> None:
    answered = ask(Provider(SimulateConfig(answer_characters=400_000)), chat("row 3"))

    assert len(content(answered)) == 400_000
    assert content(answered) == expected_answer(chat("row 3"), 400_000)


def test_content_may_be_parts_or_absent() -> None:
    parts = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]}]}

    assert expected_answer(parts) == expected_answer(chat("hello"))
    assert ask(Provider(SimulateConfig()), {"model": "m", "messages": [{"role": "assistant", "content": None}]}).reply.status == 200


def test_choices_are_as_many_as_asked() -> None:
    assert len(decoded(ask(Provider(SimulateConfig()), chat("x", n=3)))["choices"]) == 3


def test_completions_answer_each_prompt() -> None:
    answered = decoded(ask(Provider(SimulateConfig()), {"model": "m", "prompt": ["one", "two"]}, "/v1/completions"))

    assert [choice["text"] for choice in answered["choices"]] == [expected_answer({"prompt": text}) for text in ("one", "two")]


def test_embeddings_are_vectors_of_the_texts() -> None:
    answered = decoded(ask(Provider(SimulateConfig()), {"model": "m", "input": ["a", "b"], "dimensions": 3}, "/v1/embeddings"))

    assert [item["embedding"] for item in answered["data"]] == [expected_vector("a", 3), expected_vector("b", 3)]
    assert sum(value**2 for value in expected_vector("a", 3)) == pytest.approx(1)


def test_embeddings_are_packed_when_asked() -> None:
    body = {"model": "m", "input": "a", "encoding_format": "base64"}
    answered = decoded(ask(Provider(SimulateConfig()), body, "/v1/embeddings"))

    packed = base64.b64decode(answered["data"][0]["embedding"])

    assert struct.unpack("<8f", packed) == pytest.approx(expected_vector("a"))


def test_models_are_listed() -> None:
    answered = Provider(SimulateConfig(models=("a", "b"))).receive(Request("GET", "/v1/models", [], b""), now=0.0, wall=0.0)

    assert [model["id"] for model in decoded(answered)["data"]] == ["a", "b"]


def test_azure_path_names_the_model() -> None:
    target = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"

    answered = ask(Provider(SimulateConfig()), {"messages": [{"role": "user", "content": "x"}]}, target)

    assert decoded(answered)["model"] == "gpt-4o"


@pytest.mark.parametrize(
    "body, target, status, param",
    [
        (b"{", CHAT, 400, None),
        (b"\xff", CHAT, 400, None),
        (b"[" * 100_000, CHAT, 400, None),
        ([], CHAT, 400, None),
        ({"messages": []}, CHAT, 400, "model"),
        ({"model": "m"}, CHAT, 400, "messages"),
        ({"model": "m", "messages": ["x"]}, CHAT, 400, "messages"),
        ({"model": "m", "messages": [{"role": "user", "content": 3}]}, CHAT, 400, "messages"),
        (chat("x", max_tokens=0), CHAT, 400, "max_tokens"),
        (chat("x", n="2"), CHAT, 400, "n"),
        ({"model": "m", "input": "x", "stream": True}, "/v1/embeddings", 400, "stream"),
        ({"model": "m", "input": []}, "/v1/embeddings", 400, "input"),
        ({"model": "m", "input": [["a"]]}, "/v1/embeddings", 400, "input"),
        ({"model": "m", "input": "x", "dimensions": 10**9}, "/v1/embeddings", 400, "dimensions"),
        (chat("x"), "/v1/nothing", 404, None),
        (chat("x"), "/v1/models", 405, None),
    ],
)
def test_wrong_request_gets_an_error_as_openai_writes_it(body: Any, target: str, status: int, param: str | None) -> None:
    refused = ask(Provider(SimulateConfig()), body, target)

    assert refused.reply.status == status
    assert decoded(refused)["error"].keys() == {"message", "type", "param", "code"}
    assert decoded(refused)["error"]["param"] == param


@pytest.mark.parametrize("header", [{"authorization": "Bearer sk-right"}, {"api-key": "sk-right"}, {"x-api-key": "sk-right"}])
def test_key_is_asked_for_where_one_is_set(header: dict[str, str]) -> None:
    provider = Provider(SimulateConfig(api_key="sk-right"))

    assert ask(provider, chat("x"), headers=header).reply.status == 200
    assert ask(provider, chat("x"), headers={"authorization": "Bearer sk-wrong"}).reply.status == 401
    assert ask(provider, chat("x")).reply.status == 401


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_fault_falls_on_the_first_attempt_only_and_a_quirk_changes_no_content(fault: Fault) -> None:
    provider = Provider(SimulateConfig(faults={fault.value: 1.0}))
    body = chat("hello", stream=fault in STREAMED)

    first, second = ask(provider, body), ask(provider, body)

    assert first.fault is fault
    assert second.fault is None
    assert read_leniently(second.reply.body) == expected_answer(chat("hello"))
    if fault in QUIRKS - {Fault.GZIP}:
        assert read_leniently(first.reply.body) == expected_answer(chat("hello"))


def test_fault_of_streams_falls_on_no_other_request() -> None:
    provider = Provider(SimulateConfig(faults={"stream_cut": 1.0}))

    assert ask(provider, chat("hello")).fault is None


@pytest.mark.parametrize(
    "fault, status, code",
    [
        (Fault.HTTP_400, 400, "invalid_value"),
        (Fault.HTTP_429, 429, "rate_limit_exceeded"),
        (Fault.INSUFFICIENT_QUOTA, 429, "insufficient_quota"),
        (Fault.RATE_LIMIT_500, 500, "rate_limit"),
        (Fault.HTTP_529, 529, None),
        (Fault.UNAUTHORIZED_401, 401, "invalid_api_key"),
        (Fault.ERROR_200, 200, "upstream_error"),
    ],
)
def test_fault_has_its_status_and_code(fault: Fault, status: int, code: str | None) -> None:
    exchange = ask(Provider(SimulateConfig(faults={fault.value: 1.0})), chat("x"))

    assert exchange.reply.status == status
    assert decoded(exchange)["error"]["code"] == code


def test_throttling_fault_asks_for_the_configured_wait() -> None:
    config = SimulateConfig(faults={"http_429": 1.0}, retry_after_seconds=2.5, limits=SimulatedLimits(retry_after=RetryAfter.MESSAGE))

    exchange = ask(Provider(config), chat("x"))

    assert "Retry-After: 2.5 seconds" in decoded(exchange)["error"]["message"]


def test_lasting_fault_is_one_with_many_faulty_attempts() -> None:
    provider = Provider(SimulateConfig(faults={"http_500": 1.0}, faulty_attempts=1000))

    assert {ask(provider, chat("x")).reply.status for _ in range(50)} == {500}


def test_script_gives_single_rows_their_fate() -> None:
    provider = Provider(SimulateConfig(script={"17": "unauthorized_401", "23": "stall, http_500", "0": "8s"}))

    faults = {number: [ask(provider, chat(f"row {number}")).fault for _ in range(3)] for number in (16, 17, 23)}

    assert faults == {
        16: [None, None, None],
        17: [Fault.UNAUTHORIZED_401, None, None],
        23: [Fault.STALL, Fault.HTTP_500, None],
    }
    assert [ask(provider, chat("row 0")).wait_seconds for _ in range(2)] == [8.0, 0.0]


def test_latency_grows_with_the_tokens_of_the_answer() -> None:
    provider = Provider(SimulateConfig(latency=LatencyConfig(median_seconds=1.0, per_token_seconds=0.1, max_seconds=1.5)))

    assert ask(provider, chat("x")).wait_seconds == 1.5


def test_refused_request_does_not_use_up_its_fault() -> None:
    limits = SimulatedLimits(requests_per_second=1, count_refused=False)
    provider = Provider(SimulateConfig(faults={"http_500": 1.0}, limits=limits))
    ask(provider, chat("a"), now=0.0)

    statuses = [ask(provider, chat("b"), now=now).reply.status for now in (0.1, 1.0, 2.0)]

    assert statuses == [429, 500, 200]


@pytest.mark.parametrize(
    "dialect, error",
    [
        (Dialect.OPENAI, {"message": "Rate limit reached for tokens", "type": "tokens", "param": None, "code": "rate_limit_exceeded"}),
        (Dialect.AZURE, {"code": "429", "message": "Rate limit reached for tokens"}),
        (Dialect.ANTHROPIC, {"type": "rate_limit_error", "message": "Rate limit reached for tokens"}),
        (Dialect.GEMINI, {"code": 429, "message": "Rate limit reached for tokens", "status": "RESOURCE_EXHAUSTED"}),
    ],
)
def test_refusal_speaks_the_dialect(dialect: Dialect, error: dict[str, Any]) -> None:
    provider = Provider(SimulateConfig(limits=SimulatedLimits(tokens_per_minute=100, dialect=dialect)))
    ask(provider, chat("x", max_tokens=60))

    refused = ask(provider, chat("x", max_tokens=60), now=15.0)

    assert decoded(refused)["error"] == error
    assert ("retry-after", "45") in refused.reply.headers


def test_refusal_can_ask_for_its_wait_in_the_details_of_the_error() -> None:
    provider = Provider(SimulateConfig(limits=SimulatedLimits(requests_per_minute=1, retry_after=RetryAfter.RETRY_INFO)))
    ask(provider, chat("x"))

    refused = ask(provider, chat("x"), now=14.5)

    assert decoded(refused)["error"]["details"] == [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "45.5s"}]
    assert "retry-after" not in dict(refused.reply.headers)


def test_too_many_in_flight_are_refused_as_a_litellm_proxy_does_until_one_has_left() -> None:
    provider = Provider(SimulateConfig(limits=SimulatedLimits(max_in_flight=1)))
    first = ask(provider, chat("a"))

    refused = ask(provider, chat("b"))
    provider.left(refused)
    still = ask(provider, chat("c"))
    provider.left(first)

    assert (refused.reply.status, still.reply.status) == (429, 429)
    assert dict(refused.reply.headers)["rate_limit_type"] == "max_parallel_requests"
    assert "Limit type: max_parallel_requests. Current limit: 1" in decoded(refused)["error"]["message"]
    assert ask(provider, chat("d")).reply.status == 200


def test_output_tokens_of_the_answer_are_charged() -> None:
    limits = SimulatedLimits(output_tokens_per_minute=11, dialect=Dialect.ANTHROPIC)
    provider = Provider(SimulateConfig(limits=limits))

    answered, refused = ask(provider, chat("hello")), ask(provider, chat("hello"))

    spent = decoded(answered)["usage"]["completion_tokens"]
    assert dict(answered.reply.headers)["anthropic-ratelimit-output-tokens-remaining"] == str(11 - spent)
    assert refused.reply.status == 429


def test_statistics_count_what_was_seen() -> None:
    provider = Provider(SimulateConfig(script={"1": "http_500", "2": "reset_before"}, limits=SimulatedLimits(requests_per_minute=4)))

    for number, now in enumerate([0.0, 0.4, 0.8, 1.2, 1.3]):
        ask(provider, chat(f"row {number}"), now=now)
    seen = provider.statistics()

    assert (seen.requests, seen.refused, seen.max_concurrent) == (5, 1, 5)
    assert seen.answers == {200: 2, 429: 1, 500: 1}
    assert seen.faults == {"http_500": 1, "reset_before": 1}
    assert (seen.max_requests_in_second, seen.max_requests_in_minute) == (4, 5)


def test_ledger_keeps_the_latest_requests_and_can_be_asked_for() -> None:
    provider = Provider(SimulateConfig(ledger_length=2, script={"2": "stall"}))
    for number in range(3):
        ask(provider, chat(f"row {number}"), headers={"x-client-request-id": f"id-{number}"})

    asked = provider.receive(Request("GET", "/_simulate/requests", [], b""), now=0.0, wall=0.0)

    kept = decoded(asked)["requests"]
    assert [(one["number"], one["fault"], one["status"], one["client_request_id"]) for one in kept] == [
        (2, None, 200, "id-1"),
        (3, "stall", None, "id-2"),
    ]
    assert not asked.counted
