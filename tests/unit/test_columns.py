"""Parquet and Arrow files, dataset folders, and several files as one input."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import httpx
import pyarrow as pa
import pytest
import trio

import pipeline
from pipeline.edges.sources.opening import open_source
from pipeline.errors import InputError
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.rows.lines import RawRow

ROWS = 1500
PROMPTS = [f"堰 {number}" for number in range(ROWS)]


def table() -> Any:
    day = dt.date(2026, 1, 1)
    return pa.table({"id": list(range(ROWS)), "prompt": PROMPTS, "image": [b"\x89PNG"] * ROWS, "day": [day] * ROWS, "tags": [["a"]] * ROWS})


def parquet(folder: Path) -> str:
    from pyarrow import parquet as pq

    pq.write_table(table(), folder / "in.parquet", row_group_size=400)
    return "in.parquet"


def arrow(folder: Path) -> str:
    with pa.OSFile(str(folder / "in.arrow"), "wb") as file, pa.ipc.new_file(file, table().schema) as writer:
        writer.write_table(table(), max_chunksize=333)
    return "in.arrow"


def feather(folder: Path) -> str:
    from pyarrow import feather as ft

    ft.write_feather(table(), folder / "in.feather")
    return "in.feather"


def dataset(folder: Path) -> str:
    made = folder / "set"
    made.mkdir()
    parts = [table().slice(0, 600), table().slice(600)]
    for number, part in enumerate(parts):
        with pa.OSFile(str(made / f"data-{number}.arrow"), "wb") as file, pa.ipc.new_stream(file, part.schema) as writer:
            writer.write_table(part)
    files = [{"filename": f"data-{number}.arrow"} for number in range(len(parts))]
    (made / "state.json").write_text(json.dumps({"_data_files": files}))
    return "set"


def several(folder: Path) -> str:
    for number, start in enumerate(range(0, ROWS, 500)):
        lines = (json.dumps({"id": at, "prompt": PROMPTS[at]}) for at in range(start, start + 500))
        (folder / f"part-{number}.jsonl").write_text("".join(line + "\n" for line in lines))
    return "part-*.jsonl"


MAKERS: list[Callable[[Path], str]] = [parquet, arrow, feather, dataset, several]


def rows_of(folder: Path, name: str, most: int = 100) -> list[RawRow]:
    source = open_source(str(folder / name), used=["id", "prompt"])
    rows: list[RawRow] = []
    while taken := source.take(most):
        assert len(taken) <= most
        rows += taken
    assert source.take(1) == []
    source.close()
    source.close()
    return rows


@pytest.mark.parametrize("make", MAKERS)
def test_every_row_comes_once_and_in_order(tmp_path: Path, make: Callable[[Path], str]) -> None:
    rows = rows_of(tmp_path, make(tmp_path))

    fields = [json.loads(row.data) if isinstance(row.data, bytes) else dict(row.data or {}) for row in rows]
    assert [each["prompt"] for each in fields] == PROMPTS
    assert [each["id"] for each in fields] == list(range(ROWS))
    assert not any("image" in each for each in fields)
    assert [row.offset for row in rows] == sorted({row.offset for row in rows})


@pytest.mark.parametrize("make", MAKERS)
def test_a_run_over_it_goes_on_where_it_was_left(tmp_path: Path, make: Callable[[Path], str]) -> None:
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["prompt"])
        return httpx.Response(200, json={"choices": [{"message": {"content": sent[-1]}}]})

    body = {"model": "m", "prompt": "{prompt}"}
    request = {"url": "/v1/chat/completions", "body": body}
    path = write_config(tmp_path, "http://127.0.0.1:9/v1", source=make(tmp_path), request=request)
    config = pipeline.load_config(path, ["source.id=id"])

    async def once(limit: int | None) -> None:
        async with httpx.MockTransport(answer) as transport:
            await pipeline.run(config, transport=transport, limit=limit)

    for limit in (700, None, None):
        trio.run(once, limit)

    assert sorted(sent) == sorted(PROMPTS)
    lines = read_lines(tmp_path / "out.jsonl")
    assert [line["custom_id"] for line in lines] == [str(at) for at in range(ROWS)]
    assert [line["response"]["body"]["choices"][0]["message"]["content"] for line in lines] == PROMPTS
    assert pipeline.verify(config).ok


def test_a_bad_row_of_several_files_says_in_which_it_stands_and_a_used_id_is_seen(tmp_path: Path) -> None:
    for number, text in enumerate([b'{"custom_id":"a","body":{}}\n', b'{"custom_id":"a","body":{}}\n{\n']):
        (tmp_path / f"part-{number}.jsonl").write_bytes(text)
    config = pipeline.load_config(write_config(tmp_path, "http://127.0.0.1:9/v1", source="part-*.jsonl"))

    report = pipeline.check(config)

    assert report.bad_rows == 2
    assert "part-1.jsonl, line 1: custom_id 'a' was used by row 0" in report.bad_row_examples[0]
    assert "part-1.jsonl, line 2: is not JSON" in report.bad_row_examples[1]


@pytest.mark.parametrize("name", ["in.parquet", "in.arrow", "in.feather"])
@pytest.mark.parametrize("data", [None, b"", b"PAR1 and no more", b"ARROW1\0\0" + bytes(100)])
def test_a_file_that_is_none_is_told(tmp_path: Path, name: str, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)

    with pytest.raises(InputError, match=name):
        rows_of(tmp_path, name)


def test_a_pattern_that_finds_nothing_and_a_folder_that_is_no_dataset_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file has such a name"):
        open_source(str(tmp_path / "*.jsonl"))
    with pytest.raises(InputError, match="is a directory; name a file in it"):
        open_source(str(tmp_path))


def test_column_that_the_config_asks_for_is_missed_at_once(tmp_path: Path) -> None:
    for make in (parquet, arrow, dataset):
        with pytest.raises(InputError, match=r"no column is named 'promt', which request.body asks for; there are 'id', 'prompt'"):
            open_source(str(tmp_path / make(tmp_path)), used=["promt"], needed={"promt": "request.body"})


def test_columns_that_hold_whole_requests_need_no_others(tmp_path: Path) -> None:
    from pyarrow import parquet as pq

    pq.write_table(pa.table({"url": ["/v1/x"], "body": [{"a": 1}]}), tmp_path / "in.parquet")

    open_source(str(tmp_path / "in.parquet"), needed={"prompt": "request.body"}).close()


def test_arrow_file_that_is_cut_off_or_too_old_is_told_so(tmp_path: Path) -> None:
    path = tmp_path / arrow(tmp_path)

    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"cannot be read: (?!Expected to read)"):
        open_source(str(path))
    path.write_bytes(b"FEA1" + b"x" * 99)
    with pytest.raises(InputError, match="is Feather of version 1, which is not read"):
        open_source(str(path))


def test_folder_of_several_datasets_names_them(tmp_path: Path) -> None:
    dataset(tmp_path)

    with pytest.raises(InputError, match=rf"name one of its datasets: {tmp_path}/set"):
        open_source(str(tmp_path))
