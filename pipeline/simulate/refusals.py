"""The 429 of a limit, as each provider writes its body. Pure.

Source: OpenAI, "Rate limits"; Anthropic, "Errors"; Gemini, google.rpc.RetryInfo; LiteLLM proxy, parallel_request_limiter_v3.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.simulate.choices import Dialect, RetryAfter
from pipeline.simulate.headers import refusal_message, wait_headers
from pipeline.simulate.reply import Headers, Reply, json_reply

if TYPE_CHECKING:
    from pipeline.simulate.limits_config import SimulatedLimits

PARALLEL_WAIT_SECONDS = 60  # LiteLLM names its own window, whenever a request may end


def throttled(limits: SimulatedLimits, bound: str, seconds: float, headers: Headers, wall: float) -> Reply:
    """The 429 of a limit. bound: what it counts. seconds: the wait; infinite if the request could never pass."""
    body = _body(limits.dialect, bound, refusal_message(limits.retry_after, bound, seconds))
    if limits.retry_after is RetryAfter.RETRY_INFO and math.isfinite(seconds):
        delay = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{math.ceil(seconds * 1e6 - 1e-3) / 1e6:g}s"}
        body["error"]["details"] = [delay]
    return json_reply(429, body, [*headers, *wait_headers(limits.retry_after, seconds, wall)])


def too_many_in_flight(limits: SimulatedLimits, wall: float) -> Reply:
    """The 429 by which a LiteLLM proxy refuses a request because too many are in flight."""
    resets = f"{datetime.fromtimestamp(wall + PARALLEL_WAIT_SECONDS, UTC):%Y-%m-%d %H:%M:%S UTC}"
    message = (
        f"Rate limit exceeded for api_key: sk-... Limit type: max_parallel_requests. Current limit: {limits.max_in_flight}, "
        f"Remaining: 0. Limit resets at: {resets}"
    )
    headers = [("rate_limit_type", "max_parallel_requests"), ("reset_at", resets)]
    if limits.retry_after is not RetryAfter.NONE:
        headers.append(("retry-after", str(PARALLEL_WAIT_SECONDS)))
    return json_reply(429, {"error": {"message": message, "type": "None", "param": "None", "code": "429"}}, headers)


def _body(dialect: Dialect, bound: str, message: str) -> dict[str, Any]:
    match dialect:
        case Dialect.ANTHROPIC:
            return {"type": "error", "error": {"type": "rate_limit_error", "message": message}}
        case Dialect.AZURE:
            return {"error": {"code": "429", "message": message}}
        case Dialect.GEMINI:
            return {"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}}
        case _:
            return {"error": {"message": message, "type": bound, "param": None, "code": "rate_limit_exceeded"}}
