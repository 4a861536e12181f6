"""A table of results says what the output says, and on demand holds nothing that a spreadsheet would work out."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.config import load_config
from pipeline.core.output.cells import COLUMNS, FORMULA_STARTS, neutralised, values_of
from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.core.output.read_lines import read_line
from pipeline.errors import InputError, OutputExistsError, UsageError
from pipeline.inspect.export import export
from pipeline.inspect.export_tables import as_cell
from pipeline.records import Failure, FailureKind, Outcome, Success, Usage

CONFIG = "{source: {path: in.jsonl}, provider: {simulate: {}}, sink: {path: out.jsonl}}"


def success(index: int, content: object) -> Success:
    body = msgspec.json.encode({"choices": [{"message": {"content": content}}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    return Success(index, f"row-{index}", 200, None, body, Usage(3, 4, 7), 1, 0.5)


OUTCOMES: list[tuple[Outcome, list[object]]] = [
    (success(0, 'Ja, "gern",\nsagte er'), [0, "row-0", "success", 'Ja, "gern",\nsagte er', 200, "", "", 3, 4]),
    (success(1, None), [1, "row-1", "success", "", 200, "", "", 3, 4]),
    (success(2, ["a", 1]), [2, "row-2", "success", '["a",1]', 200, "", "", 3, 4]),
    (Failure(3, "x", FailureKind.TIMEOUT, "=too late"), [3, "x", "error", "", "", "timeout", "=too late", 0, 0]),
    (
        Failure(4, "y", FailureKind.HTTP, "no", 400, None, b'{"error":{"code":"bad","message":"+1"}}', 1),
        [4, "y", "error", "", 400, "bad", "+1", 0, 0],
    ),
]


def cells_of(line: bytes) -> list[object]:
    told = read_line(line)
    assert told is not None
    return [as_cell(value) for value in values_of(told)]


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    (tmp_path / "c.yaml").write_text(CONFIG)
    return tmp_path / "c.yaml"


@pytest.mark.parametrize("encode", [encode_batch, encode_flat])
@pytest.mark.parametrize("outcome, cells", OUTCOMES)
def test_a_line_of_either_shape_is_the_same_row(encode: type, outcome: Outcome, cells: list[object]) -> None:
    assert cells_of(encode(outcome)) == cells
    assert len(cells) == len(COLUMNS)


@pytest.mark.parametrize("line", [b"", b"{}\n", b"not json\n", b'{"custom_id": "a"}\n', b"\xff\n"])
def test_what_is_no_result_is_no_row(line: bytes) -> None:
    assert read_line(line) is None


@given(st.text())
def test_neutralised_text_is_no_formula_and_plain_text_stays(text: str) -> None:
    safe = neutralised(text)

    assert not safe.lstrip(" ").startswith(FORMULA_STARTS)
    assert safe in (text, f"'{text}")
    assert (safe == text) or text.lstrip(" ").startswith(FORMULA_STARTS)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5), st.booleans())
def test_a_csv_reader_gets_every_row_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str], neutralise: bool) -> None:  # noqa: FBT001
    folder = tmp_path_factory.mktemp("export")
    (folder / "c.yaml").write_text(CONFIG)
    (folder / "out.jsonl").write_bytes(b"".join(encode_batch(success(index, text)) for index, text in enumerate(texts)))

    rows = export(load_config(str(folder / "c.yaml")), str(folder / "t.csv"), neutralise_formulas=neutralise)

    with (folder / "t.csv").open(encoding="utf-8", newline="") as file:
        header, *table = csv.reader(file)
    assert rows == len(texts)
    assert header == list(COLUMNS)
    assert [row[3] for row in table] == [neutralised(text) if neutralise else text for text in texts]
    assert (folder / "t.csv").stat().st_mode & 0o777 == 0o600


def test_an_export_overwrites_nothing_and_says_what_is_missing(config_path: Path) -> None:
    config, target = load_config(str(config_path)), config_path.with_name("t.csv")

    with pytest.raises(InputError, match="run the config first"):
        export(config, str(target))
    assert not target.exists()
    config_path.with_name("out.jsonl").write_bytes(encode_batch(success(0, "a")))
    with pytest.raises(UsageError, match="No such file"):
        export(config, str(config_path.parent / "nowhere" / "t.csv"))
    target.write_text("mine")
    with pytest.raises(OutputExistsError):
        export(config, str(target))
    assert target.read_text() == "mine"


@pytest.mark.parametrize("line, why", [(b"{}\n", "is not a line of results"), (b'{"id":"batch_req_0', "the line is cut off")])
def test_a_line_that_cannot_be_read_stops_the_export_and_leaves_nothing_behind(config_path: Path, line: bytes, why: str) -> None:
    config, target = load_config(str(config_path)), config_path.with_name("t.csv")
    config_path.with_name("out.jsonl").write_bytes(encode_batch(success(0, "a")) + line)

    with pytest.raises(InputError, match=f"out.jsonl, line 2: .*{why}"):
        export(config, str(target))

    assert not target.exists()


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": 10.0}, {"prompt_tokens": 10.5}, {"prompt_tokens": "10"}, {"prompt_tokens": 10**30}, [1], "many"]
)
@pytest.mark.parametrize("encode", [encode_batch, encode_flat])
def test_usage_of_any_shape_makes_no_line_unreadable(encode: type, usage: object) -> None:
    body = msgspec.json.encode({"choices": [{"message": {"content": "hi"}}], "usage": usage})

    cells = cells_of(encode(Success(0, "a", 200, None, body, Usage(), 1, 0.5)))

    assert cells[:4] == [0, "a", "success", "hi"]


@pytest.mark.parametrize("encode", [encode_batch, encode_flat])
def test_the_reason_of_a_failure_is_exported_whatever_the_shape(encode: type) -> None:
    page = Failure(0, "a", FailureKind.HTTP, "HTTP 502: '<html>busy'", 502, None, b'"<html>busy"', 1)
    rejected = Failure(1, "b", FailureKind.MALFORMED_RESPONSE, "HTTP 200 with no answer", 200, None, b'{"choices": null}', 1)

    assert [cells_of(encode(failure))[-3] for failure in (page, rejected)] == ["<html>busy", "HTTP 200 with no answer"]


def test_the_command_writes_a_file_or_stdout(config_path: Path) -> None:
    config_path.with_name("out.jsonl").write_bytes(encode_batch(success(0, "=1+1")) + encode_batch(success(1, "two")))
    target = config_path.with_name("t.csv")

    assert main(["export", str(config_path), "--out", str(target), "--neutralise-formulas"]) == 0
    command = [sys.executable, "-m", "pipeline", "export", str(config_path)]
    printed = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, check=True).stdout.decode()

    assert [row[3] for row in csv.reader(io.StringIO(target.read_text(), newline=""))] == ["content", "'=1+1", "two"]
    assert [row[3] for row in csv.reader(io.StringIO(printed, newline=""))] == ["content", "=1+1", "two"]


@pytest.mark.parametrize("text", ["\t1", "\r1", "\n1", " \t1", "  =1", "\uff1d1"])
def test_text_that_a_spreadsheet_may_take_for_a_formula_after_blanks_is_neutralised(text: str) -> None:
    assert neutralised(text) == f"'{text}"


@pytest.mark.parametrize("text", ["X=1", "a=1", "1-1", " x@y"])
def test_text_with_a_sign_of_formulas_further_on_stays_as_it_is(text: str) -> None:
    assert neutralised(text) == text
