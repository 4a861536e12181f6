"""Output files as people read them: pyarrow, polars, pandas, DuckDB and datasets, each with the call that docs/how-to/results.md gives."""

from __future__ import annotations

import importlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.records import NO_USAGE, Failure, FailureKind, Outcome, Success

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CALLS = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def good(index: int, **message: Any) -> Success:
    choice = {"index": 0, "message": {"role": "assistant", "content": f"answer {index}", **message}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    body = json.dumps({"id": "c", "choices": [choice], "usage": usage}).encode()
    return Success(index, f"row-{index}", 200, None, body, NO_USAGE, 1, 0.5)


def page(index: int) -> Failure:
    html = json.dumps("<html>502 Bad Gateway</html>").encode()
    return Failure(index, f"row-{index}", FailureKind.RETRIES_EXHAUSTED, "HTTP 502", 502, None, html, 6, 0.5)


def two_pages() -> Iterator[Outcome]:
    """398 good rows and 2 HTML pages of a gateway."""
    for index in range(400):
        yield page(index) if index in (123, 399) else good(index)


def late_failure() -> Iterator[Outcome]:
    """1,000 rows of which number 500 is the first to fail."""
    for index in range(1000):
        yield Failure(index, f"row-{index}", FailureKind.TIMEOUT, "too late") if index == 500 else good(index)


def very_late_failure() -> Iterator[Outcome]:
    """More than the first megabyte, which is what pyarrow looks at by default, before the first failure."""
    for index in range(6000):
        yield Failure(index, f"row-{index}", FailureKind.TIMEOUT, "too late") if index == 5500 else good(index)


def all_kinds() -> Iterator[Outcome]:
    """Text, calls of tools, reasoning, a rejected answer and a refused row."""
    for index in range(600):
        match index % 150:
            case 10:
                yield good(index, content=None, tool_calls=CALLS)
            case 20:
                yield good(index, reasoning_content="because")
            case 30:
                yield Failure(index, f"row-{index}", FailureKind.MALFORMED_RESPONSE, "no answer", 200, None, b'{"choices": null}', 2)
            case 40:
                body = b'{"error":{"message":"no","type":"invalid_request_error","code":"bad"}}'
                yield Failure(index, f"row-{index}", FailureKind.HTTP, "HTTP 400: no", 400, None, body, 1)
            case _:
                yield good(index)


def contents_by_pyarrow(reader: Any, path: Path, shape: str) -> list[Any]:
    json_reader = importlib.import_module("pyarrow.json")
    rows = json_reader.read_json(path, read_options=json_reader.ReadOptions(block_size=path.stat().st_size)).to_pylist()
    return [content_of(row, shape) for row in rows]


def contents_by_polars(reader: Any, path: Path, shape: str) -> list[Any]:
    rows = reader.read_ndjson(path, infer_schema_length=None).to_dicts()
    return [content_of(row, shape) for row in rows]


def contents_by_pandas(reader: Any, path: Path, shape: str) -> list[Any]:
    frame = reader.read_json(path, lines=True)
    return [content_of(row, shape) for row in frame.to_dict("records")]


def contents_by_duckdb(reader: Any, path: Path, shape: str) -> list[Any]:
    where = "content" if shape == "flat" else "response.body.choices[1].message.content"
    return [row[0] for row in reader.sql(f"SELECT {where} FROM read_json('{path}', sample_size=-1)").fetchall()]


def contents_by_datasets(reader: Any, path: Path, shape: str) -> list[Any]:
    cache = str(path.parent / "cache")
    table = reader.load_dataset("json", data_files=str(path), chunksize=path.stat().st_size, cache_dir=cache)["train"]
    return [content_of(row, shape) for row in table]


def content_of(row: dict[str, Any], shape: str) -> Any:
    if shape == "flat":
        return row["content"]
    choices = ((row["response"] or {}).get("body") or {}).get("choices")
    return choices[0]["message"]["content"] if isinstance(choices, list) else None


READERS: dict[str, Callable[[Any, Path, str], list[Any]]] = {
    "pyarrow": contents_by_pyarrow,
    "polars": contents_by_polars,
    "pandas": contents_by_pandas,
    "duckdb": contents_by_duckdb,
    "datasets": contents_by_datasets,
}


@pytest.mark.parametrize("outcomes", [two_pages, late_failure, very_late_failure, all_kinds])
@pytest.mark.parametrize("shape", ["batch", "flat"])
@pytest.mark.parametrize("name", READERS)
def test_a_table_reader_gets_every_answer(tmp_path: Path, name: str, shape: str, outcomes: Callable[[], Iterator[Outcome]]) -> None:
    os.environ["HF_HUB_OFFLINE"] = "1"  # read by datasets when it is imported
    reader = importlib.import_module(name)
    path = tmp_path / "results.jsonl"
    rows = list(outcomes())
    path.write_bytes(b"".join(map(encode_flat if shape == "flat" else encode_batch, rows)))

    contents = READERS[name](reader, path, shape)

    assert len(contents) == len(rows)
    for row, content in zip(rows, contents, strict=True):
        if isinstance(row, Success) and b'"content": null' not in row.body:
            assert content == f"answer {row.index}"
