"""Streams as providers, servers and relays really send them, each with what it must come to and where the behaviour is from.

Written for these tests after public reports and references; nothing is copied from them.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class Says(NamedTuple):
    """What a row's result says. tokens: of prompt and output. message: of the first choice, as a whole."""

    content: Any
    finish: str | None = "stop"
    tokens: tuple[int, int] = (0, 0)
    message: dict[str, Any] | None = None
    body: dict[str, Any] | None = None


class Fails(NamedTuple):
    """Why a row has none. words: that stand in its message. scope: whom it concerns, if that is part of the case."""

    words: str
    scope: str | None = None
    retryable: bool = True


class Case(NamedTuple):
    """A stream. source: where the behaviour was met."""

    source: str
    body: bytes
    means: Says | Fails
    url: str = "/v1/chat/completions"


def sse(*events: Any) -> bytes:
    return b"".join(b"data: %b\n\n" % (each if isinstance(each, bytes) else json.dumps(each).encode()) for each in events)


def lines(*objects: Any) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in objects)


def chunk(delta: Any = None, finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def call(index: int | None, arguments: str | None, **names: Any) -> dict[str, Any]:
    function = {key: value for key, value in {"name": names.pop("name", None), "arguments": arguments}.items() if value is not None}
    return {**({} if index is None else {"index": index}), **names, "function": function}


def called(*pairs: tuple[str | None, str, str]) -> list[dict[str, Any]]:
    return [{**({"id": id_} if id_ else {}), "function": {"name": name, "arguments": said}} for id_, name, said in pairs]


DONE = b"[DONE]"
ROLE = chunk({"role": "assistant", "content": ""})
HEL, LO, STOP = chunk({"content": "Hel"}), chunk({"content": "lo"}), chunk({}, "stop")
HELLO = Says("Hello")
USED = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
COUNTED = Says("Hello", tokens=(3, 2))
CALLS_END = chunk({}, "tool_calls")
MESSAGES = "/v1/messages"
GEMINI = "/v1beta/models/g:streamGenerateContent"

START: dict[str, Any] = {
    "type": "message_start",
    "message": {
        "id": "m", "type": "message", "role": "assistant", "content": [], "stop_reason": None,
        "usage": {"input_tokens": 3, "output_tokens": 1},
    },
}  # fmt: skip


def text_block(*texts: str, begun: str = "", index: int = 0) -> list[dict[str, Any]]:
    deltas = [{"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}} for text in texts]
    begin = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": begun}}
    return [begin, *deltas, {"type": "content_block_stop", "index": index}]


def message_end(reason: str = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return [{"type": "message_delta", "delta": delta, "usage": {"output_tokens": 2, **usage}}, {"type": "message_stop"}]


def candidate(*parts: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    ends = {} if finish is None else {"finishReason": finish}
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **ends}], **more}


def tools(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [chunk({"tool_calls": [delta]}) for delta in deltas]


def says_calls(*pairs: tuple[str | None, str, str]) -> Says:
    calls = called(*pairs)
    return Says(json.dumps(calls, separators=(",", ":")), "tool_calls")


RESPONSE = {"id": "r", "object": "response", "status": "completed", "output": [], "usage": {"input_tokens": 3, "output_tokens": 2}}
BEGUN = {"type": "response.created", "response": {"id": "r", "object": "response", "status": "in_progress", "output": []}}
RESPONSES = "/v1/responses"
