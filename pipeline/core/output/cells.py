"""Results as rows of a table, for people who look at them in a spreadsheet. Pure.

Source for what a spreadsheet takes for a formula: OWASP, "CSV Injection".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pipeline.core.answers.parts import NULL
from pipeline.core.answers.shapes import read_reply
from pipeline.core.output.lines import read_line

if TYPE_CHECKING:
    from pipeline.core.output.written import Written

COLUMNS = ("index", "custom_id", "status", "content", "status_code", "error_code", "error_message", "prompt_tokens", "output_tokens")
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms of the first

Cell = str | int

_decode_any = msgspec.json.Decoder().decode


def cells_of(line: bytes, *, neutralise: bool = False) -> list[Cell] | None:
    """An output line of either shape as the cells of `COLUMNS`, "" where there is nothing; None if it is no such line.

    Content that is no text is given as JSON. neutralise: no cell of text is left that a spreadsheet would take for a formula.
    """
    told = read_line(line)
    if told is None:
        return None
    cells = _cells(told)
    return [neutralised(cell) if isinstance(cell, str) else cell for cell in cells] if neutralise else cells


def neutralised(text: str) -> str:
    """Text that a spreadsheet shows and does not work out: an apostrophe goes before what begins like a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def _cells(told: Written) -> list[Cell]:
    return [
        told.index,
        told.custom_id,
        "success" if told.succeeded else "error",
        _text(_content(told)) if told.succeeded else "",
        "" if told.status_code is None else told.status_code,
        told.code or "",
        told.message or "",
        told.usage.prompt_tokens,
        told.usage.output_tokens,
    ]


def _content(told: Written) -> msgspec.Raw:
    return told.content if told.reply is NULL else read_reply(bytes(told.reply)).content


def _text(content: msgspec.Raw) -> str:
    value = _decode_any(content)
    return value if isinstance(value, str) else "" if value is None else bytes(content).decode()
