"""What must be known of a request's body before it is sent: what it may cost, and whether its answer comes as a stream."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.rows.estimate import MEDIA_TOKENS, answer_tokens, prompt_tokens
from pipeline.patterns import later

if TYPE_CHECKING:
    from pipeline.records import Job

# Google names the way of answering in the url. Ollama's own API streams unless the body says otherwise.
_STREAMING_URL = later(r"(?::stream(?:GenerateContent|RawPredict)|/api/chat|/api/generate|/generate_stream|/converse-stream)$")


class _Asked(msgspec.Struct, gc=False):
    """What bounds an answer's length, and whether it is asked for as a stream. A wrong type is for the provider to refuse."""

    max_completion_tokens: Any = None
    max_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    stream: Any = None
    generationConfig: Any = None  # noqa: N815  Gemini's name for it
    options: Any = None  # Ollama's
    model: Any = None


ASKED = frozenset(_Asked.__struct_fields__)
_decode_asked = msgspec.json.Decoder(_Asked).decode


def read_body(body: bytes, url: str, *, unread: bool = False) -> tuple[int, int, bool, str]:
    """What an attempt may cost in all, the part of it that is the longest answer, whether the answer is to come as a stream, the model.

    unread: nobody knows yet whether the body is JSON; then this raises msgspec.DecodeError or RecursionError where it is not.
    """
    try:
        asked = _decode_asked(body)
    except (msgspec.DecodeError, RecursionError):  # a number beyond all bounds: the provider will say so
        if unread:
            raise
        return prompt_tokens(body), 0, False, ""
    most, answers = asked.max_completion_tokens or asked.max_tokens or asked.max_output_tokens, asked.n
    if asked.generationConfig is None and asked.options is None:
        pass
    elif isinstance(asked.generationConfig, dict):
        most, answers = asked.generationConfig.get("maxOutputTokens"), asked.generationConfig.get("candidateCount")
    elif isinstance(asked.options, dict):
        most = most or asked.options.get("num_predict")
    output = answer_tokens(most if type(most) is int else None, answers if type(answers) is int else 1)
    streams = asked.stream is True or (asked.stream is None and streams_unasked(url))
    return prompt_tokens(body) + output, output, streams, asked.model if type(asked.model) is str else ""


def says_nothing_of_streams(body: bytes) -> bool:
    """Whether a body surely leaves it to the endpoint how it answers. A key may be written with escapes, hence the second look."""
    return b'"stream"' not in body and (b"\\" not in body or b"\\u00" not in body)


def counted(job: Job) -> Job:
    """The same job, with what it may cost and its model filled in if its maker left them out."""
    if not job.tokens:
        tokens, job.output_tokens, _, job.model = read_body(job.body, job.url)
        job.tokens = tokens + MEDIA_TOKENS * sum(file.conversion != "mime" for file in job.files)
    return job


@lru_cache(maxsize=64)
def streams_unasked(url: str) -> bool:
    """Whether an endpoint streams if the body says nothing of it."""
    return _STREAMING_URL.search(url.partition("?")[0].rstrip("/")) is not None
