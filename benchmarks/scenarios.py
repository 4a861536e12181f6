"""What is measured: each scenario is one load, offered alike to headrace and to every peer that it names."""

from __future__ import annotations

from typing import Any

from attrs import evolve, field, frozen

REFERENCE = "aiohttp-gather"
STREAMING = "aiohttp-stream"
WORKERS = "aiohttp-workers"
CORE = ("headrace", REFERENCE, WORKERS, "raw-sockets")
FLOORS = ("pyreqwest-workers", "hey", "wrk")  # what costs less than Python
TRANSPORTS = ("transport-bytes", "transport-request", "transport-client")
ARTICLE = ("threads-list", "thread-pool", "async-semaphore")
SDKS = ("httpx-shared", "openai-sdk", "openai-aiohttp", "litellm", "async-batch-llm")
FINDERS = ("headrace", "openai-sdk-20", "openai-sdk", "async-batch-llm")
KEEPERS = ("headrace", "aiohttp-limiter", "openai-sdk", "async-batch-llm")

# What a row may meet at its first attempt and no longer at its second.
TRANSIENT = (
    "http_408", "http_429", "http_500", "http_502", "http_503", "http_529", "rate_limit_500", "error_200", "broken_json", "html",
    "cut_body", "reset_before", "reset_in_body", "close_before", "stall",
)  # fmt: skip

# 20,000 rows where the reference is compared: with more its cost per row grows (it makes all its tasks at once), with fewer the
# start of a process outweighs its work. The family `growth` shows the rest.

# A latency that lets 50 or 1,000 in flight ask for 10,000 rows a second: more than any client here can do on one core.
SHORT = "uniform:0.0025:0.0075"


@frozen
class Scenario:
    """One load.

    latency: see `benchmarks.latency`. head_seconds: how long row 0 takes. rate: requests a second that the client is
    told to keep. limit: requests a second above which the server refuses, counted by `window`. simulate: settings of
    the embedded provider, which then serves instead of the fast server. allowed: requests a second that those settings
    allow. slow_rows: the most that a peer gets that needs a hundred times the CPU of the others. patience_seconds: who
    needs longer is left out, with a word. prompt_bytes, answer_bytes: prompts and answers are made at least this long.
    events: of a streamed answer, each a write of its own; 0 is no stream. event_seconds: between two of them.
    """

    name: str
    title: str
    family: str
    rows: int
    in_flight: int
    latency: str
    peers: tuple[str, ...]
    tls: bool = False
    head_seconds: float | None = None
    rate: float | None = None
    limit: int | None = None
    window: str = "sliding"
    simulate: dict[str, Any] | None = None
    allowed: float | None = None
    prompt_bytes: int = 0
    answer_bytes: int = 0
    events: int = 0
    event_seconds: float = 0.0
    timeout_seconds: float = 300.0
    patience_seconds: float = 900.0
    slow_rows: int = 2_000
    quick_rows: int = 200
    settings: dict[str, Any] = field(factory=dict)

    def quick(self) -> Scenario:
        """The same load in a second or so: for correctness, not for figures."""
        in_flight, latency = min(self.in_flight, 100), self.latency if self.in_flight <= 50 else "uniform:0.005:0.05"
        rows, head = min(self.rows, self.quick_rows), None if self.head_seconds is None else 0.5
        timeout = 1.0 if self.family == "correctness" else self.timeout_seconds
        patience = min(self.patience_seconds, 20.0)  # whole seconds are what a subject takes that does not wait for something
        load = evolve(
            self, rows=rows, in_flight=in_flight, latency=latency, slow_rows=rows, head_seconds=head, events=min(self.events, 100)
        )
        return evolve(load, timeout_seconds=timeout, patience_seconds=patience)


def throughput(in_flight: int, latency: str, rows: int, peers: tuple[str, ...], **more: Any) -> Scenario:
    """Many rows, nothing in the way but the latency."""
    tls = " over TLS" if more.get("tls") else ""
    return Scenario(
        name=f"{'tls' if tls else 'in-flight'}-{in_flight}",
        title=f"{in_flight:,} in flight{tls}",
        family="throughput",
        rows=rows,
        in_flight=in_flight,
        latency=latency,
        peers=peers,
        **more,
    )


def head(name: str, title: str, head_seconds: float | None, peers: tuple[str, ...]) -> Scenario:
    """Rows that the first one may hold up."""
    return Scenario(
        name=name,
        title=title,
        family="throughput",
        rows=60_000,
        in_flight=200,
        latency="fixed:0.05",
        head_seconds=head_seconds,
        peers=peers,
    )


def attainment(window: str, title: str) -> Scenario:
    """The server allows 300 a second; the client is told so."""
    return Scenario(
        name=f"limit-{window}",
        title=f"300 requests/s allowed, {title}",
        family="attainment",
        rows=4_500,
        in_flight=100,
        latency="uniform:0.05:0.15",
        peers=KEEPERS,
        rate=300.0,
        limit=300,
        window=window,
        slow_rows=4_500,
        quick_rows=400,
    )


def unknown_limit(name: str, title: str, limits: dict[str, Any], *, rate: float | None = None) -> Scenario:
    """The server allows 50 a second; the client is told nothing, or twice as much."""
    return Scenario(
        name=f"unknown-{name}",
        title=f"50 requests/s allowed, {title}",
        family="unknown-limit",
        rows=2_500,
        in_flight=100,
        latency="fixed:0",
        peers=FINDERS,
        rate=rate,
        simulate={"latency": {"distribution": "lognormal", "median_seconds": 0.5, "spread": 0.5, "max_seconds": 5}, "limits": limits},
        allowed=50.0,
        slow_rows=2_500,
        quick_rows=60,
    )


def streamed(
    name: str,
    title: str,
    in_flight: int,
    rows: int,
    *,
    events: int = 100,
    event_seconds: float = 0.0,
    peers: tuple[str, ...] = ("headrace", STREAMING, "openai-stream"),
) -> Scenario:
    """Answers that come in events."""
    return Scenario(
        name=name,
        title=title,
        family="streams",
        rows=rows,
        in_flight=in_flight,
        latency="fixed:0.02",
        peers=peers,
        events=events,
        event_seconds=event_seconds,
        slow_rows=500,
    )


def heavy(name: str, title: str, in_flight: int, rows: int, *, prompt_bytes: int = 0, answer_bytes: int = 0) -> Scenario:
    """Long requests or answers. In a quick run few of them, because all of a run's prompts lie in a file."""
    return Scenario(
        name=f"heavy-{name}",
        title=f"{in_flight} in flight, {title}",
        family="heavy",
        rows=rows,
        in_flight=in_flight,
        latency="fixed:0.05",
        peers=("headrace", REFERENCE, WORKERS, "openai-sdk"),
        prompt_bytes=prompt_bytes,
        answer_bytes=answer_bytes,
        slow_rows=rows // 2,
        quick_rows=10,
    )


def growth(rows: int) -> Scenario:
    """The same load with ever more rows: cost and memory per row must not grow."""
    return Scenario(
        name=f"rows-{rows}",
        title=f"{rows:,} rows, 1,000 in flight",
        family="growth",
        rows=rows,
        in_flight=1_000,
        latency="fixed:0.1",
        peers=("headrace", REFERENCE, WORKERS) if rows <= 100_000 else ("headrace",),
    )


SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        throughput(50, SHORT, 20_000, (*CORE, *FLOORS, *TRANSPORTS, *ARTICLE, *SDKS), slow_rows=5_000),
        throughput(1_000, "fixed:0.1", 20_000, (*CORE, *FLOORS, *TRANSPORTS, *SDKS)),
        throughput(5_000, "fixed:1.0", 40_000, CORE),
        throughput(10_000, "fixed:10.0", 60_000, CORE),
        throughput(50, SHORT, 20_000, (*CORE, *FLOORS, *TRANSPORTS), tls=True),
        throughput(1_000, "fixed:0.1", 20_000, (*CORE, *FLOORS, *TRANSPORTS), tls=True),
        Scenario(
            name="heavy-tail",
            title="200 in flight, log-normal latency up to 10 s, results in input order",
            family="throughput",
            rows=20_000,
            in_flight=200,
            latency="lognormal:0.05:1.2:10",
            peers=CORE,
        ),
        head("even-head", "200 in flight, every row alike: what the next one is held against", None, ("headrace",)),
        head("slow-head", "200 in flight, the first row takes 15 s, results in input order", 15.0, ("headrace", REFERENCE, WORKERS)),
        Scenario(
            name="limit-binds",
            title="1,000 in flight, the client's own limit of 3,000 requests/s binds (the reference keeps none)",
            family="throughput",
            rows=30_000,
            in_flight=1_000,
            latency="fixed:0.1",
            peers=("headrace", REFERENCE, WORKERS, "aiohttp-limiter"),
            rate=3_000.0,
        ),
        attainment("fixed", "counted by the clock's second"),
        attainment("sliding", "counted in every sliding second"),
        attainment("bucket", "a token bucket of a tenth of a second"),
        *(growth(10**power) for power in (3, 4, 5, 6)),
        Scenario(
            name="article",
            title="The article's 100 prompts: one timeout, one lone 401, one 429 (its program keeps 97)",
            family="correctness",
            rows=100,
            in_flight=50,
            latency="fixed:0",
            peers=("headrace", *ARTICLE, "openai-sdk", "async-batch-llm"),
            simulate={"script": {"17": "unauthorized_401", "41": "stall", "68": "http_429"}},
            timeout_seconds=3.0,
            patience_seconds=60.0,
        ),
        Scenario(
            name="faults",
            title="3,000 rows, 30 % of them faulty at the first attempt",
            family="correctness",
            rows=3_000,
            in_flight=100,
            latency="fixed:0",
            peers=("headrace", REFERENCE, *ARTICLE, "openai-sdk", "async-batch-llm"),
            simulate={"faults": dict.fromkeys(TRANSIENT, 0.30 / len(TRANSIENT))},
            timeout_seconds=3.0,
            patience_seconds=60.0,
            slow_rows=3_000,
        ),
        unknown_limit(
            "bucket",
            "none configured; a token bucket of half a second, told by nothing but a Retry-After in whole seconds",
            {"kind": "token_bucket", "requests_per_second": 50, "burst_seconds": 0.5, "dialect": "none", "retry_after": "seconds"},
        ),
        unknown_limit(
            "headers",
            "none configured; told by OpenAI's headers over a minute, enforced as a bucket of a second",
            {"kind": "token_bucket", "requests_per_second": 50, "burst_seconds": 1, "told_seconds": 60},
        ),
        unknown_limit(
            "twice",
            "twice as much configured; a bucket that counts refused requests and asks for no wait",
            {"kind": "token_bucket", "requests_per_second": 50, "burst_seconds": 0.5, "dialect": "none", "retry_after": "none"},
            rate=100.0,
        ),
        Scenario(
            name="flaky-relay",
            title="300 rows through a relay that answers 10 % with 429 and 10 % with 503, Retry-After 1 s",
            family="unknown-limit",
            rows=300,
            in_flight=20,
            latency="fixed:0",
            peers=("headrace", "openai-sdk", "async-batch-llm"),
            simulate={
                "latency": {"distribution": "lognormal", "median_seconds": 0.3, "spread": 0.5, "max_seconds": 3},
                "limits": {"retry_after": "seconds", "dialect": "none"},
                "flaky": {"http_429": 0.1, "http_503": 0.1},
                "retry_after_seconds": 1.0,
            },
            slow_rows=300,
            quick_rows=40,
        ),
        streamed("stream-50", "50 streams of 100 events, as fast as they are read", 50, 5_000),
        streamed("stream-1000", "1,000 streams of 100 events, 50 ms apart", 1_000, 6_000, event_seconds=0.05),
        streamed(
            "stream-50-paced",
            "50 streams of 20 events, 20 ms apart: 2,500 events a second",
            50,
            2_000,
            events=20,
            event_seconds=0.02,
        ),
        streamed(
            "stream-long",
            "50 streams of 9 MB, all at once: what they take of memory above the next one",
            50,
            50,
            events=35_000,
            peers=("headrace",),
        ),
        streamed("stream-short", "50 streams of 3 events", 50, 50, events=3, peers=("headrace",)),
        heavy("bodies", "prompts of 200 kB and answers of 50 kB", 20, 1_000, prompt_bytes=200_000, answer_bytes=50_000),
        heavy("requests-100kb", "prompts of 100 kB", 50, 2_000, prompt_bytes=100_000),
        heavy("requests-1500kb", "prompts of 1.5 MB", 20, 200, prompt_bytes=1_500_000),
        heavy("answers", "answers of 1.2 MB", 20, 300, answer_bytes=1_160_000),
        Scenario(
            name="serve",
            title="headrace serve: a batch of 20,000 rows, 50 in flight, beside headrace run",
            family="serve",
            rows=20_000,
            in_flight=50,
            latency=SHORT,
            peers=("headrace", "headrace-serve"),
        ),
        Scenario(
            name="stages",
            title="headrace's stages alone: an answer at once, no network",
            family="stages",
            rows=300_000,
            in_flight=1_000,
            latency="fixed:0",
            peers=("stages", "stages-durable"),
            quick_rows=2_000,
        ),
        Scenario(
            name="start-up",
            title="One row: from the command to its request",
            family="start-up",
            rows=1,
            in_flight=50,
            latency="fixed:0.01",
            peers=(*CORE, "httpx-shared", "openai-sdk", "litellm", "async-batch-llm"),
        ),
    )
}
