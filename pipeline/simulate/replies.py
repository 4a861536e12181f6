"""Replies that are not the right answer: error bodies as providers write them, and what a fault makes of a right answer. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.simulate.faults import MOVED, Fault
from pipeline.simulate.headers import wait_headers
from pipeline.simulate.refusals import throttled
from pipeline.simulate.reply import Headers, Reply, error_reply, json_reply
from pipeline.simulate.spoilt import SPOILT
from pipeline.simulate.vendors import TABLES, in_words_of

if TYPE_CHECKING:
    from pipeline.simulate.config import SimulateConfig

HTML = b"<html>\r\n<head><title>%s</title></head>\r\n<body><center><h1>%s</h1></center></body>\r\n</html>\r\n"


# status, error type, code, message
ERRORS: dict[Fault, tuple[int, str, str | None, str]] = {
    Fault.HTTP_400: (400, "invalid_request_error", "invalid_value", "The request is not valid"),
    Fault.DEMANDED_RETRY: (400, "invalid_request_error", None, "Not now, and the status lies"),
    Fault.UNAUTHORIZED_401: (401, "invalid_request_error", "invalid_api_key", "Incorrect API key provided"),
    Fault.FORBIDDEN_403: (403, "permission_error", "permission_denied", "This key may not do that"),
    Fault.HTTP_408: (408, "timeout", "request_timeout", "The request took too long to arrive"),
    Fault.HTTP_409: (409, "conflict", "conflict", "Try again"),
    Fault.HTTP_425: (425, "too_early", "too_early", "Too early"),
    Fault.PAYMENT_402: (402, "billing_error", "payment_required", "Payment required"),
    Fault.THROTTLED_400: (400, "ThrottlingException", None, "Too many requests, please wait before trying again."),
    Fault.THROTTLED_403: (403, "rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded"),
    Fault.INSUFFICIENT_QUOTA: (429, "insufficient_quota", "insufficient_quota", "You exceeded your current quota"),
    Fault.HTTP_500: (500, "server_error", None, "The server had an error while processing your request"),
    Fault.FORBIDDEN_RETRY: (500, "server_error", None, "This will not work again"),
    Fault.RATE_LIMIT_500: (500, "server_error", "rate_limit", "Rate limit reached upstream"),
    Fault.HTTP_503: (503, "server_error", "overloaded", "The engine is currently overloaded"),
    Fault.HTTP_529: (529, "overloaded_error", None, "Overloaded"),
    Fault.ERROR_200: (200, "server_error", "upstream_error", "The upstream answered nothing"),
}
ASK_TO_WAIT = frozenset({Fault.HTTP_503, Fault.HTTP_529, Fault.RATE_LIMIT_500})
RETRY_HEADERS: dict[Fault, Headers] = {
    Fault.FORBIDDEN_RETRY: [("x-should-retry", "false")],
    Fault.DEMANDED_RETRY: [("x-should-retry", "true")],
}
PAGES = {
    Fault.HTTP_502: (502, b"502 Bad Gateway"),
    Fault.HTTP_504: (504, b"504 Gateway Time-out"),
    Fault.HTTP_524: (524, b"524: A timeout occurred"),
    Fault.HTML: (200, b"Log in"),
}


class Occasion(msgspec.Struct, frozen=True):
    """What a fault's reply may speak of. wall: seconds since 1970. target: path and query of the request. model: the one it asks for."""

    config: SimulateConfig
    wall: float
    target: str = "/"
    model: str = ""


def faulty(fault: Fault, right: Reply, occasion: Occasion) -> Reply:
    """What a fault makes of a right reply; the same reply if the fault is one of the wire."""
    config = occasion.config
    waits = wait_headers(config.limits.retry_after, config.retry_after_seconds, occasion.wall)
    if fault in ERRORS:
        status, kind, code, message = ERRORS[fault]
        reply = error_reply(status, kind, message, code)
        asked = waits if fault in ASK_TO_WAIT else []
        return msgspec.structs.replace(reply, headers=[*reply.headers, *RETRY_HEADERS.get(fault, []), *asked])
    if fault in TABLES:
        return in_words_of(config.vendor, fault, occasion.model)
    if fault in PAGES:
        status, title = PAGES[fault]
        return Reply(status, [("content-type", "text/html")], HTML % (title, title))
    if fault in MOVED:
        path, question, query = occasion.target.partition("?")
        return Reply(MOVED[fault], [("location", f"{path}/{question}{query}")], b"")
    if fault is Fault.HTTP_429:
        return throttled(config.limits, "requests", config.retry_after_seconds, [], occasion.wall)
    if fault is Fault.ESTIMATED_503:
        loading = {"error": f"Model {occasion.model} is currently loading", "estimated_time": config.retry_after_seconds}
        return json_reply(503, loading)
    return SPOILT[fault](right) if fault in SPOILT else right
