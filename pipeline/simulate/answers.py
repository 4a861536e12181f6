"""Right answers, made from the request alone: a result that was given to the wrong row is always visible. Pure.

Nothing in an answer depends on time, order or the attempt, so two runs over one input write the same output.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping, Sequence
from enum import Enum
from hashlib import sha256
from math import sqrt
from random import Random
from typing import Any

import msgspec

from pipeline.simulate.calls import DIMENSIONS, EMBEDDINGS, SCORED, Call, prompts_of, tokens_of

JSON = Mapping[str, Any]

SHOWN_CHARACTERS = 200
REFUSAL = "I'm sorry, I can't help with that."


class Finish(Enum):
    """Why an answer ends; each shape has a word of its own for it."""

    STOP = "stop"
    LENGTH = "length"
    FILTERED = "filtered"
    REFUSED = "refused"  # the model declines


class Answered(msgspec.Struct, frozen=True):
    """An answer before it has a shape. contents: for each prompt as many as choices were asked for. digest: of the request's body."""

    call: Call
    digest: bytes
    contents: Sequence[str]
    output_tokens: int
    finish: Finish = Finish.STOP

    @property
    def created(self) -> int:
        """A time that is the same in every run."""
        return 1_700_000_000 + int.from_bytes(self.digest[:3])

    @property
    def name(self) -> str:
        """What distinguishes it from other answers."""
        return self.digest.hex()[:24]


def compose(call: Call, digest: bytes, characters: int) -> Answered:
    """The right answer. characters: a content is made at least this long."""
    if call.endpoint in EMBEDDINGS | SCORED:
        return Answered(call, digest, (), 0)
    alone = len(call.prompts) == 1
    contents = [echo(prompt, call.shown if alone else prompt, characters) for prompt in call.prompts for _ in range(call.choices)]
    return Answered(call, digest, contents, sum(map(tokens_of, contents)))


def echo(prompt: str, shown: str, characters: int = 0) -> str:
    """The content of an answer: a digest of the whole prompt, and the start of the last message; repeated to fill `characters`."""
    text = f"echo {sha256(prompt.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}: {shown[:SHOWN_CHARACTERS]}"
    if len(text) >= characters:
        return text
    return ((text + " ") * (characters // (len(text) + 1) + 1))[:characters]


def expected_answer(body: JSON | bytes, characters: int = 0) -> str:
    """The content that a right answer to this body carries (in its first choice), whatever the shape.

    characters: the provider's `answer_characters`. Raises: BadRequest for a body that would get a 400.
    """
    decoded = msgspec.json.decode(body) if isinstance(body, bytes) else body
    told_by = {"messages": "chat/completions", "contents": "generateContent", "input": "responses"}
    endpoint = next((endpoint for key, endpoint in told_by.items() if key in decoded), "completions")
    prompts, shown = prompts_of(endpoint, decoded)
    return echo(prompts[0], shown if len(prompts) == 1 else prompts[0], characters)


def expected_vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The embedding of a text: a unit vector, rounded to six digits."""
    random = Random(sha256(text.encode("utf-8", "surrogatepass")).digest())  # noqa: S311  it must be the same every time
    vector = [random.uniform(-1, 1) for _ in range(dimensions)]
    length = sqrt(sum(value * value for value in vector)) or 1.0
    return [round(value / length, 6) for value in vector]


def expected_score(query: str, document: str) -> float:
    """How well a document answers a query: a number between 0 and 1 that is the same every time."""
    return int.from_bytes(sha256(f"{query}\n{document}".encode("utf-8", "surrogatepass")).digest()[:2]) / 65_536


def packed(vector: Sequence[float]) -> str:
    """A vector as base64 of little-endian floats."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
