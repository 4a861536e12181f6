"""Says for people why a row cannot become a job, by what was raised when it was read."""

from __future__ import annotations

import msgspec

from pipeline.core.rows.lines import not_utf8
from pipeline.patterns import later

_half_of_a_pair = later(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)


_no_number = later(rb"[:\[,]\s*(NaN|-?Infinity)\s*[,}\]]")  # as Python's json writes them


def explained(error: Exception, data: object, *, has_template: bool) -> str:
    """What is wrong with a row. data: of the row. has_template: requests are made of rows that are none."""
    if isinstance(error, RecursionError):
        return "is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return not_utf8(error)
    if isinstance(error, UnicodeEncodeError):
        return "holds half of a surrogate pair, which cannot be sent"
    if isinstance(error, msgspec.ValidationError):
        return _of_another_form(str(error), has_template=has_template)
    half = _half_of_a_pair.search(data) if isinstance(data, bytes) and isinstance(error, msgspec.DecodeError) else None
    if half is not None:
        return f"is not JSON: it holds half of a surrogate pair ({half[0].decode()}), as text has that was cut within an emoji"
    if not isinstance(error, msgspec.DecodeError):
        return str(error)
    number = _no_number.search(data) if isinstance(data, bytes) else None
    return f"is not JSON: {error}" + (f"; it holds {number[1].decode()}, for which JSON has null" if number is not None else "")


def _of_another_form(told: str, *, has_template: bool) -> str:
    """The same for JSON that is not of the form that it should have."""
    what, _, place = told.partition(" - at ")
    if "out of range" in what:
        return "holds a number that is out of range" + (f", at {place}" if place not in ("", "`$[...]`") else "")
    if place == "`$.custom_id`":
        return f"custom_id must be text or a whole number ({what})"
    hint = "" if has_template else "; request.body in the config makes requests of other rows"
    return f"is not an OpenAI Batch line: {told}{hint}"
