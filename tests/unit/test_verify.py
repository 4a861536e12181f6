"""`verify`: an output that is right passes, and every way of being wrong is told."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.texts import verification_text
from pipeline.config import Config, Order, ProviderConfig, RequestConfig, Shape, SinkConfig, SourceConfig
from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.errors import InputError
from pipeline.inspect.verify import SHOWN, Verification, verify
from pipeline.records import NO_USAGE, Failure, FailureKind, Success

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.records import Outcome

COUNT = 8
BAD = 5  # a row of the input that is no JSON
Lines = list[bytes]


def outcome_of(index: int) -> Outcome:
    if index == BAD:
        return Failure(index, f"row-{index}", FailureKind.INVALID_ROW, "is no JSON")
    return Success(index, f"row-{index}", 200, None, b'{"choices":[]}', NO_USAGE, 1, 0.5)


def lines_of(shape: Shape) -> Lines:
    encode = encode_batch if shape is Shape.BATCH else encode_flat
    return [encode(outcome_of(index)) for index in range(COUNT)]


def verified(
    folder: Path, lines: Lines, shape: Shape = Shape.BATCH, order: Order = Order.INPUT, rows: list[str] | None = None
) -> Verification:
    good = ["{" if index == BAD else json.dumps({"prompt": str(index)}) for index in range(COUNT)]
    (folder / "in.jsonl").write_text("\n".join(good if rows is None else rows) + "\n")
    (folder / "out.jsonl").write_bytes(b"".join(lines))
    return verify(config_of(folder, shape, order))


def config_of(folder: Path, shape: Shape = Shape.BATCH, order: Order = Order.INPUT) -> Config:
    return Config(
        source=SourceConfig(path=str(folder / "in.jsonl")),
        request=RequestConfig(url="/v1/chat/completions", body={"model": "m", "prompt": "{prompt}"}),
        provider=ProviderConfig(base_url="http://127.0.0.1:9"),
        sink=SinkConfig(path=str(folder / "out.jsonl"), shape=shape, order=order),
    )


@pytest.mark.parametrize("shape", Shape)
def test_right_output_passes(tmp_path: Path, shape: Shape) -> None:
    found = verified(tmp_path, lines_of(shape), shape)

    digest = sha256(b"".join(lines_of(shape))).hexdigest()
    assert found == Verification(ok=True, rows=COUNT, lines=COUNT, counts={}, problems=(), digest=digest)
    assert "every one of 8 rows" in verification_text(found, "out")


@pytest.mark.parametrize("shape", Shape)
def test_order_of_completion_may_be_any(tmp_path: Path, shape: Shape) -> None:
    lines = lines_of(shape)[::-1]

    assert verified(tmp_path, lines, shape, Order.COMPLETION).ok
    assert verified(tmp_path, lines, shape).counts == {"out_of_order": COUNT - 1}


def without(lines: Lines) -> Lines:
    return lines[:2] + lines[4:]


def swapped(lines: Lines) -> Lines:
    return [lines[1], lines[0], *lines[2:]]


def doubled(lines: Lines) -> Lines:
    return [*lines[:3], lines[1], *lines[3:]]


def foreign(lines: Lines) -> Lines:
    return [*lines[:3], lines[3].replace(b"row-3", b"row-33"), *lines[4:]]


def torn(lines: Lines) -> Lines:
    return [*lines[:-1], lines[-1][:-9]]


def unended(lines: Lines) -> Lines:
    return [*lines[:-1], lines[-1][:-1]]


def blank(lines: Lines) -> Lines:
    return [*lines, b"\n"]


def no_text(lines: Lines) -> Lines:
    return [lines[0].replace(b"[]", b'["\xff"]'), *lines[1:]]


def other_keys(lines: Lines) -> Lines:
    return [lines[0].replace(b'"error"', b'"eror"'), *lines[1:]]


def nameless(lines: Lines) -> Lines:
    return [lines[0].replace(b'"row-0"', b"null"), *lines[1:]]


def bad_is_good(lines: Lines) -> Lines:
    return [*lines[:BAD], lines[0].replace(b"row-0", b"row-5"), *lines[BAD + 1 :]]


def good_is_bad(lines: Lines) -> Lines:
    return [lines[BAD].replace(b"row-5", b"row-0"), *lines[1:]]


def none(_: Lines) -> Lines:
    return []


@pytest.mark.parametrize(
    "spoil, counts, problem",
    [
        (without, {"missing": 2}, "rows 2 to 3 have no line"),
        (swapped, {"out_of_order": 1}, "line 2: row 0 ('row-0') comes after row 1"),
        (doubled, {"duplicate": 1}, "line 4: custom_id 'row-1' is there for the second time"),
        (foreign, {"foreign": 1, "missing": 1}, "line 4: custom_id 'row-33' is no row of the input"),
        (torn, {"malformed": 1, "missing": 1}, "line 8: is no JSON object: Input data was truncated"),
        (unended, {"malformed": 1}, "line 8: is torn: its line end is missing"),
        (blank, {"malformed": 1}, "line 9: is no JSON object: Input data was truncated"),
        (no_text, {"malformed": 1, "missing": 1}, "line 1: is no JSON object: 'utf-8' codec can't decode"),
        (other_keys, {"malformed": 1}, "line 1: is not of the shape batch: missing keys ['error'], foreign keys ['eror']"),
        (nameless, {"malformed": 1, "missing": 1}, "line 1: has no custom_id"),
        (bad_is_good, {"mismatched": 1}, "line 6: row 5 is bad in the input, but its line is no invalid_row"),
        (good_is_bad, {"mismatched": 1}, "line 1: row 0 is good in the input, but its line says invalid_row"),
        (none, {"missing": 8}, "rows 0 to 7 have no line"),
    ],
)
def test_wrong_output_is_told(tmp_path: Path, spoil: Callable[[Lines], Lines], counts: dict[str, int], problem: str) -> None:
    found = verified(tmp_path, spoil(lines_of(Shape.BATCH)))

    assert not found.ok
    assert found.counts == counts
    assert found.problems[0].startswith(problem)
    assert found.problems[0] in verification_text(found, "out")


def test_flat_line_names_its_own_row(tmp_path: Path) -> None:
    lines = lines_of(Shape.FLAT)
    lines[2] = lines[2].replace(b'"index":2', b'"index":3')

    assert verified(tmp_path, lines, Shape.FLAT).problems == ("line 3: says that it is row 3, but 'row-2' is row 2",)


def test_only_the_first_problems_are_told(tmp_path: Path) -> None:
    found = verified(tmp_path, [b"\n"] * 50)

    assert len(found.problems) == SHOWN + 1
    assert found.problems[-1] == f"and {50 - SHOWN + COUNT} more"


@pytest.mark.parametrize("order", Order)
def test_row_with_a_used_id_has_a_line_of_its_own(tmp_path: Path, order: Order) -> None:
    rows = [json.dumps({"prompt": "a", "custom_id": "x"}), json.dumps({"prompt": "b", "custom_id": "x"})]
    lines = [
        encode_batch(Success(0, "x", 200, None, b"{}", NO_USAGE, 1, 0.1)),
        encode_batch(Failure(1, "x", FailureKind.INVALID_ROW, "used")),
    ]

    assert verified(tmp_path, lines, order=order, rows=rows).ok
    assert verified(tmp_path, lines[:1], order=order, rows=rows).counts == {"missing": 1}


def test_output_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").touch()

    with pytest.raises(InputError, match="no output yet"):
        verify(config_of(tmp_path))


def test_stdin_cannot_be_verified(tmp_path: Path) -> None:
    config = Config(
        source=SourceConfig(path="-"),
        provider=ProviderConfig(base_url="http://127.0.0.1:9"),
        sink=SinkConfig(path=str(tmp_path / "out.jsonl")),
    )

    with pytest.raises(InputError, match="stdin"):
        verify(config)
