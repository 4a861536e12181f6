"""Says for people why a row cannot become a job, by what was raised when it was read."""

from __future__ import annotations

import msgspec

from pipeline.core.rows.lines import not_utf8
from pipeline.patterns import later

_half_of_a_pair = later(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


def explained(error: Exception, data: object, *, has_template: bool) -> str:
    """What is wrong with a row. data: of the row. has_template: requests are made of rows that are none."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return not_utf8(error)
    if isinstance(error, UnicodeEncodeError):
        return "holds half of a surrogate pair, which cannot be sent"
    if isinstance(error, msgspec.ValidationError):
        hint = "" if has_template else "; request.body in the config makes requests of other rows"
        return f"is not an OpenAI Batch line: {error}{hint}"
    half = _half_of_a_pair.search(data) if isinstance(data, bytes) and isinstance(error, msgspec.DecodeError) else None
    if half is not None:
        return f"is not JSON: it holds half of a surrogate pair ({half[0].decode()}), as text has that was cut within an emoji"
    return f"is not JSON: {error}" if isinstance(error, msgspec.DecodeError) else str(error)
