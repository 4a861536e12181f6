"""Opening inputs: kinds, compressions, marks, and everything that can be wrong with a file."""

from __future__ import annotations

import gzip
import os
import threading
from typing import TYPE_CHECKING

import pytest
import zstandard

from pipeline.core.rows.lines import OTHER_ENCODING
from pipeline.edges.sources.file import CHUNK_BYTES, FileSource
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.rows.lines import RawRow

LINES = b'{"a":1}\n{"a":2}\r\n\n{"a":3}'
MANY = b"".join(b'{"prompt":"number %d of many"}\n' % number for number in range(100_000))

PACK: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".zst": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def read(path: Path, most: int = 100, max_line_bytes: int = 1000) -> list[RawRow]:
    rows = []
    with FileSource.open(path, max_line_bytes=max_line_bytes) as source:
        while part := source.take(most):
            assert len(part) <= most
            rows += part
        assert source.take(most) == []
    return rows


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_rows_are_lines_with_their_number_and_place(tmp_path: Path, packing: str, mark: bytes) -> None:
    path = write(tmp_path / f"in.jsonl{packing}", PACK[packing](mark + LINES))

    rows = read(path, most=2)

    shift = len(mark)
    assert [(row.line, row.offset - shift, row.data) for row in rows] == [(1, 0, b'{"a":1}'), (2, 8, b'{"a":2}'), (4, 18, b'{"a":3}')]


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("name", ["in.JSONL", "in.ndjson", "in.v2.jsonl"])
def test_kind_is_told_by_the_end_of_the_name(tmp_path: Path, name: str, packing: str) -> None:
    assert len(read(write(tmp_path / (name + packing), PACK[packing](LINES)))) == 3


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.txt"])
@pytest.mark.parametrize("data", [b"", b"\n\r\n \n", b"\xef\xbb\xbf"], ids=["empty", "blank", "bom"])
def test_an_input_without_rows_is_no_error(tmp_path: Path, name: str, packing: str, data: bytes) -> None:
    assert read(write(tmp_path / (name + packing), PACK[packing](data))) == []


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_a_compressed_file_may_have_many_parts_and_padding(tmp_path: Path, packing: str) -> None:
    pack = PACK[packing]
    data = pack(b'{"a":1}\n{"a"') + pack(b"") + pack(b":2}\n") + bytes(1000)

    assert [row.data for row in read(write(tmp_path / f"in.jsonl{packing}", data))] == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize("packing", PACK)
def test_a_long_input_comes_whole_and_in_order(tmp_path: Path, packing: str) -> None:
    rows = read(write(tmp_path / f"in.jsonl{packing}", PACK[packing](MANY)), most=256)

    assert b"".join(bytes(row.data) + b"\n" for row in rows if isinstance(row.data, bytes)) == MANY
    assert all(MANY.startswith(b'{"prompt":"number %d ' % number, row.offset) for number, row in enumerate(rows))


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("harm", ["cut", "flipped", "garbage behind"])
def test_a_broken_compressed_file_is_told_after_the_rows_before(tmp_path: Path, packing: str, harm: str) -> None:
    data = PACK[packing](b"".join(b'{"noise":"%s"}\n' % os.urandom(20).hex().encode() for _ in range(30_000)))
    at = len(data) // 2
    broken = {"cut": data[:at], "flipped": data[:at] + bytes(64) + data[at + 64 :], "garbage behind": data + b"garbage"}[harm]
    path = write(tmp_path / f"in.jsonl{packing}", broken)
    rows = []

    with FileSource.open(path) as source:
        with pytest.raises(InputError) as caught:  # noqa: PT012  which call raises depends on the compression
            while part := source.take(256):
                rows += part

        assert str(caught.value).startswith(f"{path}: cannot be read beyond byte ")
        assert f" (line {rows[-1].line + 1:,}): " in str(caught.value)
        with pytest.raises(InputError):
            source.take(1)


def test_an_endless_line_is_one_bad_row_in_its_place(tmp_path: Path) -> None:
    data = b"1\n" + b"x" * (3 * CHUNK_BYTES) + b"\r\n2\n" + b"y" * 2000

    rows = read(write(tmp_path / "in.jsonl", data), max_line_bytes=1000)

    assert [(row.line, row.data) for row in rows] == [(1, b"1"), (2, None), (3, b"2"), (4, None)]
    assert rows[1].problem == "is longer than 1,000 bytes"
    assert rows[2].offset == data.index(b"2\n")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_only_line_breaks_end_a_line(tmp_path: Path, end: bytes) -> None:
    lines = ["a\u2028b", "c\x0bd\x0c", "e\x85f\u0085", " g "]
    path = write(tmp_path / "in.txt", end.join(line.encode() for line in lines))

    assert [row.data for row in read(path)] == [{"prompt": line} for line in lines]


def test_text_that_is_not_utf8_is_a_bad_row(tmp_path: Path) -> None:
    rows = read(write(tmp_path / "in.txt", b"good\nb\xe9d\nfine"))

    assert [(row.data, row.problem) for row in rows] == [
        ({"prompt": "good"}, None),
        (None, f"is not UTF-8: byte 0xe9 at 2; {OTHER_ENCODING}"),
        ({"prompt": "fine"}, None),
    ]


def test_csv_rows_are_fields_by_the_header(tmp_path: Path) -> None:
    data = b'\xef\xbb\xbfprompt, lang \n"two\nlines, ""quoted""",en\nshort\n\nx,y,z\nb\xffd,en\nlast,"never\nends'

    rows = read(write(tmp_path / "in.csv", data))

    assert [(row.line, row.data) for row in rows] == [
        (2, {"prompt": 'two\nlines, "quoted"', "lang": "en"}),
        (4, {"prompt": "short"}),
        (6, None),
        (7, None),
        (8, None),
        (9, {"prompt": "ends"}),
    ]
    assert [row.problem for row in rows[2:5]] == [
        "has 3 fields, the header has 2; quote a field that holds the delimiter",
        f"is not UTF-8: byte 0xff at 2; {OTHER_ENCODING}",
        "has a quoted field that never ends; it would swallow the lines up to 9 (2 lines); check its quotes",
    ]


def test_csv_fields_may_be_long_and_hold_anything(tmp_path: Path) -> None:
    long = "x" * 500_000
    rows = read(write(tmp_path / "in.csv", f'prompt\n{long}\n"\0"\n'.encode()), max_line_bytes=1_000_000)

    assert [row.data for row in rows] == [{"prompt": long}, {"prompt": "\0"}]


def test_tsv_is_split_at_tabs(tmp_path: Path) -> None:
    assert [row.data for row in read(write(tmp_path / "in.tsv", b"a\tb\n1,2\t3\n\t\n"))] == [{"a": "1,2", "b": "3"}, {"a": "", "b": ""}]


@pytest.mark.parametrize(
    "header, complaint",
    [
        (b",,", "line 1: no column has a name"),
        (b"a,b,a", "line 1: two columns are named 'a'"),
        (b"\n\xff", "line 2: the header is not UTF-8"),
        (b'"a', "line 1: the header has a quoted field that never ends"),
        (b"a" * 2000, "line 1: the header is longer than 1,000 bytes"),
    ],
)
def test_a_header_that_names_no_columns_is_an_error(tmp_path: Path, header: bytes, complaint: str) -> None:
    path = write(tmp_path / "in.csv", header + b"\n1,2,3\n")

    with pytest.raises(InputError) as caught:
        read(path)

    assert str(caught.value).startswith(f"{path}: {complaint}")


@pytest.mark.parametrize(
    "name, data, advice",
    [
        ("in.jsonl", gzip.compress(LINES), "is compressed by gzip; give it a name that ends in .gz"),
        ("in.csv", zstandard.ZstdCompressor().compress(LINES), "is compressed by zstd; give it a name that ends in .zst"),
        ("in.txt", "text".encode("utf-16"), "is UTF-16; convert it to UTF-8"),
        ("in.txt", "text".encode("utf-32"), r"is UTF-32; .* source\.encoding: utf-32"),
        ("in.txt", "What is a weir?\nWhat?\n".encode("utf-16-le"), r"is UTF-16 without a mark; .* source\.encoding: utf-16-le"),
        ("in.txt", "堰とは\n何か\n".encode("utf-16-le"), r"is UTF-16 without a mark; .* source\.encoding: utf-16-le"),
        ("in.csv", "id,prompt\n1,x\n".encode("utf-16-be"), r"is UTF-16 without a mark; .* source\.encoding: utf-16-be"),
        ("in.jsonl", LINES.decode().encode("utf-16-le"), "is UTF-16 without a mark"),
        ("in.jsonl", b' [\n {"a": 1}\n]', "is a JSON array"),
        ("in.jsonl", b'[{"a": 1}, {"a": 2}]', "is a JSON array"),
        ("in.ndjson", b'{\r\n  "a": 1\r\n}', "has objects that go over several lines"),
    ],
    ids=[
        "gzip",
        "zstd",
        "utf-16",
        "utf-32",
        "utf-16-le",
        "utf-16-le-kanji",
        "utf-16-be",
        "utf-16-jsonl",
        "array",
        "array-of-objects",
        "laid-out",
    ],  # gzip writes the time into its header, and an id must be the same in every process
)
def test_a_file_of_another_kind_than_its_name_says_is_told(tmp_path: Path, name: str, data: bytes, advice: str) -> None:
    path = write(tmp_path / name, data)

    with pytest.raises(InputError, match=advice):
        read(path)


@pytest.mark.parametrize("name", ["in.jsonx", "in", "in.gz", "in.parquet", "in.jsonl.bz2", ".jsonl.txt.zip"])
def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"its name must end in one of \.jsonl, \.ndjson, \.json, \.csv, \.tsv, \.txt"):
        FileSource.open(write(tmp_path / name, LINES))


def test_a_spreadsheet_is_told_how_to_become_an_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"or in \.parquet, \.arrow, \.feather; .*; save the sheet as CSV \(UTF-8\)$"):
        FileSource.open(write(tmp_path / "in.XLSX", b"PK"))


def test_what_is_no_readable_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()

    with pytest.raises(InputError, match=r"missing\.jsonl: no such file"):
        FileSource.open(tmp_path / "missing.jsonl")
    with pytest.raises(InputError, match=r"folder\.jsonl is a directory"):
        FileSource.open(tmp_path / "folder.jsonl")
    with pytest.raises(InputError, match=r"in\.jsonl: "):
        FileSource.open(write(tmp_path / "file", b"") / "in.jsonl")


def test_a_slow_pipe_trickles(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    os.mkfifo(path)
    taken: list[bytes] = []
    ready = threading.Semaphore(0)

    def feed() -> None:
        with path.open("wb", buffering=0) as pipe:
            for part in (b"{", b"}\n", b"1\n2\n3", b"4\n", b"5"):
                pipe.write(part)
                if part.endswith(b"\n"):
                    assert ready.acquire(timeout=10), "the rows that were there did not come"

    writer = threading.Thread(target=feed)
    writer.start()
    with FileSource.open(path) as source:
        while rows := source.take(100):
            taken += [row.data for row in rows if isinstance(row.data, bytes)]
            if taken[-1] in (b"{}", b"34"):
                ready.release()
    writer.join()

    assert taken == [b"{}", b"1", b"2", b"34", b"5"]


def test_stdin_is_jsonl_and_stays_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with write(tmp_path / "piped", LINES).open() as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        with FileSource.open("-") as source:
            rows = source.take(10) + source.take(10)

        assert [row.line for row in rows] == [1, 2, 4]
        assert os.fstat(stdin.fileno())


def test_a_closed_stdin_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)

    with pytest.raises(InputError, match="stdin is closed"):
        FileSource.open("-")


@pytest.mark.parametrize(
    "name, data",
    [
        ("pandas with its index", b",prompt\n0,hello\n1,world\n"),
        ("Excel with empty columns behind", b"id,prompt,,\n1,hello,,\n2,world,,\n"),
        ("semicolons and a mark", b"\xef\xbb\xbfid;prompt\r\n1;hello\r\n2;world\r\n"),
        ("tabs under .csv", b"id\tprompt\n1\thello\n2\tworld\n"),
        ("a delimiter within quotes", b'"a;b;c",prompt\n1,hello\n2,world\n'),
        ("two columns of one name that nobody asks for", b"note,prompt,note\na,hello,b\na,world,b\n"),
        ("empty fields beyond the header", b"prompt\nhello,,\nworld,\n"),
    ],
)
def test_tables_are_read_as_people_have_them(tmp_path: Path, name: str, data: bytes) -> None:
    path = write(tmp_path / "in.csv", data)

    with FileSource.open(path, used=["prompt"]) as source:
        rows = source.take(10)

    prompts = [row.data["prompt"] for row in rows if isinstance(row.data, dict)]
    assert prompts == ["hello", "world"], name


def test_two_columns_of_one_name_are_told_if_somebody_asks_for_it(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", b"note,prompt,note\na,hello,b\n")

    with FileSource.open(path, used=["note"]) as source, pytest.raises(InputError, match="two columns are named 'note'"):
        source.take(10)


@pytest.mark.parametrize("last, problem", [('"again', "is followed by more text"), ('again"', "looks like rows of the table")])
def test_rows_that_a_stray_quote_swallowed_are_given_one_by_one(tmp_path: Path, last: str, problem: str) -> None:
    texts = ["a", '"oops', *"bcdefg", last, "h"]
    path = write(tmp_path / "in.csv", "".join(["id,prompt\n", *(f"{at},{text}\n" for at, text in enumerate(texts))]).encode())

    rows = read(path)

    assert [row.line for row in rows] == list(range(2, 12))
    assert rows[1].problem == f"has a quoted field that goes on to line 10 and {problem}; check its quotes"
    assert [row.data for row in rows if row.data and row.line != 10] == [
        {"id": str(at), "prompt": text} for at, text in enumerate(texts) if '"' not in text
    ]


@pytest.mark.parametrize("encoding", ["windows-1252", "utf-16", "utf-16-le", "shift_jis", "UTF-8"])
@pytest.mark.parametrize("packing", PACK)
def test_text_is_read_in_the_encoding_that_is_named(tmp_path: Path, encoding: str, packing: str) -> None:
    words = ["堰", "水門"] if encoding != "windows-1252" else ["café", "“quoted”"]
    data = "".join(f"{word}\r\n" for word in words * 50_000).encode(encoding)
    path = write(tmp_path / f"in.txt{packing}", PACK[packing](data))

    with FileSource.open(path, encoding=encoding) as source:
        rows = source.take(10)
        while more := source.take(1000):
            rows += more

    assert [row.data for row in rows] == [{"prompt": word} for word in words * 50_000]


def test_bytes_that_an_encoding_does_not_know_spoil_their_own_row(tmp_path: Path) -> None:
    path = write(tmp_path / "in.txt", b"a\n\xff\xff\nb\n")

    with FileSource.open(path, encoding="shift_jis") as source:
        rows = source.take(10)

    assert [row.data for row in rows] == [{"prompt": "a"}, None, {"prompt": "b"}]


def test_files_that_were_joined_lose_no_row_to_a_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "in.jsonl", b'{"a":1}\n\xef\xbb\xbf{"a":2}\n')

    assert [row.data for row in read(path)] == [b'{"a":1}', b'{"a":2}']


@pytest.mark.parametrize("cut", [b'{"a":2}\n', b'"a":2}\n', b""])
def test_an_input_that_is_cut_while_it_is_read_is_told(tmp_path: Path, cut: bytes) -> None:
    path = write(tmp_path / "in.jsonl", MANY)

    with FileSource.open(path) as source:
        rows = source.take(1)
        with path.open("r+b") as file:
            file.truncate(len(MANY) - CHUNK_BYTES - len(cut))
        with pytest.raises(InputError, match=rf"it was cut while it was read: it had {len(MANY):,} bytes and has"):  # noqa: PT012
            while rows:
                rows = source.take(1000)


def test_long_rows_are_read_several_at_once_and_short_ones_in_small_chunks(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"".join(b'{"p": "%s"}\n' % (b"x" * size) for size in [100_000] * 60 + [100] * 90_000))

    with FileSource.open(path) as source:
        taken = [len(rows) for rows in iter(lambda: source.take(256), [])]
        at_once = source._chunk_bytes

    assert sum(taken) == 90_060
    assert min(taken[1:5]) >= 9
    assert at_once == CHUNK_BYTES


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("data", [b'{"prompt":"a"}\n', b"PK\3\4", b"xy"])
def test_file_that_is_not_packed_as_its_name_says_is_told_so(tmp_path: Path, ending: str, data: bytes) -> None:
    with pytest.raises(InputError, match=rf"in\.jsonl{ending} is not compressed as its name says"):
        read(write(tmp_path / f"in.jsonl{ending}", data))


@pytest.mark.parametrize("told", [b"sep=;\r\n", b'"sep=;"\n', b"SEP=;\n", b"\xef\xbb\xbfsep=;\n"])
def test_line_that_tells_excel_the_delimiter_is_no_row(tmp_path: Path, told: bytes) -> None:
    rows = read(write(tmp_path / "in.csv", told + b"a,b,c;p\nx,;y\n"))

    assert [(row.line, row.data) for row in rows] == [(3, {"a,b,c": "x,", "p": "y"})]


def test_encoding_of_windows_holds_what_windows_adds_to_it(tmp_path: Path) -> None:
    path = write(tmp_path / "in.csv", "prompt\n①髙\n".encode("cp932"))

    with FileSource.open(path, encoding="shift_jis") as source:
        assert [row.data for row in source.take(9)] == [{"prompt": "①髙"}]


@pytest.mark.parametrize("needed, problem", [
    ({"prompt": "request.body"}, "no column is named 'prompt', which request.body asks for; there are 'Prompt', 'label'"),
    ({"label": "sink.keep", "id": "source.id"}, "no column is named 'id', which source.id asks for; there are 'Prompt', 'label'"),
    ({"label.inner": "request.body"}, None),
])  # fmt: skip
def test_column_that_the_config_asks_for_is_missed_at_once(tmp_path: Path, needed: dict[str, str], problem: str | None) -> None:
    path = write(tmp_path / "in.csv", b"Prompt ,label\n" + b"a,b\n" * 5)

    with FileSource.open(path, needed=needed) as source:
        if problem is None:
            assert len(source.take(9)) == 5
            return
        with pytest.raises(InputError) as raised:
            source.take(9)

    assert str(raised.value) == f"{path}: line 1: {problem}"
