"""The same rows in every format and spelling that people have them in become the same requests."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
import zstandard
from pyarrow import feather, parquet

import pipeline
from pipeline.runs.inputs import job_maker, source_opener
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What some reader of files has tripped over.
ODD = [
    *(
        '"quoted"',
        "it's",
        "a, b; c|d",
        "{braces}",
        "{{x}}",
        "back\\slash\\",
        "tab\there",
        "line\u2028end",
        "\u0085",
        "😀",
        "עברית",
        "堰とは",
    ),
    *(
        "e\u0301",
        "%s",
        "$PATH",
        "<b>",
        "  blanks  ",
        "=1+1",
        "null",
        "NaN",
        "1e5",
        "0012",
        "\x7f",
        "line\nbreak",
        "cr\r\nlf",
        '""',
        "\ufeff",
    ),
    *('{"json": [1]}', "#", "a\u200bb"),
]
PLAIN = ["is", "the", "weir", "a", "law", "of", "New", "York"]
_draw = random.Random(3)


def _text(words: int) -> str:
    return " ".join(_draw.choice(ODD if _draw.random() < 0.3 else PLAIN) for _ in range(words))


ROWS: list[dict[str, Any]] = [{"idx": at, "question": _text(4), "passage": _text(25), "answer": at % 3 == 0} for at in range(300)]
LINES = b"".join(json.dumps(row, ensure_ascii=bool(at % 2)).encode() + b"\n" for at, row in enumerate(ROWS))


def table(delimiter: str = ",", end: str = "\r\n", encoding: str = "utf-8", **options: Any) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator=end, **options)
    writer.writerows([list(ROWS[0]), *(list(row.values()) for row in ROWS)])
    return file.getvalue().encode(encoding)


def arrow_table() -> Any:
    return pa.table({name: [row[name] for row in ROWS] for name in ROWS[0]})


def arrow_stream(path: Path) -> None:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, arrow_table().schema) as stream:
        stream.write_table(arrow_table(), max_chunksize=77)


BYTES = {
    "a.jsonl": LINES,
    "crlf.ndjson": LINES.replace(b"\n", b"\r\n"),
    "mark.jsonl": b"\xef\xbb\xbf" + LINES,
    "no-end.jsonl": LINES.rstrip(b"\n"),
    "blank-lines.jsonl": LINES.replace(b"\n", b"\n \n"),
    "a.jsonl.gz": gzip.compress(LINES),
    "two-members.jsonl.gz": b"".join(gzip.compress(line) for line in LINES.splitlines(keepends=True)),
    "a.jsonl.zst": zstandard.ZstdCompressor().compress(LINES),
    "array.json": json.dumps(ROWS, ensure_ascii=False).encode(),
    "laid-out.json": json.dumps(ROWS, indent=2).encode(),
    "one-after-the-other.json": LINES.replace(b"\n", b" "),
    "a.csv": table(),
    "lf.csv": table(end="\n"),
    "semicolons.csv": table(";"),
    "tabs.csv": table("\t"),
    "a.tsv": table("\t"),
    "all-quoted.csv": table(quoting=csv.QUOTE_ALL),
    "mark.csv": b"\xef\xbb\xbf" + table(),
    "a.csv.gz": gzip.compress(table()),
}
WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.parquet": lambda path: parquet.write_table(arrow_table(), path, row_group_size=70),
    "a.feather": lambda path: feather.write_feather(arrow_table(), path),
    "a.arrow": arrow_stream,
    "pandas.csv": lambda path: pd.DataFrame(ROWS).to_csv(path),
    "pandas.jsonl": lambda path: pd.DataFrame(ROWS).to_json(path, orient="records", lines=True, force_ascii=False),
    "pandas.json": lambda path: pd.DataFrame(ROWS).to_json(path, orient="records"),
    "pandas.parquet": lambda path: pd.DataFrame(ROWS).to_parquet(path),
}
ENCODED = {"utf16.csv": "utf-16", "utf16le.tsv": "utf-16-le"}
BODY = {"q": "{question}", "text": "Q: {question}?\n{passage}"}


@pytest.mark.parametrize("name", [*BYTES, *WRITERS, *ENCODED])
def test_every_row_is_what_its_bytes_say(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name in WRITERS:
        WRITERS[name](path)
    else:
        path.write_bytes(BYTES[name] if name in BYTES else table("\t" if name.endswith(".tsv") else ",", encoding=ENCODED[name]))
    source = {"id": "idx", "encoding": ENCODED.get(name, "utf-8")}
    request = {"url": "/v1/x", "body": BODY}
    written = write_config(tmp_path, "http://provider.test/v1", source=name, request=request)
    config = pipeline.load_config(written, [f"source.{key}={value}" for key, value in source.items()])

    jobs, rows = job_maker(config), source_opener(config)()
    made: list[Any] = []
    while taken := rows.take(64):
        made += jobs.make_jobs(taken, len(made))
    rows.close()
    jobs.close()

    assert [getattr(job, "message", None) for job in made] == [None] * len(ROWS)
    assert [job.custom_id for job in made] == [str(row["idx"]) for row in ROWS]
    bodies = [json.loads(job.body) for job in made]
    assert bodies == [{"q": row["question"], "text": f"Q: {row['question']}?\n{row['passage']}"} for row in ROWS]
