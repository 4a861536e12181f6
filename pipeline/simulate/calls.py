"""What a request asks for, in any of the shapes that providers take: paths and bodies become calls. Pure.

Source: API references of OpenAI (chat, completions, embeddings, responses, moderations), Anthropic (messages), Google (generateContent,
embedContent), Cohere (v2 chat, rerank) and Ollama (chat, generate, embed).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

JSON = Mapping[str, Any]

DIMENSIONS = 8
MAX_DIMENSIONS = 4096
MAX_CHOICES = 128
MAX_TOKENS = 10_000_000

# A base URL may end in /v1 though the shape's own path has none or another.
PATH = re.compile(
    r"(?:/openai)?/(?:v1|deployments/(?P<deployment>[^/]+))/"
    r"(?P<openai>chat/completions|completions|embeddings|models|responses|moderations|messages|rerank)/?"
    r"|(?:/v1)?/v1beta/models/(?P<model>[^/:]+):(?P<gemini>generateContent|streamGenerateContent|embedContent|batchEmbedContents)/?"
    r"|(?:/v1)?/v2/(?P<cohere>chat|rerank)/?"
    r"|(?:/v1)?/api/(?P<ollama>chat|generate|embed)/?"
)
EMBEDDINGS = frozenset({"embeddings", "embedContent", "batchEmbedContents", "api/embed"})
SCORED = frozenset({"rerank", "moderations"})
STREAMED = frozenset({"chat/completions", "completions", "responses", "messages", "generateContent", "api/chat", "api/generate"})


class BadRequest(ValueError):  # noqa: N818  the name of the answer it becomes
    """A request that gets a 400. param: the key that is wrong."""

    def __init__(self, message: str, param: str | None = None) -> None:
        self.param = param
        super().__init__(message)


class Call(msgspec.Struct, frozen=True):
    """A request that was understood.

    endpoint: OpenAI's path without the version, or "messages", "generateContent", "v2/chat", "api/chat" and so on. prompts: what is
    answered, one by one; a chat has one, all its messages. shown: the text of the last message or prompt. max_tokens: what the
    request reserves; 0 where it says nothing. choices: answers to each prompt. dimensions, packed: of embeddings; packed is base64,
    what the openai SDK asks for by itself. stream: the answer is to come in events. usage_asked: they are to end with the usage.
    as_list: Gemini's events are the elements of one JSON array.
    """

    endpoint: str
    model: str
    prompts: Sequence[str]
    shown: str
    max_tokens: int = 0
    choices: int = 1
    dimensions: int = DIMENSIONS
    packed: bool = False
    stream: bool = False
    usage_asked: bool = False
    as_list: bool = False

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


class Route(msgspec.Struct, frozen=True):
    """Where a path leads. model: the one that the path names. stream: the path itself asks for events."""

    endpoint: str
    model: str | None = None
    stream: bool = False


def route_of(path: str) -> Route | None:
    """The endpoint of a path, or None for one that is not simulated."""
    match = PATH.fullmatch(path)
    if match is None:
        return None
    if endpoint := match["openai"]:
        return Route(endpoint, match["deployment"])
    if endpoint := match["gemini"]:
        stream = endpoint == "streamGenerateContent"
        return Route("generateContent" if stream else endpoint, match["model"], stream)
    if endpoint := match["cohere"]:
        return Route("v2/chat" if endpoint == "chat" else endpoint)
    return Route(f"api/{match['ollama']}")


def tokens_of(text: str) -> int:
    """A count of tokens: four characters each, at least one."""
    return max(1, (len(text) + 3) // 4)


def parse_call(route: Route, body: bytes, query: str = "") -> Call:
    """Understand a request. query: of its target. Raises: BadRequest."""
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from None
    if not isinstance(decoded, dict):
        raise BadRequest("The body must be a JSON object")
    endpoint = route.endpoint
    model = decoded.get("model", route.model) if endpoint not in {"generateContent", "embedContent", "batchEmbedContents"} else route.model
    if endpoint == "moderations" and model is None:
        model = "omni-moderation-latest"
    if not isinstance(model, str) or not model:
        raise BadRequest("you must provide a model parameter", "model")
    prompts, shown = prompts_of(endpoint, decoded)
    stream = route.stream or decoded.get("stream", endpoint in {"api/chat", "api/generate"}) is True
    if stream and endpoint not in STREAMED:
        raise BadRequest(f"streaming of {endpoint} is not simulated", "stream")
    sizes = [decoded, *(inner for key in ("generationConfig", "options") if isinstance(inner := decoded.get(key), dict))]
    wanted = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "num_predict")
    options = decoded.get("stream_options")
    return Call(
        endpoint,
        model,
        prompts,
        shown,
        max_tokens=max(_whole(size, key, 0, MAX_TOKENS) for size in sizes for key in wanted),
        choices=max(_whole(size, key, 1, MAX_CHOICES) for size in sizes for key in ("n", "candidateCount")),
        dimensions=_whole(decoded, "dimensions", DIMENSIONS, MAX_DIMENSIONS),
        packed=decoded.get("encoding_format") == "base64",
        stream=stream,
        usage_asked=isinstance(options, dict) and options.get("include_usage") is True,
        as_list=route.stream and "alt=sse" not in query.split("&"),
    )


def prompts_of(endpoint: str, body: JSON) -> tuple[list[str], str]:
    """What a body asks to be answered, one by one, and the text that is shown of it. Raises: BadRequest."""
    match endpoint:
        case "chat/completions" | "messages" | "v2/chat" | "api/chat":
            texts = [*_system(body), *_messages(body.get("messages"), "messages")]
        case "responses":
            texts = _input(body)
        case "generateContent":
            texts = [*_system(body), *map(_parts, _objects(body.get("contents"), "contents"))]
        case "embedContent":
            texts = [_parts(body.get("content"))]
        case "batchEmbedContents":
            texts = [_parts(request.get("content")) for request in _objects(body.get("requests"), "requests")]
            return texts, texts[-1]
        case "rerank":
            query = _text(body.get("query"))
            if query is None:
                raise BadRequest("query must be a text and not empty", "query")
            texts = _texts(body.get("documents"), "documents")
            return texts, query
        case _:
            key = "prompt" if endpoint in {"completions", "api/generate"} else "input"
            texts = _texts(body.get(key), key)
            return texts, texts[-1]
    return ["\n".join(texts)], texts[-1]


def _system(body: JSON) -> Iterator[str]:
    """Anthropic's `system` and Google's `systemInstruction`, which stand beside the messages."""
    if (system := body.get("system")) is not None:
        yield _content(system, "system")
    if (instruction := body.get("systemInstruction")) is not None:
        yield _parts(instruction)


def _input(body: JSON) -> list[str]:
    """The texts of a Responses request."""
    before = [_content(body["instructions"], "instructions")] if body.get("instructions") is not None else []
    items = body.get("input")
    if isinstance(items, str) and items:
        return [*before, items]
    return [*before, *_messages(items, "input")]


def _objects(value: object, key: str) -> list[JSON]:
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise BadRequest(f"{key} must be a list of objects with at least one", key)
    return value


def _messages(value: object, key: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise BadRequest(f"{key} must be a list with at least one message", key)
    return [_message_text(message, key) for message in value]


def _message_text(message: object, key: str) -> str:
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise BadRequest("each message must be an object with a role", key)
    return _content(message.get("content"), key)


def _content(content: object, key: str) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequest("content must be a text or a list of parts", key)
    return "".join(part.get("text") or "" for part in content if isinstance(part, dict) and isinstance(part.get("text"), str))


def _parts(content: object) -> str:
    """The text of one of Google's contents."""
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not parts:
        raise BadRequest("a content must have parts with at least one", "parts")
    return _content(parts, "parts")


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
    if isinstance(value, dict):
        return _text(value.get("text"))
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
