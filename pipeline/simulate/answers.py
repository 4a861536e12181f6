"""Right answers, made from the request alone: a result that was given to the wrong row is always visible. Pure.

Nothing in an answer depends on time, order or the attempt, so two runs over one input write the same output.
Source: OpenAI API reference (chat, completions, embeddings, models).
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping, Sequence
from hashlib import sha256
from math import sqrt
from random import Random
from typing import Any

import msgspec

JSON = Mapping[str, Any]

SHOWN_CHARACTERS = 200
DIMENSIONS = 8
MAX_DIMENSIONS = 4096
MAX_CHOICES = 128
MAX_TOKENS = 10_000_000
PATH = re.compile(r"(?:/openai)?/(?:v1|deployments/(?P<deployment>[^/]+))/(?P<endpoint>chat/completions|completions|embeddings|models)/?")


class BadRequest(ValueError):  # noqa: N818  the name of the answer it becomes
    """A request that gets a 400. param: the key that is wrong."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class Call(msgspec.Struct, frozen=True):
    """A request that was understood.

    endpoint: "chat/completions", "completions" or "embeddings". prompts: what is answered, one by one; a chat has one, all
    its messages. shown: the text of the last message or prompt. max_tokens: what the request reserves; 0 where it says nothing.
    choices: answers to each prompt. dimensions, packed: of embeddings; packed is base64, what the openai SDK asks for by itself.
    """

    endpoint: str
    model: str
    prompts: Sequence[str]
    shown: str
    max_tokens: int = 0
    choices: int = 1
    dimensions: int = DIMENSIONS
    packed: bool = False

    @property
    def prompt_tokens(self) -> int:
        """The tokens of all prompts."""
        return sum(map(tokens_of, self.prompts))

    @property
    def charge(self) -> int:
        """What the tokens limit is charged when the request arrives.

        Source: OpenAI, "Rate limits": the larger of max_tokens and an estimate from the characters.
        """
        return max(self.max_tokens, self.prompt_tokens)


def tokens_of(text: str) -> int:
    """A count of tokens: four characters each, at least one."""
    return max(1, (len(text) + 3) // 4)


def parse_call(endpoint: str, deployment: str | None, body: bytes) -> Call:
    """Understand a request. Raises: BadRequest."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(decoded, dict):
        raise BadRequest("The body must be a JSON object")
    model = decoded.get("model", deployment)
    if not isinstance(model, str) or not model:
        raise BadRequest("you must provide a model parameter", "model")
    if decoded.get("stream"):
        raise BadRequest("streaming is not simulated", "stream")
    prompts, shown = _prompts(endpoint, decoded)
    return Call(
        endpoint,
        model,
        prompts,
        shown,
        max_tokens=max(_whole(decoded, key, 0, MAX_TOKENS) for key in ("max_tokens", "max_completion_tokens")),
        choices=_whole(decoded, "n", 1, MAX_CHOICES),
        dimensions=_whole(decoded, "dimensions", DIMENSIONS, MAX_DIMENSIONS),
        packed=decoded.get("encoding_format") == "base64",
    )


def _prompts(endpoint: str, body: JSON) -> tuple[list[str], str]:
    if endpoint == "chat/completions":
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            raise BadRequest("messages must be a list with at least one message", "messages")
        texts = [_message_text(message) for message in messages]
        return ["\n".join(texts)], texts[-1]
    key = "prompt" if endpoint == "completions" else "input"
    texts = _texts(body.get(key), key)
    return texts, texts[-1]


def _message_text(message: object) -> str:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest("each message must be an object with a role", "messages")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequest("content must be a text or a list of parts", "messages")
    return "".join(part.get("text") or "" for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _texts(value: object, key: str) -> list[str]:
    """The texts of a text, a list of tokens, or a list of either."""
    alone = _text(value)
    found = [_text(item) for item in value] if alone is None and isinstance(value, list) else [alone]
    texts = [text for text in found if text is not None]
    if not texts or len(texts) != len(found):
        raise BadRequest(f"{key} must be a text, a list of texts, or tokens, and not empty", key)
    return texts


def _text(value: object) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, list) and value and all(isinstance(token, int) for token in value):
        return " ".join(map(str, value))
    return None


def _whole(body: JSON, key: str, default: int, most: int) -> int:
    value = body.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise BadRequest(f"{key} must be a whole number between 1 and {most}, got {value!r}", key)
    return value


def echo(prompt: str, shown: str, characters: int = 0) -> str:
    """The content of an answer: a digest of the whole prompt, and the start of the last message; repeated to fill `characters`."""
    text = f"echo {sha256(prompt.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}: {shown[:SHOWN_CHARACTERS]}"
    if len(text) >= characters:
        return text
    return ((text + " ") * (characters // (len(text) + 1) + 1))[:characters]


def expected_answer(body: JSON | bytes, characters: int = 0) -> str:
    """The content that a right answer to this chat or completions body carries (in its first choice).

    characters: the provider's `answer_characters`. Raises: BadRequest for a body that would get a 400.
    """
    decoded = msgspec.json.decode(body) if isinstance(body, bytes) else body
    prompts, shown = _prompts("chat/completions" if "messages" in decoded else "completions", decoded)
    return echo(prompts[0], shown if len(prompts) == 1 else prompts[0], characters)


def answer(call: Call, digest: bytes, characters: int) -> tuple[dict[str, Any], int]:
    """The answer's JSON and how many tokens it has. digest: of the request's body."""
    if call.endpoint == "embeddings":
        return _embeddings(call), 0
    chat = call.endpoint == "chat/completions"
    contents = [echo(prompt, call.shown if chat else prompt, characters) for prompt in call.prompts for _ in range(call.choices)]
    output_tokens = sum(map(tokens_of, contents))
    return {
        "id": ("chatcmpl-" if chat else "cmpl-") + digest.hex()[:24],
        "object": "chat.completion" if chat else "text_completion",
        "created": 1_700_000_000 + int.from_bytes(digest[:3]),
        "model": call.model,
        "choices": [_choice(index, content, chat=chat) for index, content in enumerate(contents)],
        "usage": {
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": call.prompt_tokens + output_tokens,
        },
    }, output_tokens


def _choice(index: int, content: str, *, chat: bool) -> dict[str, Any]:
    said = {"message": {"role": "assistant", "content": content}} if chat else {"text": content}
    return {"index": index, **said, "logprobs": None, "finish_reason": "stop"}


def _embeddings(call: Call) -> dict[str, Any]:
    vectors = [expected_vector(prompt, call.dimensions) for prompt in call.prompts]
    return {
        "object": "list",
        "model": call.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": _base64(vector) if call.packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": call.prompt_tokens, "total_tokens": call.prompt_tokens},
    }


def expected_vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The embedding of a text: a unit vector, rounded to six digits."""
    random = Random(sha256(text.encode("utf-8", "surrogatepass")).digest())  # noqa: S311  it must be the same every time
    vector = [random.uniform(-1, 1) for _ in range(dimensions)]
    length = sqrt(sum(value * value for value in vector)) or 1.0
    return [round(value / length, 6) for value in vector]


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
