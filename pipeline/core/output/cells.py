"""Results as rows of a table, for people who look at them in a spreadsheet. Pure.

Source for what a spreadsheet takes for a formula: OWASP, "CSV Injection".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.parts import NULL
from pipeline.core.answers.shapes import read_written

if TYPE_CHECKING:
    from pipeline.core.output.written import Written

COLUMNS = ("index", "custom_id", "status", "content", "status_code", "error_code", "error_message", "prompt_tokens", "output_tokens")
NUMBERS = ("index", "status_code", "prompt_tokens", "output_tokens")  # of these; the others are text
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms of the first

_decode_any = msgspec.json.Decoder().decode


def values_of(told: Written) -> list[str | int | None]:
    """What a line says of its row, for each of `COLUMNS`. Content that is no text is given as JSON."""
    return [
        told.index,
        told.custom_id,
        "success" if told.succeeded else "error",
        _text(_content(told)) if told.succeeded else None,
        told.status_code,
        told.code,
        told.message,
        told.usage.prompt_tokens,
        told.usage.output_tokens,
    ]


def neutralised(text: str) -> str:
    """Text that a spreadsheet shows and does not work out: an apostrophe goes before what begins like a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def _content(told: Written) -> msgspec.Raw:
    return told.content if told.reply is NULL else read_written(bytes(told.reply)).content


def _text(content: msgspec.Raw) -> str | None:
    value = _decode_any(content)
    return value if value is None or isinstance(value, str) else bytes(content).decode()
