"""What an outcome says, as Python values: for people who use the library."""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.shapes import read_reply
from pipeline.records import Outcome, Success


def content_of(outcome: Outcome) -> Any:
    """The answer's text or what stands for it (a vector, scores …); None for a failure, and where the reply has no content."""
    if not isinstance(outcome, Success):
        return None
    return msgspec.json.decode(read_reply(outcome.body).content)


def reply_of(outcome: Outcome) -> Any:
    """The whole reply as the provider sent it, decoded; None where there was none."""
    return None if outcome.body is None else msgspec.json.decode(outcome.body)
