"""Several files as one input: a list, a pattern, or both."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

import pipeline
from pipeline.config.rules import matches
from pipeline.edges.sources.chain import ChainedSource
from pipeline.edges.sources.opening import open_source
from pipeline.errors import ConfigError, InputChangedError, InputError
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.core.rows.lines import RawRow

FILES = {  # CR LF, no line end at the end, a mark, nothing at all: all that may stand between two files
    "a.jsonl": b'{"custom_id":"1"}\r\n{"custom_id":"2"}\r\n',
    "b.jsonl": b'{"custom_id":"x-1"}\n{"custom_id":"x-2"}',
    "c.jsonl": b"",
    "d.jsonl.gz": gzip.compress(b'\xef\xbb\xbf{"custom_id":"x-3"}\n{"custom_id":"y"}\n'),
    "e.ndjson": b'{"custom_id":"z"}',
}
BODY = b'{"model":"m","messages":[]}'


def write_files(folder: Path, files: dict[str, bytes] = FILES) -> list[str]:
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in files]


def all_rows(paths: str | Sequence[str]) -> list[RawRow]:
    source = open_source(paths)
    rows: list[RawRow] = []
    while taken := source.take(3):
        assert len({row.file for row in taken}) == 1
        rows += taken
    source.close()
    return rows


def test_rows_come_file_by_file_and_say_where_they_stand(tmp_path: Path) -> None:
    rows = all_rows(write_files(tmp_path))

    places = [row.place for row in rows]
    assert places == [f"{name}, line {line}" for name, line in [("a.jsonl", 1), ("a.jsonl", 2), ("b.jsonl", 1), ("b.jsonl", 2)]] + [
        f"{name}, line {line}" for name, line in [("d.jsonl.gz", 1), ("d.jsonl.gz", 2), ("e.ndjson", 1)]
    ]
    assert [row.offset for row in rows] == sorted({row.offset for row in rows})


def test_files_of_several_folders_are_named_from_the_folder_that_they_share(tmp_path: Path) -> None:
    (tmp_path / "x" / "y").mkdir(parents=True)
    paths = write_files(tmp_path, {"x/a.jsonl": b"{}", "x/y/b.jsonl": b"{}"})

    assert [row.place for row in all_rows(paths)] == ["a.jsonl, line 1", "y/b.jsonl, line 1"]


@pytest.mark.parametrize("at", range(7))
def test_the_text_before_a_row_is_that_of_the_rows_before_it_and_the_rest_follows(tmp_path: Path, at: int) -> None:
    paths = write_files(tmp_path)
    rows = all_rows(paths)
    source = open_source(paths)

    text = source.text_before(rows[at].line, rows[at].offset)

    assert text is not None
    assert b"".join(text).splitlines() == [row.data for row in rows[:at]]
    rest = [row for _ in range(9) for row in source.take(5)]
    assert [(row.data, row.place, row.offset) for row in rest] == [(row.data, row.place, row.offset) for row in rows[at:]]
    assert source.bytes_read == source.size


def test_files_that_are_not_all_lines_of_json_are_passed_row_by_row(tmp_path: Path) -> None:
    paths = write_files(tmp_path, {"a.jsonl": b"{}\n", "b.csv": b"prompt\nx\n"})

    assert open_source(paths).text_before(1, all_rows(paths)[1].offset) is None


def test_a_pattern_is_sorted_by_name_and_a_list_keeps_its_order(tmp_path: Path) -> None:
    names = ["part-2.txt", "part-10.txt", "z.txt", "sub/part-1.txt"]
    (tmp_path / "sub").mkdir()
    write_files(tmp_path, {name: name.encode() for name in names})

    def prompts(*paths: str) -> list[str]:
        found = all_rows([str(tmp_path / path) for path in paths])
        return [str(row.data["prompt"]) for row in found if isinstance(row.data, dict)]

    assert prompts("part-*.txt") == ["part-10.txt", "part-2.txt"]
    assert prompts("z.txt", "part-*.txt") == ["z.txt", "part-10.txt", "part-2.txt"]
    assert prompts("**/*.txt") == ["part-10.txt", "part-2.txt", "sub/part-1.txt", "z.txt"]


def test_a_file_that_is_called_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    write_files(tmp_path, {"a[1].txt": b"mine", "a1.txt": b"other"})

    assert [row.data for row in all_rows(str(tmp_path / "a[1].txt"))] == [{"prompt": "mine"}]


def test_a_file_that_is_named_twice_is_told(tmp_path: Path) -> None:
    path, *_ = write_files(tmp_path, {"a.txt": b"x"})
    (tmp_path / "b.txt").symlink_to("a.txt")

    with pytest.raises(InputError, match=r"a\.txt: this file is named twice$"):
        open_source([path, path])
    with pytest.raises(InputError, match=r"b\.txt: this file is named twice, also as .*a\.txt"):
        open_source(str(tmp_path / "*.txt"))


def test_a_pipe_among_several_is_told_and_a_missing_file_too(tmp_path: Path) -> None:
    path, *_ = write_files(tmp_path, {"a.txt": b"x"})
    os.mkfifo(tmp_path / "p.txt")

    with pytest.raises(InputError, match=r"p\.txt is no file"):
        open_source([path, str(tmp_path / "p.txt")])
    with pytest.raises(InputError, match=r"missing\.txt: No such file"):
        open_source([path, str(tmp_path / "missing.txt")])


def line(name: str) -> bytes:
    return b'{"custom_id":"%s","body":%s}' % (name.encode(), BODY)


def config_of(folder: Path, paths: object) -> pipeline.Config:
    write_config(folder, "http://provider.test/v1")
    config = json.loads((folder / "config.yaml").read_text())
    config["source"]["path"] = paths
    (folder / "config.yaml").write_text(json.dumps(config))
    return pipeline.load_config(folder / "config.yaml")


def run(config: pipeline.Config, *, limit: int | None = None) -> int:
    sent = 0

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal sent
        sent += 1
        return httpx.Response(200, json={"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})

    trio.run(lambda: pipeline.run(config, limit=limit, transport=httpx.MockTransport(answer)))
    return sent


@pytest.mark.parametrize("limit", range(1, 7))
def test_a_resumed_run_writes_what_an_undisturbed_one_does(tmp_path: Path, limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [["a-1", "one"], ["two"], ["a-1", "one", "a-2"]]  # the ids of the first file come again in the last
    texts = [b"\n".join(map(line, each)) for each in names]
    write_files(tmp_path, {f"in-{at}.jsonl": text for at, text in enumerate(texts)})
    config = config_of(tmp_path, ["in-0.jsonl", "in-[12].jsonl"])
    run(config)
    undisturbed = (tmp_path / "out.jsonl").read_bytes()
    assert undisturbed.count(b"was used") == 2
    for path in tmp_path.glob("out.jsonl*"):
        path.unlink()

    sent = run(config, limit=limit)
    skipped: list[int] = []
    monkeypatch.setattr(ChainedSource, "text_before", _counting(skipped))
    sent += run(config)

    assert (tmp_path / "out.jsonl").read_bytes() == undisturbed
    assert sent == 4
    assert skipped or limit == 1  # it did go on by the text, not row by row


def _counting(calls: list[int]) -> object:
    original = ChainedSource.text_before

    def counted(self: ChainedSource, line: int, offset: int) -> object:
        calls.append(offset)
        return original(self, line, offset)

    return counted


def test_a_file_that_is_added_behind_the_others_needs_nothing_else(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jsonl": line("a") + b"\n" + line("b")})

    assert run(config_of(tmp_path, "a.jsonl")) == 2
    write_files(tmp_path, {"b.jsonl": line("c")})
    assert run(config_of(tmp_path, ["a.jsonl", "b.jsonl"])) == 1

    assert [each["custom_id"] for each in read_lines(tmp_path / "out.jsonl")] == ["a", "b", "c"]


def test_a_row_that_has_changed_is_named_by_its_file_and_line(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jsonl": line("a"), "b.jsonl": line("b") + b"\n" + line("c")})
    config = config_of(tmp_path, ["a.jsonl", "b.jsonl"])
    run(config)
    write_files(tmp_path, {"b.jsonl": line("b") + b"\n" + line("c").replace(b"[]", b"[1]")})

    with pytest.raises(InputChangedError, match=r"row 2 \(b\.jsonl, line 2"):
        run(config)


@pytest.mark.parametrize(
    "pattern, path, expected",
    [
        ("/d/*.jsonl", "/d/out.jsonl", True),
        ("/d/*.jsonl", "/d/e/out.jsonl", False),
        ("/d/**/*.jsonl", "/d/out.jsonl", True),
        ("/d/**/*.jsonl", "/d/e/f/out.jsonl", True),
        ("/d/**/*.jsonl", "/e/out.jsonl", False),
        ("/d/part-?.jsonl", "/d/part-10.jsonl", False),
        ("/d/out.jsonl", "/d/out.jsonl", False),  # no pattern: that it is the same file is seen by its name
    ],
)
def test_a_pattern_matches_what_glob_would_find(pattern: str, path: str, *, expected: bool) -> None:
    assert matches(pattern, path) is expected


@pytest.mark.parametrize(
    "paths, said",
    [
        ("*.jsonl", r"sink\.path: is matched by the source .*\*\.jsonl"),
        (["a.jsonl", "out.jsonl"], r"sink\.path: is the source"),
        (["a.jsonl", "-"], r"source\.path: item 2: stdin cannot be one of several"),
        (["a.jsonl", ""], r"source\.path: item 2: must not be empty"),
        ([], r"source\.path: must name at least one file"),
        ([3], r"source\.path\[0\]: must be text, got 3"),
        (3, r"source\.path: must be text, got 3"),
        (["a.jsonl", "b.csv"], r"request: missing required key"),
    ],
)
def test_inputs_that_cannot_be_are_refused(tmp_path: Path, paths: object, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        config_of(tmp_path, paths)
