"""Reads the error body of any provider. The only place that knows how their errors look; it decides nothing and never raises.

Source: references of OpenAI, Azure, Anthropic, Google, AWS Bedrock, DashScope, MiniMax, Baidu, Hugging Face, Cloudflare;
vLLM, FastAPI and LiteLLM for what servers and relays send.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.answers.parts import object_of

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE_KEYS = ("code", "type", "status", "error_code", "error_type", "__type", "reason", "rate_limit_type", "limit_type", "quotaId")
SHOWN_KEYS = ("code", "type", "error_code", "error_type", "__type", "status")  # the first that is there is shown to people
MESSAGE_KEYS = ("message", "detail", "msg", "error_msg", "status_msg", "error_description", "error")
WAIT_KEYS = ("retryDelay", "estimated_time", "retry_after")  # Google's RetryInfo; Hugging Face while a model loads; relays
INNER_KEYS = ("error", "errors", "detail", "details", "innererror", "base_resp", "violations", "metadata")
ERROR_MARKS = frozenset({"code", "type", "status", "param", "error_type", "request_id"})  # that stand beside the message of an error
MAX_LAYERS = 32  # objects of one body that are looked at; real bodies have fewer than 10

MESSAGE_CHARACTERS = 100_000  # of a message; it is copied several times on its way to the output
LARGE_PART_BYTES, LARGE_PART_DEPTH = 250_000, 4  # a real error body has some kB, and its code three objects deep at most

_decode = msgspec.json.Decoder().decode
_EMPTY: tuple[Any, ...] = (None, "", 0, "0", False, [], {})


_EMPTY_TEXTS = frozenset({b"null", b"false", b"{}", b'""', b"[]"})


class ErrorBody(msgspec.Struct, frozen=True):
    """What an error body says.

    code: the one to show, as written. codes: every code, type, status and reason in it, in lower case; a number under a
    provider's own key has the key before it (`base_resp:1002`, `error_code:18`). waits: texts that name a wait.
    """

    code: str | None = None
    message: str | None = None
    codes: frozenset[str] = frozenset()
    waits: tuple[str, ...] = ()


NO_ERROR = ErrorBody()


def read_error(body: bytes | None) -> ErrorBody:
    """What a body says of an error; nothing if it is not JSON."""
    if body is None:
        return NO_ERROR
    try:
        return error_in(_small_parts(body))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return NO_ERROR


def _small_parts(text: bytes | msgspec.Raw, depth: int = 0) -> Any:
    """A JSON value without its large parts, which say nothing of an error and would take 25 times their bytes as objects."""
    size = len(memoryview(text))
    if size <= LARGE_PART_BYTES:
        return _decode(text)
    if depth == LARGE_PART_DEPTH or memoryview(text)[0] != 0x7B:
        return None
    parts = object_of(text)
    told = [key for key, value in parts.items() if key in INNER_KEYS or len(memoryview(value)) <= LARGE_PART_BYTES]
    return {key: _small_parts(parts[key], depth + 1) for key in told}


def error_in(value: Any) -> ErrorBody:
    """The same of a value that is decoded already."""
    if isinstance(value, str):
        return ErrorBody(message=value[:MESSAGE_CHARACTERS] or None)
    layers = list(_layers(value))
    codes = frozenset(code for name, layer in layers for code in _codes(name, layer))
    waits = tuple(str(layer[key]) for _, layer in layers for key in WAIT_KEYS if isinstance(layer.get(key), str | int | float))
    inside_out = [layer for _, layer in sorted(layers, key=lambda pair: pair[0] not in ("error", "base_resp"))]
    return ErrorBody(_shown(inside_out), _message(inside_out), codes, waits)


def says_nothing(error: msgspec.Raw) -> bool:
    """`is_empty_error` of a value that is still JSON."""
    text = bytes(error)
    if len(text) > LARGE_PART_BYTES:
        return False
    try:
        return text in _EMPTY_TEXTS or is_empty_error(_decode(text))
    except msgspec.DecodeError:  # a number that is out of range
        return False


def is_empty_error(error: Any) -> bool:
    """Whether an `error` beside an answer says that nothing went wrong: `{"message": "", "code": null}`, `{"code": 0}`."""
    if isinstance(error, dict):
        return all(is_empty_error(value) for value in error.values())
    return error in _EMPTY


def tells_error(value: Any) -> bool:
    """Whether an event of a stream, which holds no part of an answer, says that something went wrong."""
    if not isinstance(value, dict):
        return False
    if (
        not is_empty_error(value.get("error"))
        or not is_empty_error(value.get("errors"))
        or "error" in (value.get("object"), value.get("type"))
    ):
        return True
    base = value.get("base_resp")
    if (
        value.get("success") is False
        or value.get("error_code")
        or value.get("error_msg")
        or (isinstance(base, dict) and base.get("status_code"))
    ):
        return True
    if isinstance(value.get("detail"), str | list) and value["detail"]:  # FastAPI
        return True
    return isinstance(value.get("message"), str) and bool(value["message"]) and not value.keys().isdisjoint(ERROR_MARKS)


def _layers(value: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects in which codes and messages stand, outermost first, each with the key that it stood under."""
    waiting: list[tuple[str, Any]] = [("", value)]
    for _ in range(MAX_LAYERS):
        if not waiting:
            return
        name, layer = waiting.pop(0)
        if isinstance(layer, list):
            waiting[:0] = [(name, item) for item in layer[:MAX_LAYERS]]
        elif isinstance(layer, dict):
            yield name, layer
            waiting.extend((key, layer[key]) for key in INNER_KEYS if isinstance(layer.get(key), dict | list))


def _codes(name: str, layer: dict[str, Any]) -> Iterator[str]:
    for key in CODE_KEYS:
        value = layer.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool) and value != "":
            text = str(value).lower()
            yield f"error_code:{text}" if key == "error_code" and text.isdecimal() else text
    if name == "base_resp" and layer.get("status_code"):
        yield f"base_resp:{layer['status_code']}"


def _shown(layers: list[dict[str, Any]]) -> str | None:
    for layer in layers:
        for key in SHOWN_KEYS:
            value = layer.get(key)
            if isinstance(value, str | int) and value not in _EMPTY and value != "error":
                return str(value)
    return None


def _message(layers: list[dict[str, Any]]) -> str | None:
    for layer in layers:
        for key in MESSAGE_KEYS:
            value = layer.get(key)
            if isinstance(value, str) and value:
                return value[:MESSAGE_CHARACTERS]
        if said := _validation(layer.get("detail")):
            return said
    return None


def _validation(detail: Any) -> str | None:
    """FastAPI's list of what is wrong with a request: `[{"loc": ["body", "model"], "msg": "Field required"}]`."""
    if not isinstance(detail, list):
        return None
    problems = [item for item in detail if isinstance(item, dict) and isinstance(item.get("msg"), str)]
    told = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" if isinstance(item.get("loc"), list) else item["msg"] for item in problems)
    return "; ".join(told)[:MESSAGE_CHARACTERS] or None
