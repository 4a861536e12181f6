"""Keys, models, quotas and outages of a simulated provider, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.simulate import (
    Exchange,
    Fault,
    LatencyConfig,
    Provider,
    Request,
    SimulateConfig,
    SimulatedKey,
    SimulatedLimits,
    SimulatedOutage,
    SimulatedQuota,
    Vendor,
    expected_answer,
)
from pipeline.simulate.schedule import times_refused

CHAT = "/v1/chat/completions"
STARTED = 1000.0


def serving(**settings: Any) -> Provider:
    provider = Provider(SimulateConfig(**settings))
    provider.start(STARTED)
    return provider


def ask(
    provider: Provider, text: str = "hello", *, key: str = "", after: float = 0.0, model: str = "gpt-4o", target: str = CHAT
) -> Exchange:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    headers = [(b"authorization", f"Bearer {key}".encode())] if key else []
    return provider.receive(Request("POST", target, headers, body), now=STARTED + after, wall=1_700_000_000.0)


def said(exchange: Exchange) -> Any:
    return json.loads(exchange.reply.body)


def test_each_key_has_limits_of_its_own() -> None:
    one, two = SimulatedLimits(requests_per_minute=1), SimulatedLimits(requests_per_minute=2)
    provider = serving(keys=(SimulatedKey(key="sk-a", limits=one), SimulatedKey(key="sk-b", limits=two)))

    statuses = {key: [ask(provider, key=key).reply.status for _ in range(3)] for key in ("sk-a", "sk-b", "sk-c")}

    assert statuses == {"sk-a": [200, 429, 429], "sk-b": [200, 200, 429], "sk-c": [401, 401, 401]}


def test_key_without_limits_keeps_those_of_the_provider_but_counts_alone() -> None:
    provider = serving(limits=SimulatedLimits(requests_per_minute=1), keys=(SimulatedKey(key="sk-a"), SimulatedKey(key="sk-b")))

    assert [ask(provider, key=key).reply.status for key in ("sk-a", "sk-b", "sk-a", "sk-b")] == [200, 200, 429, 429]


@pytest.mark.parametrize("shown", [(b"api-key", b"sk-a"), (b"x-api-key", b"sk-a"), (b"x-goog-api-key", b"sk-a")])
def test_key_is_found_in_every_providers_header(shown: tuple[bytes, bytes]) -> None:
    request = Request("POST", CHAT, [shown], b"{}")

    assert request.keys_shown() == ["sk-a"]


def test_key_is_found_in_the_query() -> None:
    assert Request("POST", CHAT + "?alt=sse&key=sk-a", [], b"{}").keys_shown() == ["sk-a"]


@pytest.mark.parametrize(
    "vendor, status, words",
    [
        (Vendor.OPENAI, 401, "invalid_api_key"),
        (Vendor.AZURE, 401, "invalid subscription key"),
        (Vendor.ANTHROPIC, 401, "authentication_error"),
        (Vendor.GEMINI, 400, "API_KEY_INVALID"),
        (Vendor.VLLM, 401, '"Unauthorized"'),
        (Vendor.XAI, 400, "Incorrect API key"),
        (Vendor.DASHSCOPE, 401, "invalid_api_key"),
    ],
)
def test_unknown_key_is_refused_in_the_words_of_the_vendor(vendor: Vendor, status: int, words: str) -> None:
    refused = ask(serving(api_key="sk-right", vendor=vendor), key="sk-wrong")

    assert refused.reply.status == status
    assert words in refused.reply.body.decode()


def test_gemini_puts_its_error_into_a_list_at_times() -> None:
    plain, listed = (said(ask(serving(api_key="sk", vendor=vendor))) for vendor in (Vendor.GEMINI, Vendor.GEMINI_LIST))

    assert listed == [plain]


@pytest.mark.parametrize(
    "vendor, status, words",
    [
        (Vendor.OPENAI, 429, "insufficient_quota"),
        (Vendor.ANTHROPIC, 400, "credit balance is too low"),
        (Vendor.MOONSHOT, 429, "exceeded_current_quota_error"),
        (Vendor.ZHIPU, 429, '"1113"'),
        (Vendor.DASHSCOPE, 400, "Arrearage"),
        (Vendor.DEEPSEEK, 402, "Insufficient Balance"),
        (Vendor.NEW_API, 403, "insufficient_user_quota"),
    ],
)
def test_quota_ends_after_so_many_answers_and_for_ever(vendor: Vendor, status: int, words: str) -> None:
    provider = serving(vendor=vendor, quota=SimulatedQuota(requests=2))

    answers = [ask(provider, f"row {row}", after=row * 1000) for row in range(4)]

    assert [one.reply.status for one in answers] == [200, 200, status, status]
    assert words in answers[2].reply.body.decode()


def test_quota_counts_the_tokens_of_right_answers_only() -> None:
    provider = serving(quota=SimulatedQuota(tokens=7, cause="payment_402"), script={"1": "http_500"})

    statuses = [ask(provider, text).reply.status for text in ("row 1", "row 2", "row 3")]

    assert statuses == [500, 200, 402]


def test_daily_quota_asks_for_hours() -> None:
    openai, gemini = (
        ask(serving(vendor=vendor, outages=(SimulatedOutage(fault="daily_quota"),))) for vendor in (Vendor.OPENAI, Vendor.GEMINI)
    )

    assert dict(openai.reply.headers)["retry-after"] == "21600"
    assert "retry-after" not in dict(gemini.reply.headers)
    assert [detail.get("retryDelay") for detail in said(gemini)["error"]["details"]] == [None, "21600s"]


def test_spend_limit_of_anthropic_is_told_by_its_details() -> None:
    refused = ask(serving(vendor=Vendor.ANTHROPIC, quota=SimulatedQuota(requests=1, cause="spend_limit"), script={"1": "ok"}))

    assert refused.reply.status == 200

    provider = serving(vendor=Vendor.ANTHROPIC, outages=(SimulatedOutage(fault="spend_limit"),))
    assert said(ask(provider))["error"]["details"] == {"error_code": "enforced_spend_limit_reached"}


@pytest.mark.parametrize(
    "vendor, words", [(Vendor.OPENAI, "model_not_found"), (Vendor.AZURE, "DeploymentNotFound"), (Vendor.VLLM, "`gpt-9` does not exist")]
)
def test_model_that_is_not_listed_is_not_found_where_only_models_counts(vendor: Vendor, words: str) -> None:
    provider = serving(models=("gpt-4o",), only_models=True, vendor=vendor)

    assert ask(provider).reply.status == 200
    assert ask(provider, model="gpt-9").reply.status == 404
    assert words in ask(provider, model="gpt-9").reply.body.decode()
    assert ask(serving(models=("gpt-4o",)), model="gpt-9").reply.status == 200


def test_models_can_have_limits_of_their_own() -> None:
    provider = serving(limits=SimulatedLimits(requests_per_minute=1, per_model=True))

    assert [ask(provider, model=model).reply.status for model in ("a", "b", "a")] == [200, 200, 429]


def test_key_is_revoked_at_its_time_and_the_others_go_on() -> None:
    revoked = SimulatedKey(key="sk-a", outages=(SimulatedOutage(at_seconds=30, seconds=60, fault="wrong_key"),))
    provider = serving(keys=(revoked, SimulatedKey(key="sk-b")))

    statuses = {key: [ask(provider, key=key, after=after).reply.status for after in (29, 30, 89, 90)] for key in ("sk-a", "sk-b")}

    assert statuses == {"sk-a": [200, 401, 401, 200], "sk-b": [200] * 4}


def test_model_is_loading_at_the_start() -> None:
    provider = serving(outages=(SimulatedOutage(fault="loading_503", seconds=40),))

    loading, loaded = ask(provider), ask(provider, after=40)

    assert said(loading)["error"] == {"code": 503, "message": "Loading model", "type": "unavailable_error"}
    assert loaded.reply.status == 200


def test_time_until_a_model_is_loaded_can_stand_in_the_body() -> None:
    loading = ask(serving(outages=(SimulatedOutage(fault="estimated_503"),), retry_after_seconds=20.0))

    assert (loading.reply.status, said(loading)["estimated_time"]) == (503, 20.0)


@pytest.mark.parametrize("fault, status", [("http_502", 502), ("http_503", 503), ("http_504", 504), ("http_524", 524)])
def test_outage_falls_on_every_request_and_uses_up_no_limit(fault: str, status: int) -> None:
    provider = serving(limits=SimulatedLimits(requests_per_minute=5), outages=(SimulatedOutage(at_seconds=10, seconds=20, fault=fault),))

    during = [ask(provider, f"row {row}", after=10 + row).reply.status for row in range(20)]
    after = [ask(provider, f"row {row}", after=30).reply.status for row in range(6)]

    assert during == [status] * 20
    assert after == [200] * 5 + [429]


def test_black_hole_and_reset_are_outages_too() -> None:
    provider = serving(outages=(SimulatedOutage(seconds=5, fault="stall"), SimulatedOutage(at_seconds=5, seconds=5, fault="reset_before")))

    assert [ask(provider, after=after).fault for after in (0, 5, 10)] == [Fault.STALL, Fault.RESET_BEFORE, None]


def test_slow_time_takes_a_multiple_as_long() -> None:
    outage = SimulatedOutage(fault="slow", at_seconds=10, seconds=10, factor=10)
    provider = serving(latency=LatencyConfig(median_seconds=0.5), outages=(outage,))

    assert [ask(provider, after=after).wait_seconds for after in (9, 10, 20)] == [0.5, 5.0, 0.5]


def test_quirk_for_a_time_keeps_the_answers_right() -> None:
    exchange = ask(serving(outages=(SimulatedOutage(fault="pretty"),)))

    assert exchange.fault is Fault.PRETTY
    assert said(exchange)["choices"][0]["message"]["content"] == expected_answer({"messages": [{"role": "user", "content": "hello"}]})


@pytest.mark.parametrize("fault, status", [("moved_301", 301), ("moved_307", 307), ("moved_308", 308)])
def test_moved_path_is_answered_with_a_slash_behind_it(fault: str, status: int) -> None:
    provider = serving(outages=(SimulatedOutage(fault=fault),))

    moved = ask(provider, target=CHAT + "?api-version=1")
    location = dict(moved.reply.headers)["location"]

    assert (moved.reply.status, location) == (status, CHAT + "/?api-version=1")
    assert ask(provider, target=location).reply.status == 200


def test_moved_row_is_answered_with_a_slash_behind_it() -> None:
    provider = serving(faults={"moved_307": 1.0}, faulty_attempts=9)

    assert ask(provider).reply.status == 307
    assert ask(provider, target=CHAT + "/").reply.status == 200


def test_times_of_refused_connections_are_in_order_and_apart() -> None:
    outages = [
        SimulatedOutage(fault="connection_refused", at_seconds=at, seconds=seconds)
        for at, seconds in ((50, 10), (0, 5), (55, 20), (90, None))
    ]

    assert times_refused([*outages, SimulatedOutage(fault="http_502")]) == [(0, 5), (50, 75), (90, float("inf"))]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SimulatedOutage(fault="sulk"), "fault must be connection_refused, slow or the name of a fault: no fault is named 'sulk'"),
        (lambda: SimulatedOutage(fault="slow", factor=0.5), "factor must be between 1 and 10000, got 0.5"),
        (lambda: SimulatedQuota(requests=1, cause="http_500"), "cause must be one of quota_exhausted, "),
        (lambda: SimulatedKey(key=""), "key must not be empty"),
        (
            lambda: SimulatedKey(key="a", outages=(SimulatedOutage(fault="connection_refused"),)),
            "outages of a key cannot be connection_refused",
        ),
        (lambda: SimulateConfig(keys=(SimulatedKey(key="a"), SimulatedKey(key="a"))), "keys must differ from one another"),
        (lambda: SimulateConfig(api_key="a", keys=(SimulatedKey(key="a"),)), "keys must differ from one another and from api_key"),
    ],
)
def test_wrong_setting_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()

    assert str(caught.value).startswith(message)


def test_keys_are_not_shown() -> None:
    assert "sk-secret" not in repr(SimulateConfig(keys=(SimulatedKey(key="sk-secret"),)))
