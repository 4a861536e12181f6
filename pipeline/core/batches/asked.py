"""What requests may say: the fields of a new batch, of a new file and of a list, with OpenAI's bounds and error codes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.batches.errors import ApiError, missing, wrong_type, wrong_value

if TYPE_CHECKING:
    from collections.abc import Mapping

# Whatever the pipeline can judge the answers of. The first ones are OpenAI's, the others vLLM's and Anthropic's.
ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/images/generations",
    "/v1/score",
    "/v1/rerank",
    "/v1/messages",
)
MOST_PAIRS, MOST_KEY, MOST_VALUE = 16, 64, 512  # of metadata
SHORTEST_LIFE, LONGEST_LIFE = 3600, 2_592_000  # seconds that a file may be told to live
MOST_BATCHES, MOST_FILES = 100, 10_000  # of one page
DEFAULT_BATCHES = 20
LONGEST_WINDOW = 10 * 365 * 86_400
MOST_NAME = 255  # characters of a file name or a purpose
_WINDOW = re.compile(r"([1-9][0-9]{0,6})([mhd])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400}


class NewBatch(msgspec.Struct, frozen=True):
    """A batch that is asked for. window_seconds: until it expires, if it ever does. output_seconds: how long its results are kept."""

    input_file_id: str
    endpoint: str
    completion_window: str
    window_seconds: int
    metadata: dict[str, str] | None
    output_seconds: int | None


class Paging(msgspec.Struct, frozen=True):
    """Which part of a list is asked for. after: the id before it."""

    limit: int
    after: str | None
    newest_first: bool = True


def json_object(data: bytes) -> dict[str, Any]:
    """The body of a request. Raises ApiError."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ApiError(400, "We could not parse the JSON body of your request.", code="invalid_json") from None
    if not isinstance(value, dict):
        raise wrong_type("body", "an object", value)
    return value


def new_batch(body: Mapping[str, Any]) -> NewBatch:
    """Read what a new batch is to be; keys that are not known are passed over. Raises ApiError."""
    input_file_id = _text(body, "input_file_id")
    endpoint = _text(body, "endpoint")
    window = _text(body, "completion_window")
    if endpoint not in ENDPOINTS:
        known = ", ".join(f"'{name}'" for name in ENDPOINTS)
        raise wrong_value("endpoint", f"Invalid value: '{endpoint[:100]}'. Supported values are: {known}.")
    return NewBatch(input_file_id, endpoint, window, _window_seconds(window), _metadata(body.get("metadata")), _output_life(body))


def file_life(anchor: str | None, seconds: str | None) -> int | None:
    """How long a file is kept, from the two form fields of an upload; None for ever. Raises ApiError."""
    if anchor is None and seconds is None:
        return None
    return _life("expires_after", anchor, int(seconds) if seconds is not None and seconds.isascii() and seconds.isdigit() else seconds)


def batches_page(query: Mapping[str, str]) -> Paging:
    """Which batches are asked for. Raises ApiError."""
    return Paging(_limit(query, DEFAULT_BATCHES, MOST_BATCHES), query.get("after") or None)


def files_page(query: Mapping[str, str]) -> Paging:
    """Which files are asked for. Raises ApiError."""
    order = query.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise wrong_value("order", f"Invalid value: '{order[:100]}'. Supported values are: 'asc' and 'desc'.")
    return Paging(_limit(query, MOST_FILES, MOST_FILES), query.get("after") or None, order == "desc")


def _limit(query: Mapping[str, str], default: int, most: int) -> int:
    text = query.get("limit") or str(default)
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise wrong_type("limit", "an integer", text)
    if not 1 <= int(text) <= most:
        code = "integer_below_min_value" if int(text) < 1 else "integer_above_max_value"
        raise ApiError(400, f"Invalid 'limit': must be from 1 to {most}, got {text}.", param="limit", code=code)
    return int(text)


def _text(body: Mapping[str, Any], name: str) -> str:
    value = body.get(name)
    if value is None:
        raise missing(name)
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    return value


def _window_seconds(window: str) -> int:
    found = _WINDOW.fullmatch(window)
    seconds = 0 if found is None else int(found[1]) * _SECONDS[found[2]]
    if not 0 < seconds <= LONGEST_WINDOW:
        raise wrong_value("completion_window", f"Invalid value: '{window[:100]}'. Use '24h', or a number with m, h or d, such as '3d'.")
    return seconds


def _metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type("metadata", "an object", value)
    if len(value) > MOST_PAIRS:
        raise ApiError(
            400,
            f"Invalid 'metadata': too many properties. Expected an object with at most {MOST_PAIRS} properties, but got {len(value)}.",
            param="metadata",
            code="object_above_max_properties",
        )
    for key, text in value.items():
        param = f"metadata.{key[:MOST_KEY]}"
        if len(key) > MOST_KEY:
            raise ApiError(
                400, f"Invalid 'metadata': a key is longer than {MOST_KEY} characters.", param=param, code="string_above_max_length"
            )
        if not isinstance(text, str):
            raise wrong_type(param, "a string", text)
        if len(text) > MOST_VALUE:
            raise ApiError(
                400,
                f"Invalid '{param}': string too long. The most is {MOST_VALUE} characters.",
                param=param,
                code="string_above_max_length",
            )
    return value


def _output_life(body: Mapping[str, Any]) -> int | None:
    value = body.get("output_expires_after")
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type("output_expires_after", "an object", value)
    return _life("output_expires_after", value.get("anchor"), value.get("seconds"))


def _life(param: str, anchor: object, seconds: object) -> int:
    if anchor is None:
        raise missing(f"{param}.anchor")
    if seconds is None:
        raise missing(f"{param}.seconds")
    if anchor != "created_at":
        raise wrong_value(f"{param}.anchor", f"Invalid value: '{str(anchor)[:100]}'. Supported values are: 'created_at'.")
    if not isinstance(seconds, int) or isinstance(seconds, bool):
        raise wrong_type(f"{param}.seconds", "an integer", seconds)
    if not SHORTEST_LIFE <= seconds <= LONGEST_LIFE:
        raise wrong_value(f"{param}.seconds", f"Invalid '{param}.seconds': must be from {SHORTEST_LIFE} to {LONGEST_LIFE}, got {seconds}.")
    return seconds
