"""Inputs of every kind and in every state: a bad row takes its place, a good one is never lost for it, and an end too soon is told."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
import zstandard

import pipeline
from tests.fakes.hostile import HostileProvider, batch_line
from tests.fakes.runs import answers, ids, read_lines, run_file, write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TEMPLATE = {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "{id}|{way}"}]}}
DEEP = 100_000


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider() as hostile:
        yield hostile


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _row(name: object, **changes: object) -> bytes:
    return json.dumps({**json.loads(batch_line("row", "plain")), "custom_id": name, **changes}).encode()


def _with_body(body: bytes) -> bytes:
    return b'{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":%s}' % body


BAD_ROWS = {
    "cut": b'{"custom_id": "x", ',
    "array": b"[1,2]",
    "text": b'"text"',
    "number": b"42",
    "null": b"null",
    "empty-object": b"{}",
    "no-json": b"nonsense",
    "single-quotes": b"{'custom_id': 'x'}",
    "two-values": _with_body(b"{}") + b" {}",
    "nul-bytes": b"\0\0\0",
    "bad-utf8": _with_body(b'{"a":"\xff\xfe"}'),
    "nan": _with_body(b'{"a":NaN}'),
    "lone-surrogate": _with_body(b'{"a":"\\ud800"}'),
    "lone-surrogate-in-id": b'{"custom_id":"\\ud800","method":"POST","url":"/v1/chat/completions","body":{}}',
    "deep-body": _with_body(b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "deep-elsewhere": b'{"custom_id":"d","a":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep-and-open": b"[" * DEEP,
    "method": _row("m", method="GET"),
    "method-number": _row("m", method=5),
    "other-host": _row("u", url="http://evil.example/v1/x"),
    "other-host-by-slashes": _row("u", url="//evil.example/v1/x"),
    "header-in-url": _row("u", url="/v1/x HTTP/1.1\r\nHost: evil.example"),
    "url-out-of-base": _row("u", url="/v1/../admin"),
    "url-number": _row("u", url=5),
    "body-text": _row("b", body="text"),
    "body-null": _row("b", body=None),
    "body-array": _row("b", body=[1]),
    "id-fraction": _row(17.5),
    "id-empty": _row(""),
    "id-long": _row("x" * 5000),
    "id-two-lines": _row("a\nb"),
    "id-again": _row("row-0"),
}


async def test_a_bad_row_of_any_kind_takes_its_place_and_harms_no_other(provider: HostileProvider, tmp_path: Path) -> None:
    good = [batch_line(f"row-{index}", "plain").encode() for index in range(len(BAD_ROWS) + 1)]
    bad = [row + b"\n" for row in BAD_ROWS.values()]
    (tmp_path / "in.jsonl").write_bytes(b"".join(a + b for a, b in zip(good, [*bad, b""], strict=True)))
    provider.reset()

    run = await run_file(tmp_path, provider.base_url)

    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines[::2])] == [True] * len(good)
    codes = {kind: line["error"] and line["error"]["code"] for kind, line in zip(BAD_ROWS, run.lines[1::2], strict=True)}
    assert codes == dict.fromkeys(BAD_ROWS, "invalid_row")
    assert [line["response"] for line in run.lines[1::2]] == [None] * len(bad)
    places = [f"line {2 * number}:" in line["error"]["message"] for number, line in enumerate(run.lines[1::2], 1)]
    assert places == [True] * len(bad)
    assert (provider.counts().arrivals, provider.counts().stray) == (len(good), 0)
    assert (run.summary.failed, run.stopped) == (len(bad), None)


async def test_an_input_of_bad_rows_alone_is_a_finished_run_with_the_reason_for_each(provider: HostileProvider, tmp_path: Path) -> None:
    data = b"{'custom_id': 'a'}\n\xff\n" + _with_body(b"3") + b"\n"
    (tmp_path / "in.jsonl").write_bytes(data)

    run = await run_file(tmp_path, provider.base_url)

    assert run.stopped is None
    assert (run.summary.total, run.summary.failed, run.summary.attempts) == (3, 3, 0)
    assert [line["error"]["code"] for line in run.lines] == ["invalid_row"] * 3


@pytest.mark.parametrize(
    "data", [b"", b"\n\r\n  \n\t\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"], ids=["empty", "blank-lines", "mark-alone", "mark-and-line"]
)
async def test_an_input_without_rows_is_a_run_without_rows(provider: HostileProvider, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "in.jsonl").write_bytes(data)

    run = await run_file(tmp_path, provider.base_url)

    assert (run.lines, run.summary.total, run.stopped) == ([], 0, None)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\n\n \n"], ids=["lf", "crlf", "cr", "blank"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "marked"])
async def test_lines_end_in_any_way_and_the_last_in_none(provider: HostileProvider, tmp_path: Path, end: bytes, mark: bytes) -> None:
    rows = [batch_line(f"row-{index}", "plain").strip().encode() for index in range(3)]
    (tmp_path / "in.jsonl").write_bytes(mark + end.join(rows))

    run = await run_file(tmp_path, provider.base_url)

    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * 3


async def test_a_row_of_5_mb_goes_through(provider: HostileProvider, tmp_path: Path) -> None:
    big = {**json.loads(batch_line("row-1", "plain"))}
    big["body"]["padding"] = "é\u2028" * 1_000_000
    lines = [batch_line("row-0", "plain"), json.dumps(big, ensure_ascii=False) + "\n", batch_line("row-2", "plain")]
    (tmp_path / "in.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")

    run = await run_file(tmp_path, provider.base_url)

    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * 3


CSV = 'id,way\na,plain\n"b ""quoted"", with a comma",plain\n\n"two\nlines",plain\nc\nd,plain,more\n'


@pytest.mark.parametrize(
    "source, data",
    [
        ("in.csv", CSV.encode()),
        ("in.csv", b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()),
        ("in.tsv", CSV.replace("with a comma", "x").replace(",", "\t").encode()),
        ("in.csv.gz", gzip.compress(CSV.encode())),
        ("in.csv.zst", zstandard.compress(CSV.encode())),
    ],
    ids=["csv", "windows", "tsv", "gz", "zst"],
)
async def test_a_table_gives_a_row_for_each_record(provider: HostileProvider, tmp_path: Path, source: str, data: bytes) -> None:
    (tmp_path / source).write_bytes(data)

    run = await run_file(tmp_path, provider.base_url, source=source, request=TEMPLATE)

    assert ids(run.lines) == [f"row-{index}" for index in range(5)]
    assert [line["error"] and line["error"]["code"] for line in run.lines] == [None, None, None, "invalid_row", "invalid_row"]


ROWS = b"".join(batch_line(f"row-{index}", "plain").encode() for index in range(2000))


@pytest.mark.parametrize(
    "source, data",
    [
        ("in.jsonl.gz", gzip.compress(ROWS)[:-2000]),
        ("in.jsonl.gz", gzip.compress(ROWS)[:-8] + bytes(8)),
        ("in.jsonl.zst", zstandard.compress(ROWS)[:-700]),
    ],
    ids=["gz-cut", "gz-bad-checksum", "zst-cut"],
)
async def test_what_comes_before_the_place_where_an_input_breaks_off_is_worked_on(
    provider: HostileProvider, tmp_path: Path, source: str, data: bytes
) -> None:
    (tmp_path / source).write_bytes(data)

    run = await run_file(tmp_path, provider.base_url, source=source)

    assert isinstance(run.stopped, pipeline.RunAborted)
    assert "cannot be read beyond byte" in str(run.stopped)
    assert len(run.lines) >= 1000
    assert [answers(line, f"row-{index}") for index, line in enumerate(run.lines)] == [True] * len(run.lines)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gz", "zst"])
async def test_no_row_is_lost_for_junk_behind_the_compressed_data(
    provider: HostileProvider, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    source = "in.jsonl.gz" if pack is gzip.compress else "in.jsonl.zst"
    (tmp_path / source).write_bytes(pack(batch_line("row-0", "plain").encode()) + b"what is this")

    run = await run_file(tmp_path, provider.base_url, source=source)

    assert isinstance(run.stopped, pipeline.RunAborted)
    assert [answers(line, "row-0") for line in run.lines] == [True]


@pytest.mark.parametrize(
    "source, data",
    [
        ("in.jsonl", gzip.compress(ROWS)),
        ("in.jsonl", zstandard.compress(ROWS)),
        ("in.jsonl", ROWS.decode().encode("utf-16")),
        ("in.jsonl.gz", b"no gzip"),
        ("in.jsonl.zst", b"no zstd"),
        ("in.csv", b"id,id\na,b\n"),
    ],
    ids=["gz-unnamed", "zst-unnamed", "utf-16", "no-gz", "no-zst", "two-columns-of-a-name"],
)
async def test_an_input_that_gives_no_row_at_all_is_a_wrong_input(
    provider: HostileProvider, tmp_path: Path, source: str, data: bytes
) -> None:
    (tmp_path / source).write_bytes(data)
    provider.reset()

    with pytest.raises(pipeline.InputError, match=source):
        await run_file(tmp_path, provider.base_url, source=source, request=TEMPLATE)

    assert provider.counts().arrivals == 0
    assert names_in(tmp_path) == sorted(["config.yaml", source])


async def test_results_come_out_while_the_input_is_still_open(provider: HostileProvider, tmp_path: Path) -> None:
    pipe, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    os.mkfifo(pipe)
    config = pipeline.load_config(write_config(tmp_path, provider.base_url))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipeline.run, config)
        with await trio.to_thread.run_sync(lambda: pipe.open("w", buffering=1)) as writer:
            for count in range(1, 4):
                half = batch_line(f"row-{count - 1}", "plain")
                writer.write(half[:50])
                writer.flush()
                writer.write(half[50:])
                await _until_lines(output, count)

    assert ids(read_lines(output)) == ["row-0", "row-1", "row-2"]


async def test_an_input_that_nobody_writes_to_can_be_given_up(provider: HostileProvider, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.jsonl")
    config = pipeline.load_config(write_config(tmp_path, provider.base_url))
    stop = trio.Event()
    stop.set()

    with trio.fail_after(30), pytest.raises(pipeline.RunInterrupted):
        await pipeline.run(config, stop=stop)

    assert not (tmp_path / "out.jsonl").exists()


async def _until_lines(path: Path, count: int) -> None:
    with trio.fail_after(30):
        while not (path.exists() and path.read_bytes().count(b"\n") == count):  # noqa: ASYNC110, ASYNC240  it happens in a file
            await trio.sleep(0.005)


@pytest.mark.parametrize("packing", ["", ".gz"])
def test_the_length_of_an_input_is_estimated_while_it_is_read(tmp_path: Path, packing: str) -> None:
    rows = 20_000
    data = b"".join(
        b'{"custom_id":"c-%05d","url":"/v1/x","body":{"model":"m","prompt":"a text that is read"}}\n' % at for at in range(rows)
    )
    (tmp_path / f"in.jsonl{packing}").write_bytes(gzip.compress(data) if packing else data)
    config = pipeline.load_config(write_config(tmp_path, "http://127.0.0.1:9/v1", source=f"in.jsonl{packing}"))
    told: list[pipeline.Progress] = []
    asked: list[pipeline.Status] = []
    stop = trio.Event()

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"choices": [{"message": {"content": "yes"}}]})

    def look(progress: pipeline.Progress) -> None:
        status = pipeline.status(config)
        if status.recorded and not stop.is_set():
            told.append(progress)
            asked.append(status)
            stop.set()

    async def some_of_it() -> None:
        async with httpx.MockTransport(answer) as transport:
            with pytest.raises(pipeline.RunInterrupted):
                await pipeline.run(config, transport=transport, stop=stop, progress=look)

    trio.run(some_of_it)

    expected = told[0].rows_expected
    assert expected is not None
    assert told[0].rows_total is None
    assert rows * 0.8 < expected < rows * 1.2
    assert asked[0].running
    assert asked[0].rows is None
    assert rows * 0.8 < (asked[0].rows_expected or 0) < rows * 1.2
    assert 0 < (asked[0].fraction or 0) < 1
