"""The plan of a run over several processes: all parts together are what one run over the whole input writes, byte by byte.

Which rows are bad, what their messages say, which ids were used before and what an unnamed row is called must not depend on the cuts.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import Config, ProviderConfig, RequestConfig, SinkConfig, SourceConfig
from pipeline.core.cluster.plan import Reading
from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.engines.plan import plan_of, repeats_in, shard_source
from pipeline.records import NO_USAGE, Failure, Success
from pipeline.runs.inputs import Extent, job_maker, source_opener
from tests.strategies import batch_lines, damaged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.core.cluster.plan import Plan
    from pipeline.core.rows.jobs import JobMaker
    from pipeline.ports import Source
    from pipeline.records import Job, Outcome

PLAIN = RequestConfig(url="/v1/chat/completions", body={"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]})
BODY: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
MARK = b"\xef\xbb\xbf"
OTHER_KINDS = (b"[", b"\x1f\x8b", b"\x28\xb5", b"\xff", b"\xfe")  # a whole file that begins so is refused

ids = st.sampled_from(["a", "b", "row-0", "row-1", "row-3", "a-1", "a-2"])
named = ids.map(lambda name: json.dumps({"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": BODY}).encode())
bedrock = ids.map(lambda name: json.dumps({"recordId": name, "modelInput": BODY}).encode())
bad = st.sampled_from(
    [b"", b"   ", b"{}", b"nonsense", b'{"custom_id": "a", ', b'{"custom_id": "b", "body": 5}', b"[1]", b'{"custom_id":"a"}']
)
lines = st.lists(named | named | bedrock | bad | batch_lines() | damaged(batch_lines()), max_size=14)


def text_of(parts: list[bytes], end: bytes, *, marked: bool, ended: bool) -> bytes:
    return (MARK if marked else b"") + end.join(parts) + (end if ended else b"")


texts = st.builds(text_of, lines, st.sampled_from([b"\n", b"\r\n", b"\r"]), marked=st.booleans(), ended=st.booleans()).filter(
    lambda text: not text.removeprefix(MARK).lstrip().startswith(OTHER_KINDS) and b"\0" not in text
)
cells = st.sampled_from(["hi", "", "a", 'x"y', "two\nlines", "a,b", "7"])
tables = st.lists(st.tuples(ids | st.just(""), cells), max_size=12)


def outcome_of(item: Job | Failure) -> Outcome:
    """What the provider would say: always the same of the same request."""
    if isinstance(item, Failure):
        return item
    answer = json.dumps({"asked": item.body.decode(errors="replace"), "url": item.url, "line": item.line}).encode()
    return Success(item.index, item.custom_id, 200, None, answer, NO_USAGE, 1, 0.5)


def output_over(source: Source, jobs: JobMaker, encode: Callable[[Outcome], bytes]) -> bytes:
    index = 0
    parts: list[bytes] = []
    with closing(source), closing(jobs):
        while taken := source.take(3):
            parts += [encode(outcome_of(item)) for item in jobs.make_jobs(taken, index)]
            index += len(taken)
    return b"".join(parts)


def rows_of(source: Source) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    with closing(source):
        while taken := source.take(3):
            rows += [(row.line, row.offset, row.data, row.problem, row.file) for row in taken]
    return rows


def see_that_parts_are_the_whole(config: Config, folder: Path, shard_rows: int) -> Plan:
    run_folder = folder / "out.jsonl.run"
    run_folder.mkdir()
    plan = plan_of(config, run_folder, shard_rows=shard_rows)
    open_whole = source_opener(config)
    extents = [
        Extent(partial(shard_source, config, shard, plan.files, run_folder), shard.first, repeats_in(shard, run_folder), {})
        for shard in plan.shards
    ]

    assert [row for extent in extents for row in rows_of(extent.open_source())] == rows_of(open_whole())
    for encode in (encode_batch, encode_flat):
        parts = [output_over(each.open_source(), job_maker(config, each), partial(encode, base=each.first)) for each in extents]
        assert b"".join(parts) == output_over(open_whole(), job_maker(config), encode)
    assert sum(shard.rows for shard in plan.shards) == plan.rows
    assert all(shard.rows == shard_rows for shard in plan.shards[:-1])
    return plan


def config_of(path: str | Sequence[str], folder: Path, request: RequestConfig | None = None, **source: Any) -> Config:
    return Config(
        source=SourceConfig(path=path, **source),
        request=request,
        provider=ProviderConfig(base_url="http://127.0.0.1:9/v1"),
        sink=SinkConfig(path=str(folder / "out.jsonl")),
    )


@settings(max_examples=60, deadline=None)
@given(text=texts, shard_rows=st.integers(1, 6), packed=st.booleans(), request=st.sampled_from([None, PLAIN]))
@example(text=b'{"custom_id": "a", \n{"custom_id":"a","url":"/v1/chat/completions","body":{}}\n', shard_rows=1, packed=False, request=None)
def test_parts_of_lines_are_the_whole(text: bytes, shard_rows: int, *, packed: bool, request: RequestConfig | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / ("in.jsonl.gz" if packed else "in.jsonl")
        path.write_bytes(gzip.compress(text) if packed else text)

        plan = see_that_parts_are_the_whole(config_of(str(path), folder, request), folder, shard_rows)

        assert {piece.reading for shard in plan.shards for piece in shard.pieces} <= {Reading.COPY if packed else Reading.LINES}


@settings(max_examples=30, deadline=None)
@given(several=st.lists(texts, min_size=1, max_size=4), shard_rows=st.integers(1, 6), packed=st.integers(0, 3))
def test_parts_of_several_files_are_the_whole(several: list[bytes], shard_rows: int, packed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = []
        for number, text in enumerate(several):
            path = folder / (f"{number}.jsonl.gz" if number == packed else f"{number}.jsonl")
            path.write_bytes(gzip.compress(text) if number == packed else text)
            paths.append(str(path))

        see_that_parts_are_the_whole(config_of(paths, folder), folder, shard_rows)


@settings(max_examples=40, deadline=None)
@given(
    rows=tables,
    shard_rows=st.integers(1, 5),
    mark=st.booleans(),
    stray=st.none() | st.integers(0, 11),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_parts_of_a_table_are_the_whole(rows: list[tuple[str, str]], shard_rows: int, *, mark: bool, stray: int | None, end: str) -> None:
    quoted = ['"' + cell.replace('"', '""') + '"' for _, cell in rows]
    records = [f"{name},{cell}" for (name, _), cell in zip(rows, quoted, strict=True)]
    if stray is not None:
        records.insert(stray, 'a,"a quote that nobody closes')
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "in.csv"
        path.write_text(("\ufeff" if mark else "") + end.join(["custom_id,prompt", *records, ""]), newline="")

        see_that_parts_are_the_whole(config_of(str(path), folder, PLAIN), folder, shard_rows)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(ids | st.none(), st.text(max_size=5)), max_size=12), shard_rows=st.integers(1, 5), group=st.integers(1, 6))
def test_parts_of_columns_are_the_whole(rows: list[tuple[str | None, str]], shard_rows: int, group: int) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    names, prompts = pa.array([name for name, _ in rows], pa.string()), pa.array([cell for _, cell in rows], pa.string())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "in.parquet"
        parquet.write_table(pa.table({"custom_id": names, "prompt": prompts}), path, row_group_size=group)

        see_that_parts_are_the_whole(config_of(str(path), folder, PLAIN), folder, shard_rows)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(ids | st.none(), max_size=10), shard_rows=st.integers(1, 4), form=st.sampled_from(["array", "utf-16", "text"]))
def test_parts_of_documents_and_of_other_encodings_are_the_whole(rows: list[str | None], shard_rows: int, form: str) -> None:
    objects = [{"body": BODY, "url": "/v1/chat/completions"} | ({} if name is None else {"custom_id": name}) for name in rows]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / {"array": "in.json", "utf-16": "in.jsonl", "text": "in.txt"}[form]
        encoding = "utf-16" if form == "utf-16" else "utf-8"
        text = json.dumps(objects, indent=1) if form == "array" else "\n".join(map(json.dumps, objects))
        path.write_bytes(text.encode(encoding))
        config = config_of(str(path), folder, PLAIN if form == "text" else None, encoding=encoding)

        see_that_parts_are_the_whole(config, folder, shard_rows)


def test_a_duplicate_in_another_shard_is_told_with_the_line_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    line = json.dumps({"custom_id": "twice", "url": "/v1/chat/completions", "body": BODY})
    path.write_text(f"{line}\n{line.replace('twice', 'once')}\n{line}\n")
    config = config_of(str(path), tmp_path)

    plan = plan_of(config, tmp_path, shard_rows=1)

    assert [shard.repeats for shard in plan.shards] == [0, 0, 1]
    assert repeats_in(plan.shards[2], tmp_path) == {0: 1}
