"""What a request will cost in tokens, guessed from its bytes before it is sent; `usage` corrects it afterwards."""

from __future__ import annotations

import re

ASCII_BYTES_PER_TOKEN = 4  # OpenAI's rule of thumb, "What are tokens and how to count them?"; JSON's own marks are counted too
OTHER_BYTES_PER_TOKEN = 3  # a kana or ideograph takes 3 bytes and about one token; an accented letter takes 2 and rarely a whole one
MOST = 10**9  # of max_tokens and of n: more is a mistake, and a number of 400 digits would fit into no sum of costs
MEDIA_TOKENS = 1600  # an image in full detail: 85 + 8 * 170 at OpenAI, at most some 1,600 at Anthropic; its base64 would count as 350,000

_OTHER_BYTES = bytes(range(128, 256))
_MEDIA = re.compile(rb'"data:[a-zA-Z0-9.+/\\-]{1,100};base64,[A-Za-z0-9+/=\\]*"')


def estimate_tokens(body: bytes, max_tokens: int | None, choices: int = 1) -> int:
    r"""Tokens that one attempt may be charged: those of the body and of the longest answer it allows.

    body: encoded JSON, UTF-8 or escaped (a `\uXXXX` counts 1.5, on the safe side). max_tokens: None if the request
    does not bound its answer, which then counts nothing until it is known. choices: answers asked for (`n`).

    OpenAI charges max(max_tokens, characters / 4), Azure the sum of both; the sum is the safe one.
    """
    media = 0
    if b";base64," in body:
        body, media = _MEDIA.subn(b"", body)
    ascii_bytes = len(body) if body.isascii() else len(body.translate(None, _OTHER_BYTES))
    prompt = -(-ascii_bytes // ASCII_BYTES_PER_TOKEN) + -(-(len(body) - ascii_bytes) // OTHER_BYTES_PER_TOKEN)
    return prompt + media * MEDIA_TOKENS + min(max(0, max_tokens or 0), MOST) * min(max(1, choices), MOST)
