"""What looks like a credential in a config, where none may stand: in headers, in the query of a URL, in a request body.

These are guesses about names and texts. A message never shows the text. What only looks like a credential by its name
(`Idempotency-Key`, `prompt_cache_key`) is let through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.core.rows.templates import JSON

ELSEWHERE = "a key is never in a config; name the environment variable that holds it in provider.api_key_env"
IN_A_HEADER = f"{ELSEWHERE}, or write {{env: NAME}} here"
IN_A_URL = f"{ELSEWHERE}, and the header that carries it in provider.api_key_header (at Google, x-goog-api-key)"

_PREFIXES = "sk|pk|hf|gsk|xai|csk|tok|ghp|pplx|nvapi"
# `api_key`, `X-Api-Key` and `subscriptionKey`, and not `monkey`; `sig` is how Azure signs an address.
NAME = later(
    r"(^|[-_]|(?<=[a-z])(?=[A-Z]))"
    r"(?i:authorization|auth|api-?key|key|token|secret|password|passwd|pwd|cookie|credential|signature|sig|hmac|jwt|bearer)$"
)
NO_CREDENTIAL = later(r"(^|[-_])(idempotency|cache|routing|partition|shard|session|sort|row|primary|stop)[-_]?(key|token)$", re.IGNORECASE)
BODY_NAME = later(r"(x[-_])?(api[-_]?key|(access|auth|bearer)[-_]?token|(client|api)[-_]?secret|authorization|password)", re.IGNORECASE)
VALUE = later(rf"(\b(Bearer|Basic)\s+\S)|(\b({_PREFIXES})[-_][A-Za-z0-9_-]{{6,}})|(\bAIza[0-9A-Za-z_-]{{20,}})")
# A prompt may talk of keys, so in a body only a text that is nothing but a key counts.
_WHOLE = rf"((Bearer|Basic)\s+)?(({_PREFIXES})[-_][A-Za-z0-9_-]{{16,}}|AIza[0-9A-Za-z_-]{{30,}})"
WHOLE_VALUE = later(_WHOLE)
_SHOWN_NOWHERE = later(rf"{_WHOLE}|-----BEGIN.*", re.DOTALL)
SHORTEST = 19  # characters of what WHOLE_VALUE finds
_FUNCTION_KEY = later(r"[A-Za-z0-9_+/=-]{30,}")  # of an Azure function, in `code`
LOOKS_RANDOM = later(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9_]{24,}")
_FIELD = later(r"\{[^{}]+\}")


def in_header(name: str, text: str) -> bool:
    """Whether a header seems to hold a credential."""
    return _is_name(name) or VALUE.search(text) is not None


def in_query(url: str) -> bool:
    """Whether the query of a URL, or of a path, seems to hold a credential."""
    query = url.partition("?")[2].partition("#")[0]
    return any(
        _is_name(name)
        or VALUE.search(text)
        or LOOKS_RANDOM.fullmatch(text.rstrip("="))
        or (name.lower() == "code" and _FUNCTION_KEY.fullmatch(text))
        for name, text in parse_qsl(query)
    )


def is_key(text: str) -> bool:
    """Whether a text is nothing but a key, perhaps with a folder before it, as where a key was pasted in place of a path."""
    name = text.rpartition("/")[2].strip()
    return (len(name) >= SHORTEST and _SHOWN_NOWHERE.fullmatch(name) is not None) or "-----BEGIN" in name or text.startswith("-----BEGIN")


def hidden_in(text: str) -> str:
    """A message without what looks like a key in it."""
    return _SHOWN_NOWHERE.sub("***", text)


def in_body(body: Mapping[str, JSON], place: str = "") -> Iterator[str]:
    """The places in a request body that seem to hold a credential. A text that takes a field of the row is the row's own matter."""
    for name, value in body.items():
        here = f"{place}.{name}" if place else name
        if isinstance(value, str) and value and not _FIELD.fullmatch(value) and BODY_NAME.fullmatch(name):
            yield here
        else:
            yield from _in_value(value, here)


def _in_value(value: JSON, here: str) -> Iterator[str]:
    if isinstance(value, str):
        if WHOLE_VALUE.fullmatch(value.strip()):
            yield here
    elif isinstance(value, Mapping):
        yield from in_body(value, here)
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from _in_value(item, f"{here}[{index}]")


def _is_name(name: str) -> bool:
    return NAME.search(name) is not None and NO_CREDENTIAL.search(name) is None
