"""The laws of the simulated provider's pure parts."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.simulate import (
    QUIRKS,
    Distribution,
    Fault,
    LatencyConfig,
    LimitKind,
    Provider,
    Request,
    SimulateConfig,
    expected_answer,
)
from pipeline.simulate.answers import compose
from pipeline.simulate.calls import Route, parse_call
from pipeline.simulate.headers import go_duration
from pipeline.simulate.plan import Attempts, Planner, digest_of, latency_at
from pipeline.simulate.reply import Reply, json_reply
from pipeline.simulate.shapes import shape
from pipeline.simulate.tally import Busiest
from pipeline.simulate.windows import make_window
from pipeline.simulate.wire import WIRE, End, Repeat, Send, Step, ends_before, steps_for

if TYPE_CHECKING:
    from random import Random

# Gaps in binary fractions, so that sums are exact and a law is not broken by rounding.
gaps = st.lists(st.integers(0, 400).map(lambda eighths: eighths / 8), min_size=1, max_size=60)
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@given(st.floats(0, 10**6))
def test_go_duration_is_never_less_than_the_time_and_at_most_a_millisecond_more(seconds: float) -> None:
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", go_duration(seconds))

    read = sum(float(number) * UNITS[unit] for number, unit in parts)

    assert seconds - 1e-6 <= read <= seconds + 0.001 + 1e-6


@given(st.sampled_from(list(LimitKind)), st.integers(1, 8), gaps, st.booleans())
def test_limit_is_kept_in_the_way_of_its_kind(kind: LimitKind, limit: int, gaps: list[float], count_refused: bool) -> None:  # noqa: FBT001
    window, now, passed = make_window(kind, float(limit), 16.0), 0.0, []

    for gap in gaps:
        now += gap
        free = window.wait(1, now) <= 0
        if free:
            passed.append(now)
        if free or count_refused:
            window.take(1, now)

    for start in passed:
        inside = [time for time in passed if start <= time < start + 16]
        bound = {
            LimitKind.FIXED_WINDOW: 2 * limit,
            LimitKind.SLIDING_WINDOW: limit,
            LimitKind.TOKEN_BUCKET: limit + limit * (inside[-1] - start) / 16,
        }[kind]
        assert len(inside) <= bound + 1e-6


@given(st.sampled_from(list(LimitKind)), st.integers(1, 8), gaps, st.integers(1, 8))
def test_wait_is_enough_and_no_longer_than_needed(kind: LimitKind, limit: int, gaps: list[float], amount: int) -> None:
    window, now = make_window(kind, float(limit), 16.0), 0.0
    for gap in gaps:
        now += gap
        window.take(1, now)

    wait = window.wait(amount, now)

    assert math.isinf(wait) == (amount > limit)
    if 0 < wait < math.inf:
        assert window.wait(amount, now + wait * 0.99) > 0
        assert window.wait(amount, now + wait + 1e-6) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), min_size=1, max_size=60))
def test_busiest_window_is_the_most_in_any(arrivals: list[tuple[int, int]]) -> None:
    busiest, now, seen = Busiest(1.0), 0.0, []

    for gap, amount in arrivals:
        now += gap / 16
        busiest.add(amount, now)
        seen.append((now, amount))

    assert busiest.most == max(sum(amount for time, amount in seen if end - 1 < time <= end) for end, _ in seen)


@given(st.randoms(use_true_random=False), st.integers(0, 3), st.integers(0, 99))
def test_same_rows_meet_the_same_faults_in_every_interleaving(random: Random, faulty_attempts: int, seed: int) -> None:
    config = SimulateConfig(seed=seed, faults={"http_500": 0.3, "stall": 0.3}, faulty_attempts=faulty_attempts)
    coming = [body for body in range(12) for _ in range(4)]
    shuffled = list(coming)
    random.shuffle(shuffled)

    def met(order: list[int]) -> dict[int, list[Fault | None]]:
        planner = Planner(config)
        found: dict[int, list[Fault | None]] = {body: [] for body in range(12)}
        for body in order:
            found[body].append(planner.plan(digest_of(b"%d" % body), "").fault)
        return found

    assert met(coming) == met(shuffled)
    assert all(fault is None for faults in met(coming).values() for fault in faults[faulty_attempts:])


def test_faults_fall_by_their_shares() -> None:
    planner = Planner(SimulateConfig(faults={"http_500": 0.2, "stall": 0.1}))

    fallen = Counter(planner.plan(digest_of(b"%d" % number), "").fault for number in range(10_000))

    assert fallen[Fault.HTTP_500] == pytest.approx(2000, rel=0.1)
    assert fallen[Fault.STALL] == pytest.approx(1000, rel=0.1)


@given(st.lists(st.integers(0, 30), max_size=200), st.integers(1, 10))
def test_attempts_are_counted_in_bounded_memory(bodies: list[int], keep: int) -> None:
    attempts = Attempts(keep)
    seen: Counter[int] = Counter()
    latest: list[int] = []

    for body in bodies:
        number = attempts.next(b"%d" % body)
        if body in latest[-keep:]:
            assert number > 1
        seen[body] += 1
        assert number <= seen[body]
        latest = [other for other in latest if other != body] + [body]
        assert len(attempts._young) + len(attempts._old) <= 2 * keep


@given(st.sampled_from(list(Distribution)), st.floats(0.001, 10), st.floats(0, 1), st.floats(0, 1, exclude_max=True))
def test_latency_is_the_median_at_one_half_and_never_out_of_bounds(
    kind: Distribution, median: float, spread: float, uniform: float
) -> None:
    config = LatencyConfig(distribution=kind, median_seconds=median, spread=spread)

    assert latency_at(config, 0.5) == pytest.approx(median)
    assert 0 <= latency_at(config, uniform) <= config.max_seconds


@pytest.mark.parametrize("kind", list(Distribution))
def test_latency_grows_with_the_draw(kind: Distribution) -> None:
    config = LatencyConfig(distribution=kind, median_seconds=1.0)

    latencies = [latency_at(config, draw / 100) for draw in range(100)]

    assert all(one <= other for one, other in pairwise(latencies))


@given(st.text(), st.text())
def test_answers_to_different_prompts_differ(one: str, other: str) -> None:
    bodies = [{"model": "m", "messages": [{"role": "user", "content": text}]} for text in (one, other)]

    assert (expected_answer(bodies[0]) == expected_answer(bodies[1])) == (one == other)


@given(st.text(), st.integers(0, 2000))
def test_expected_answer_is_what_is_answered(text: str, characters: int) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()

    answered = shape(compose(parse_call(Route("chat/completions"), body), digest_of(body), characters))

    assert answered["choices"][0]["message"]["content"] == expected_answer(body, characters)
    assert len(expected_answer(body, characters)) >= characters


def render(reply: Reply) -> tuple[bytes, bytes]:
    head = b"HTTP/1.1 %d \r\n" % reply.status
    head += b"".join(b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in reply.headers)
    return head + b"content-length: %d\r\n\r\n" % len(reply.body), reply.body


def read(steps: tuple[Step, ...]) -> tuple[int, bytes] | None:
    """What a strict client makes of the steps: status and body, or None if it gets no whole answer."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    status, body = 0, b""
    for step in steps:
        if isinstance(step, Repeat) or step in (End.HANG, End.RESET):
            return None
        data = step.data if isinstance(step, Send) else b""
        for piece in [data[at : at + 4096] for at in range(0, len(data), 4096)] or [b""]:
            client.receive_data(piece)
            while (event := client.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
                if isinstance(event, h11.Response):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    return status, body
                elif isinstance(event, h11.ConnectionClosed):
                    return None
    return None


ON_THE_WIRE = [*WIRE, Fault.DRIP, Fault.DRIP_HEADERS]


@given(st.sampled_from(sorted(QUIRKS - {Fault.GZIP, Fault.PRETTY}, key=str)), st.binary(max_size=5000))
def test_quirk_is_read_as_the_right_answer_by_a_strict_client(quirk: Fault, body: bytes) -> None:
    steps = steps_for(quirk, *render(Reply(200, [], body)), 0.1)

    assert read(steps) == (200, body)


@pytest.mark.parametrize("fault", [fault for fault in ON_THE_WIRE if fault not in QUIRKS], ids=lambda fault: fault.value)
def test_wire_fault_gives_a_strict_client_no_whole_answer(fault: Fault) -> None:
    steps = steps_for(fault, *render(json_reply(200, {"content": "x" * 2000})), 0.1)

    try:
        assert read(steps) is None
    except h11.RemoteProtocolError:
        pass


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.value)
def test_request_counts_as_answered_before_its_last_bytes_leave(fault: Fault) -> None:
    steps = steps_for(fault, *render(json_reply(200, {})), 0.1)

    end = ends_before(steps)

    rest = steps[end + 1 :]
    if fault is Fault.DOUBLED:
        assert rest[-1] == steps[end]  # the first copy ends the request
    else:
        assert not any(isinstance(step, Send) for step in rest)
    assert (end == len(steps)) == (isinstance(steps[-1], Repeat) or steps[-1] is End.HANG)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["role", "content", "text", "type"]), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "system",
    "contents",
    "content",
    "requests",
    "query",
    "documents",
    "systemInstruction",
    "generationConfig",
    "options",
    "stream_options",
    "model",
    "messages",
    "prompt",
    "input",
    "n",
    "max_tokens",
    "dimensions",
    "stream",
    "encoding_format",
]
bodies = st.binary(max_size=50) | st.dictionaries(st.sampled_from(KEYS), json_values).map(lambda body: json.dumps(body).encode())
TARGETS = [
    "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/models", "/v1/responses", "/v1/messages", "/v1/moderations",
    "/v2/chat", "/v2/rerank", "/api/chat", "/api/generate", "/api/embed", "/v1beta/models/m:generateContent",
    "/v1beta/models/m:embedContent", "/v1beta/models/m:batchEmbedContents", "/v1beta/models/m:streamGenerateContent", "/_simulate/x",
]  # fmt: skip
targets = st.text() | st.sampled_from(TARGETS)


@given(st.sampled_from(["GET", "POST"]), targets, bodies, st.dictionaries(st.sampled_from([b"authorization", b"api-key"]), st.binary()))
def test_any_request_gets_an_answer_and_json_unless_it_streams(method: str, target: str, body: bytes, headers: dict[bytes, bytes]) -> None:
    for api_key in (None, "sk-right"):
        provider = Provider(SimulateConfig(api_key=api_key, script={"7": "html"}))
        request = Request(method, target, list(headers.items()), body)

        exchange = provider.receive(request, now=1.0, wall=1.0)

        assert exchange.reply.status in (200, 400, 401, 404, 405)
        if exchange.fault is None and exchange.stream is None:
            assert isinstance(json.loads(exchange.reply.body), dict)
