"""What names a row, and that the fast way of reading names gives the names that the slow one does."""

from __future__ import annotations

import pytest

from pipeline.core.rows.formats import read_request, request_in
from pipeline.core.rows.ids import run_of
from pipeline.core.rows.names import leading_names


@pytest.mark.parametrize(
    "names, run",
    [
        (["r-7", "r-8", "r-9"], ("r-", 7)),
        (["7"], ("", 7)),
        (["r-7", "r-9"], ("r-", None)),
        (["r-7", "q-8"], ("r-", None)),
        (["r"], ("r", None)),
        (["r-07", "r-08"], ("r-0", 7)),
        (["r-09", "r-10"], ("r-0", None)),
        (["r-00", "r-01"], ("r-0", 0)),
        (["r-" + "1" * 19], ("r-", None)),
    ],
)
def test_run_is_told_by_names_that_count_on_by_one(names: list[str], run: tuple[str, int | None]) -> None:
    assert run_of(names) == run


@pytest.mark.parametrize(
    "text, names",
    [
        (b'{"custom_id": "a", "body": {}}\n{"custom_id":"b"}\n', ["a", "b"]),
        (b'{"body": 1}\n{"body": 2}\n', []),
        (b'{"custom_id": "a"}\n{"body": {}, "custom_id": "b"}\n', None),
        (b'{"custom_id": "a", "x": "custom_id"}\n', None),
        (b'{"\\u0063ustom_id": "a"}\n', None),
        (b'{"recordId": "a"}\n', None),
        (b'{"custom_id": "\xff"}\n', None),
        ('{"custom_id": "\u200e"}\n'.encode(), None),
    ],
)
def test_names_at_the_start_of_lines_are_read_without_decoding_or_not_at_all(text: bytes, names: list[str] | None) -> None:
    assert leading_names(text) == names


@pytest.mark.parametrize("body", ['"params": {"a": 1}', '"modelInput": {"a": 1}'])
def test_line_of_another_format_may_say_its_own_url(body: str) -> None:
    own = read_request(b'{"custom_id": "x", "url": "/v1/own", %b}' % body.encode())

    assert (own.url, own.custom_id, own.body) == ("/v1/own", "x", b'{"a": 1}')


def test_body_in_a_field_goes_to_the_url_that_the_row_says() -> None:
    asked = [request_in(b'{"request": {"a": 1}, "key": "k"%b}' % more, "request") for more in (b', "url": "/v1/own"', b', "url": 7', b"")]

    assert [(one.url, one.custom_id) for one in asked] == [("/v1/own", "k"), (None, "k"), (None, "k")]
