"""Results as rows of a table, for people who look at them in a spreadsheet. Pure.

Source for what a spreadsheet takes for a formula: OWASP, "CSV Injection".
"""

from __future__ import annotations

from typing import Any

import msgspec

from pipeline.core.answers.replies import NULL, read_error, read_reply
from pipeline.core.output.lines import read_line

COLUMNS = ("index", "custom_id", "status", "content", "status_code", "error_code", "error_message", "prompt_tokens", "output_tokens")
FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are the wide forms of the first

Cell = str | int


class _Error(msgspec.Struct, gc=False):
    code: Any = None
    message: Any = None


class _Answered(msgspec.Struct, gc=False):
    status_code: int
    body: msgspec.Raw


class _Line(msgspec.Struct, gc=False):
    """What either shape of an output line has."""

    error: _Error | None
    content: msgspec.Raw = NULL
    status_code: int | None = None
    response: _Answered | None = None


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_any = msgspec.json.Decoder().decode


def cells_of(line: bytes, *, neutralise: bool = False) -> list[Cell] | None:
    """An output line of either shape as the cells of `COLUMNS`, "" where there is nothing; None if it is no such line.

    Content that is no text is given as JSON. neutralise: no cell of text is left that a spreadsheet would take for a formula.
    """
    told = read_line(line)
    if told is None:
        return None
    read = _decode_line(line)
    content, status_code = read.content, read.status_code
    code, message = (read.error.code, read.error.message) if read.error else (None, None)
    if read.response is not None:
        content, status_code = read_reply(read.response.body)[0], read.response.status_code
        if not told.succeeded and read.error is None:
            code, message = read_error(read.response.body)
    cells: list[Cell] = [
        told.index,
        told.custom_id,
        "success" if told.succeeded else "error",
        _text(content) if told.succeeded else "",
        "" if status_code is None else status_code,
        _plain(code),
        _plain(message),
        told.usage.prompt_tokens,
        told.usage.output_tokens,
    ]
    return [neutralised(cell) if isinstance(cell, str) else cell for cell in cells] if neutralise else cells


def neutralised(text: str) -> str:
    """Text that a spreadsheet shows and does not work out: an apostrophe goes before what begins like a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def _text(content: msgspec.Raw) -> str:
    value = _decode_any(content)
    return value if isinstance(value, str) else "" if value is None else bytes(content).decode()


def _plain(value: object) -> str:
    return "" if value is None else str(value)
