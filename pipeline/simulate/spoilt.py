"""What a fault makes of the body of a right reply: bodies that are not answers, and odd ones that are. Pure: a reply in, a reply out."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.simulate.faults import Fault
from pipeline.simulate.reply import Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

GZIPPED = ("content-encoding", "gzip")
COMMENTS = b": OPENROUTER PROCESSING\n\n" * 3
BLANKS = b"\n" * 2048
ANSWER_KEYS = ("choices", "content", "output", "candidates", "message", "response", "data", "results", "embedding", "embeddings")
FAILURE = {"code": "server_error", "message": "The server had an error while processing your request"}
EMPTY_ERROR = {"message": "", "type": "", "param": None, "code": None}


def _without_answer(body: dict[str, Any], instead: object, **more: Any) -> dict[str, Any]:
    """A body with something else where its answer stood."""
    return {**body, **dict.fromkeys((key for key in ANSWER_KEYS if key in body), instead), **more}


def _with_failed_choice(body: dict[str, Any]) -> dict[str, Any]:
    """OpenRouter's error inside a choice; in a shape without choices an error beside an empty answer."""
    if "choices" not in body:
        return _without_answer(body, [], error=FAILURE)
    said = {"message": {"role": "assistant", "content": ""}} if body["object"] == "chat.completion" else {"text": ""}
    choice = {"index": 0, **said, "finish_reason": "error", "error": {"code": 502, "message": "Upstream error"}}
    return {**body, "choices": [choice]}


def _in_floats(value: object) -> object:
    if isinstance(value, dict):
        return {key: _in_floats(inner) for key, inner in value.items()}
    return float(value) if isinstance(value, int) else value


def _with_float_usage(body: dict[str, Any]) -> dict[str, Any]:
    return {key: _in_floats(value) if key in {"usage", "usageMetadata"} else value for key, value in body.items()}


def _remade(remake: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Reply], Reply]:
    """The same reply with another JSON."""
    return lambda right: msgspec.structs.replace(right, body=msgspec.json.encode(remake(msgspec.json.decode(right.body))))


SPOILT: dict[Fault, Callable[[Reply], Reply]] = {
    Fault.PLAIN_500: lambda _: Reply(500, [("content-type", "text/plain")], b"Internal Server Error"),
    Fault.LOADING_503: lambda _: json_reply(503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
    Fault.STRING_ERROR_401: lambda _: json_reply(401, {"error": "Unauthorized"}),
    Fault.REDIRECT_307: lambda _: Reply(307, [("location", "http://127.0.0.1:9/elsewhere")], b""),
    Fault.BROKEN_JSON: lambda right: msgspec.structs.replace(right, body=right.body[:-1]),
    Fault.BAD_UTF8: lambda right: msgspec.structs.replace(right, body=right.body.replace(b'":"', b'":"\xff', 1)),
    Fault.EMPTY_200: lambda right: msgspec.structs.replace(right, body=b""),
    Fault.BAD_GZIP: lambda right: msgspec.structs.replace(right, headers=[*right.headers, GZIPPED]),
    Fault.GZIP: lambda right: msgspec.structs.replace(right, headers=[*right.headers, GZIPPED], body=gzip.compress(right.body, mtime=0)),
    Fault.EMPTY_OBJECT: _remade(lambda _: {}),
    Fault.CHOICES_NULL: _remade(lambda body: _without_answer(body, None)),
    Fault.CHOICES_EMPTY: _remade(lambda body: _without_answer(body, [])),
    Fault.CHOICE_ERROR: _remade(_with_failed_choice),
    Fault.STATUS_FAILED: _remade(lambda body: _without_answer(body, [], status="failed", error=FAILURE)),
    Fault.BASE_RESP: _remade(lambda body: _without_answer(body, None, base_resp={"status_code": 1002, "status_msg": "rate limit"})),
    Fault.OBJECT_ERROR: _remade(
        lambda _: {"object": "error", "message": "Internal Server Error", "type": "InternalServerError", "code": 500}
    ),
    Fault.EMPTY_ERROR: _remade(lambda body: {**body, "error": EMPTY_ERROR}),
    Fault.FLOAT_USAGE: _remade(_with_float_usage),
    Fault.COMMENTS_BEFORE: lambda right: msgspec.structs.replace(right, body=COMMENTS + right.body),
    Fault.BLANKS_BEFORE: lambda right: msgspec.structs.replace(right, body=BLANKS + right.body),
    Fault.DONE_BEHIND: lambda right: msgspec.structs.replace(right, body=right.body + b"\n\ndata: [DONE]\n\n"),
    Fault.PRETTY: lambda right: msgspec.structs.replace(right, body=msgspec.json.format(right.body, indent=2) + b"\n"),
}
