"""What a request will cost in tokens, guessed from its bytes before it is sent; `usage` corrects it afterwards.

The guess is right for English text and wrong by up to 2 for other scripts and for digits. How wrong it is for the rows of one
run with one model hardly changes from row to row, so that one learned factor corrects it (`Calibration`).
"""

from __future__ import annotations

import re
from math import exp

from msgspec import Struct

ASCII_BYTES_PER_TOKEN = 4  # OpenAI's rule of thumb, "What are tokens and how to count them?"; JSON's own marks are counted too
OTHER_BYTES_PER_TOKEN = 3  # a kana or ideograph takes 3 bytes and about one token; an accented letter takes 2 and rarely a whole one
MOST = 10**9  # of max_tokens and of n: more is a mistake, and a number of 400 digits would fit into no sum of costs
MEDIA_TOKENS = 1600  # an image in full detail: 85 + 8 * 170 at OpenAI, at most some 1,600 at Anthropic; its base64 would count as 350,000
# Base64 is distinguished from text by its length alone: no text has this many characters without a blank. A shorter one counts as text,
# and so as fewer tokens than media do.
SAMPLE, LETTERS = 64, 4  # a run of one letter or two is a text that somebody made up; so many letters are looked at, so many must differ
MEDIA_BYTES = MEDIA_TOKENS * ASCII_BYTES_PER_TOKEN

_OTHER_BYTES = bytes(range(128, 256))
_DATA_URL, _CODED = b'"data:', b";base64,"
FEW = 64  # semicolons that are looked at one by one: a text of code has thousands
MOST_TYPE = 200  # characters of a media type with its parameters
STRIDE = MEDIA_BYTES - SAMPLE  # between two samples
_BASE64 = re.compile(rb"[A-Za-z0-9+/=_\\-]{%d}" % SAMPLE).match  # in whatever field: audio, images, files of any provider


def estimate_tokens(body: bytes, max_tokens: int | None, choices: int = 1) -> int:
    r"""Tokens that one attempt may be charged: those of the body and of the longest answer it allows.

    body: encoded JSON, UTF-8 or escaped (a `\uXXXX` counts 1.5, on the safe side). max_tokens: None if the request
    does not bound its answer, which then counts nothing until it is known. choices: answers asked for (`n`).

    OpenAI charges max(max_tokens, characters / 4), Azure the sum of both; the sum is the safe one.
    """
    return prompt_tokens(body) + answer_tokens(max_tokens, choices)


def prompt_tokens(body: bytes) -> int:
    """Tokens of a request's body alone."""
    media = more = 0
    if (coded := _next_coded(body, 0)) >= 0:
        body, media = _without_data_urls(body, coded)
    if len(body) > MEDIA_BYTES:
        body, more = _without_base64(body)
    pieces = (media + more) * MEDIA_TOKENS
    if body.isascii():
        return -(-len(body) // ASCII_BYTES_PER_TOKEN) + pieces
    ascii_bytes = len(body.translate(None, _OTHER_BYTES))
    return -(-ascii_bytes // ASCII_BYTES_PER_TOKEN) + -(-(len(body) - ascii_bytes) // OTHER_BYTES_PER_TOKEN) + pieces


def answer_tokens(max_tokens: int | None, choices: int = 1) -> int:
    """Tokens of the longest answer that a request allows; 0 where it does not bound it."""
    if not max_tokens:
        return 0
    if choices == 1 and 0 < max_tokens <= MOST:
        return max_tokens
    return min(max(0, max_tokens), MOST) * min(max(1, choices), MOST)


def _without_data_urls(body: bytes, coded: int) -> tuple[bytes, int]:
    """A body without the texts that are data URLs, and how many there were. coded: where the first mark of base64 stands.

    By `find` alone, which passes over 1.5 MB of base64 in 30 µs; a regular expression that looks at each character takes 1 ms.
    """
    parts = []
    done = 0
    while coded >= 0:
        at = coded + len(_CODED)
        start = body.rfind(_DATA_URL, max(done, coded - MOST_TYPE - len(_DATA_URL)), coded)
        end = body.find(b'"', at) if start >= 0 else -1
        if end >= 0 and body.find(b'"', start + 1, coded) < 0 and body.find(b" ", start, end) < 0:  # else it speaks of such URLs
            parts.append(body[done:start])
            at = done = end + 1
        coded = _next_coded(body, at)
    return (b"".join([*parts, body[done:]]), len(parts)) if parts else (body, 0)


def _next_coded(body: bytes, at: int) -> int:
    """Where the next mark of base64 stands, -1 for nowhere. One byte that base64 does not have is looked for: ten times as fast."""
    for _ in range(FEW):
        at = body.find(b";", at)
        if at < 0 or body.startswith(_CODED, at):
            return at
        at += 1
    return body.find(_CODED, at)


def _without_base64(body: bytes) -> tuple[bytes, int]:
    """A body without the texts that are base64, and how many there were. A text of MEDIA_BYTES covers one of the samples as a whole."""
    parts = []
    done = seen = 0
    for at in range(STRIDE, len(body), STRIDE):
        if at < seen or not _is_base64(body, at):
            continue
        start, end = body.rfind(b'"', seen, at), body.find(b'"', at)
        if end < 0:
            break
        seen = end + 1
        if start >= 0 and end - start > MEDIA_BYTES and _is_all_base64(body, start + 1, end):
            parts.append(body[done:start])
            done = seen
    return (b"".join([*parts, body[done:]]), len(parts)) if parts else (body, 0)


def _is_base64(body: bytes, at: int) -> bool:
    """Whether the sample here may be base64. Text in which every character is escaped has the same letters."""
    return _BASE64(body, at) is not None and body.find(b"\\u", at, at + SAMPLE) < 0


def _is_all_base64(body: bytes, start: int, end: int) -> bool:
    """Whether a long text may be base64, by samples: to look at every byte of 1.5 MB takes 0.5 ms."""
    if len(set(body[start : start + SAMPLE])) < LETTERS or body.find(b" ", start, end) >= 0:
        return False
    return all(_is_base64(body, at) for at in (*range(start, end - SAMPLE, STRIDE), end - SAMPLE))


MIN_GAIN = 0.02  # of one answer: what was learned follows a change of the rows within some 50 answers
SHARE = 0.95  # of the requests that a reserve should cover
STEP = 0.05  # how far one answer moves the spread


class Calibration(Struct, gc=False):
    """How many tokens the prompts of one model really have for each that is estimated, learned from its answers.

    The factor is a ratio of two sums that forget alike, so that it is right for sums of tokens, which is what limits count:
    within 4 % in every language after 100 answers, where single rows are off by 20 %. The spread is how far above the factor
    a single row may lie: 95 % of the rows cost less than their reserve.
    """

    estimated: float = 0.0
    real: float = 0.0
    answers: int = 0
    spread: float = 1.0

    @property
    def factor(self) -> float:
        """Real tokens for one that is estimated; 1 until something is known."""
        return self.real / self.estimated if self.estimated > 0 else 1.0

    def learn(self, estimate: int, real: int) -> None:
        """Take an answer into account. estimate: of its prompt, as `estimate_tokens` gave it. real: as its usage says."""
        if estimate <= 0 or real <= 0:
            return
        if not self.answers:
            self.estimated = self.real = float(estimate)  # the guess counts as one answer
        self.answers += 1
        gain = max(MIN_GAIN, 1 / (self.answers + 1))
        covered = real <= self.reserve(estimate)
        self.spread = max(1.0, self.spread * exp((SHARE - 1 if covered else SHARE) * STEP))
        self.estimated += gain * (estimate - self.estimated)
        self.real += gain * (real - self.real)

    def expected(self, estimate: int) -> int:
        """Tokens that a prompt will probably have."""
        return round(estimate * self.factor)

    def reserve(self, estimate: int) -> int:
        """Tokens that a prompt will hardly exceed."""
        return round(estimate * self.factor * self.spread)
