"""Exports of every format hold the same table, with columns of one type and fields of the input on request."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pyarrow as pa
import pytest
import trio
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, parquet

import pipeline
from pipeline.cli import main
from pipeline.core.output.cells import COLUMNS
from pipeline.errors import ConfigError, InputError, UsageError
from pipeline.inspect.export import export
from pipeline.inspect.export_tables import joined, kind_of
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = {"url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "{prompt}"}]}}
ROWS = [
    {"prompt": "a", "n": 1, "x": 1, "flag": True, "label": "spam", "meta": {"k": [1, "é"]}, "status": "old", "big": 2**70},
    {"prompt": "no", "n": 2, "x": 0.5, "flag": None, "label": 7, "meta": None, "status": "new", "big": 1},
    {"prompt": "c", "n": -3, "flag": False, "label": None, "status": "=1+1"},
]
FIELDS = ["n", "x", "flag", "label", "meta", "status", "big", "meta.k"]
OWN = [
    (0, "row-0", "success", "to a", 200, None, None, 3, 4),
    (1, "row-1", "error", None, 400, "bad", "no", 0, 0),
    (2, "row-2", "success", "to c", 200, None, None, 3, 4),
]
TYPED = [  # what Parquet and Arrow hold
    (1, 1.0, True, "spam", '{"k":[1,"é"]}', "old", str(2**70), '[1,"é"]'),
    (2, 0.5, None, "7", None, "new", "1", None),
    (-3, None, False, None, None, "=1+1", None, None),
]
NAMES = ["n", "x", "flag", "label", "meta", "input.status", "big", "meta.k"]


def answer(request: httpx.Request) -> httpx.Response:
    prompt = json.loads(request.content)["messages"][0]["content"]
    if prompt == "no":
        return httpx.Response(400, json={"error": {"message": "no", "code": "bad"}})
    message = {"role": "assistant", "content": f"to {prompt}"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4}
    return httpx.Response(200, json={"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


def finished(folder: Path, rows: list[dict[str, Any]] = ROWS, **sink: Any) -> pipeline.Config:
    (folder / "in.jsonl").write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    config = pipeline.load_config(write_config(folder, "http://provider.test/v1", request=REQUEST, sink=sink))
    trio.run(lambda: pipeline.run(config, transport=httpx.MockTransport(answer)))
    return config


def read_arrow(path: Path) -> Any:
    return parquet.read_table(path) if path.suffix == ".parquet" else feather.read_table(path)


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow", "T.Feather"])
@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_typed_table_has_every_row_and_the_columns_of_the_input(tmp_path: Path, name: str, order: str) -> None:
    config = finished(tmp_path, order=order, shape="flat")

    assert export(config, str(tmp_path / name), columns=FIELDS) == 3

    table = read_arrow(tmp_path / name)
    assert table.column_names == [*COLUMNS, *NAMES]
    found = sorted(tuple(row.values()) for row in table.to_pylist())
    assert found == [(*own, *more) for own, more in zip(OWN, TYPED, strict=True)]


@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_the_columns_have_the_same_types_whatever_is_in_them(tmp_path: Path, name: str) -> None:
    schemas = []
    inputs: list[list[dict[str, Any]]] = [ROWS, ROWS[:1], [{"prompt": "no"}], [{"prompt": "no"}] * 3]
    for at, rows in enumerate(inputs):
        folder = tmp_path / str(at)
        folder.mkdir()
        export(finished(folder, rows), str(folder / name))
        schemas.append(read_arrow(folder / name).schema)

    assert all(schema == schemas[0] for schema in schemas)
    assert [str(field.type) for field in schemas[0]] == [
        "int64",
        "string",
        "string",
        "string",
        "int64",
        "string",
        "string",
        "int64",
        "int64",
    ]


def test_an_output_without_rows_is_an_empty_table(tmp_path: Path) -> None:
    config = finished(tmp_path, [])

    for name in ("t.parquet", "t.csv", "t.jsonl"):
        assert export(config, str(tmp_path / name)) == 0
    assert read_arrow(tmp_path / "t.parquet").num_rows == 0
    assert (tmp_path / "t.csv").read_bytes().decode() == ",".join(COLUMNS) + "\r\n"


def test_lines_of_json_have_the_same_keys_and_the_values_of_the_input(tmp_path: Path) -> None:
    config = finished(tmp_path)

    export(config, str(tmp_path / "t.jsonl"), columns=FIELDS)

    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [[*COLUMNS, *NAMES]] * 3
    assert [tuple(line[name] for name in COLUMNS) for line in lines] == OWN
    assert [[line[name] for name in NAMES[:7]] for line in lines] == [[row.get(name) for name in FIELDS[:7]] for row in ROWS]


@pytest.mark.parametrize("packing, unpack", [("", bytes), (".gz", gzip.decompress), (".zst", None)])
@pytest.mark.parametrize("form, delimiter", [("csv", ","), ("tsv", "\t")])
def test_a_table_of_text_is_compressed_where_its_name_says_so(tmp_path: Path, form: str, delimiter: str, packing: str, unpack: Any) -> None:
    target = tmp_path / f"t.{form}{packing}"
    unpack = unpack or (lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data))

    export(finished(tmp_path), str(target), columns=["label", "meta"], neutralise_formulas=True)

    header, *rows = csv.reader(io.StringIO(unpack(target.read_bytes()).decode(), newline=""), delimiter=delimiter)
    assert header == [*COLUMNS, "label", "meta"]
    assert [row[-2:] for row in rows] == [["spam", '{"k":[1,"é"]}'], ["7", ""], ["", ""]]
    assert [row[3] for row in rows] == ["to a", "", "to c"]


def test_the_mark_for_excel_comes_first_and_only_in_csv(tmp_path: Path) -> None:
    config = finished(tmp_path)

    export(config, str(tmp_path / "t.csv"), excel=True)

    assert (tmp_path / "t.csv").read_bytes().startswith(b"\xef\xbb\xbfindex,")
    with pytest.raises(UsageError, match=r"belongs to a \.csv"):
        export(config, str(tmp_path / "t.parquet"), excel=True)


def test_a_table_of_several_groups_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = finished(tmp_path)
    monkeypatch.setattr("pipeline.inspect.export_tables.GROUP_ROWS", 2)

    export(config, str(tmp_path / "t.parquet"), columns=["n"])

    assert read_arrow(tmp_path / "t.parquet").column("n").to_pylist() == [1, 2, -3]


def test_kept_fields_are_columns_even_if_the_input_is_gone_and_all_fields_can_be_asked_for(tmp_path: Path) -> None:
    config = finished(tmp_path, shape="flat", keep=["label", "n"])

    export(config, str(tmp_path / "all.jsonl"), columns=["*"])
    (tmp_path / "in.jsonl").unlink()
    export(config, str(tmp_path / "kept.parquet"))

    assert [*read_arrow(tmp_path / "kept.parquet").column_names[-2:]] == ["label", "n"]
    first = json.loads((tmp_path / "all.jsonl").read_text().splitlines()[0])
    assert list(first)[len(COLUMNS) :] == ["label", "n", "prompt", "x", "flag", "meta", "input.status", "big"]


def test_columns_of_an_input_that_has_changed_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    config = finished(tmp_path)
    data = (tmp_path / "in.jsonl").read_bytes()
    target = tmp_path / "t.csv"

    (tmp_path / "in.jsonl").write_bytes(data.replace(b'"spam"', b'"eggs"'))
    with pytest.raises(InputError, match=r"the input has changed: row 0 \(line 1\) is not the one that 'row-0' answers"):
        export(config, str(target), columns=["label"])
    (tmp_path / "in.jsonl").write_bytes(data.splitlines(keepends=True)[0])
    with pytest.raises(InputError, match="the input has changed: row 1 is not"):
        export(config, str(target), columns=["label"])
    assert not target.exists()


def test_a_column_that_no_row_has_is_told_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no row of the input has a field 'lable'; it has prompt, n, x"):
        export(finished(tmp_path), str(tmp_path / "t.csv"), columns=["lable"])


@pytest.mark.parametrize(
    "target, form, said",
    [
        ("t.xlsx", None, r"its name must end in one of \.csv, \.tsv"),
        ("t", None, r"its name must end"),
        ("t.parquet.gz", None, r"parquet is compressed inside"),
        ("-", "parquet", r"cannot be written to stdout"),
    ],
)
def test_a_name_that_says_no_format_is_refused(tmp_path: Path, target: str, form: str | None, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        export(finished(tmp_path), target if target == "-" else str(tmp_path / target), form=form)


def test_a_format_can_be_named_where_the_name_says_none(tmp_path: Path) -> None:
    config = finished(tmp_path)

    assert (
        main(["export", str(tmp_path / "config.yaml"), "--out", str(tmp_path / "t.dat"), "--format", "arrow", "--columns", "n, label"]) == 0
    )

    assert read_arrow(tmp_path / "t.dat").column_names[-2:] == ["n", "label"]
    assert config.sink.path


KINDS = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
values = st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5)
nested = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3))


@given(st.lists(nested, max_size=8))
def test_any_values_fit_into_a_column_of_the_type_that_is_found_for_them(column: list[Any]) -> None:
    from pipeline.inspect.export_tables import as_typed

    raws = [msgspec.Raw(msgspec.json.encode(value)) for value in column]
    kind: str | None = None
    for raw in raws:
        kind = joined(kind, kind_of(raw))
    kind = kind or "text"

    found = pa.array([as_typed(raw, kind) for raw in raws], KINDS[kind]).to_pylist()

    for value, typed in zip(column, found, strict=True):
        assert (typed is None) == (value is None)
        if isinstance(value, str):
            assert typed == value
        elif value is not None and kind == "text":
            assert json.loads(typed) == value
        elif value is not None:
            assert typed == value or kind == "float"


@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.jsonl.zst", "out.parquet", "out.csv", "out.ARROW"])
def test_a_sink_whose_name_promises_another_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"sink\.path: results are"):
        pipeline.load_config(write_config(tmp_path, "http://provider.test/v1", sink={"path": name}))
