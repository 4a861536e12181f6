"""`sink.keep`: fields of the input row in the flat line of its result."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

import pipeline
from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.kept import KeptFields, with_fields
from pipeline.core.output.keys import KEYS
from pipeline.core.output.read_lines import read_line, read_output_id
from pipeline.core.rows.lines import RawRow
from pipeline.errors import ConfigError, UsageError
from pipeline.inspect.verify import verify
from pipeline.records import Failure, FailureKind
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from pathlib import Path

REQUEST = {"url": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": "{prompt}"}]}}
NOTHING = {"label": None, "meta.source": None}


def provider(asked: list[str], refused: str = "") -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        prompt = json.loads(request.content)["messages"][0]["content"]
        asked.append(prompt)
        if prompt == refused:
            return httpx.Response(400, json={"error": {"message": "no", "code": "bad"}})
        return httpx.Response(
            200, json={"choices": [{"message": {"role": "assistant", "content": f"to {prompt}"}, "finish_reason": "stop"}]}
        )

    return httpx.MockTransport(answer)


def keep_of(folder: Path, *fields: str, source: str = "in.jsonl", **sections: Any) -> pipeline.Config:
    sink = {"shape": "flat", "keep": list(fields), **sections.pop("sink", {})}
    return pipeline.load_config(write_config(folder, "http://provider.test/v1", source=source, request=REQUEST, sink=sink, **sections))


def kept(data: object, *names: str) -> dict[str, Any]:
    line = encode_flat(Failure(0, "row-0", FailureKind.INVALID_ROW, "bad"))
    full = with_fields(line, KeptFields(names).of(RawRow(1, 0, data)))  # type: ignore[arg-type]  # what is no row is tried too
    assert full.endswith(b"}\n")
    assert full.count(b"\n") == 1
    read: dict[str, Any] = json.loads(full)
    return {name: read[name] for name in names}


@pytest.mark.parametrize(
    "data, expected",
    {
        "values keep their type": (
            b'{"label": [1, "\\u00e9"], "meta": {"source": {"a": 1.50}}}',
            {"label": [1, "é"], "meta.source": {"a": 1.5}},
        ),
        "a name with a dot comes first": (b'{"label": 1, "meta.source": 2, "meta": {"source": 3}}', {"label": 1, "meta.source": 2}),
        "a missing field": (b'{"other": 1}', NOTHING),
        "nothing to reach into": (b'{"label": "x", "meta": 3}', {"label": "x", "meta.source": None}),
        "a table's row": ({"label": "spam", "meta": None}, {"label": "spam", "meta.source": None}),
        "what JSON cannot hold": ({"label": float("nan"), "meta": {"source": object()}}, NOTHING),
        "no JSON": (b'{"label": 1', NOTHING),
        "no object": (b"[1]", NOTHING),
        "no UTF-8": (b'{"label": "\xff"}', NOTHING),
        "no data": (None, NOTHING),
    }.values(),
)
def test_fields_are_carried_as_they_are_and_null_where_there_are_none(data: object, expected: dict[str, Any]) -> None:
    assert kept(data, "label", "meta.source") == expected


def test_fields_at_the_top_are_carried_as_the_bytes_that_they_were() -> None:
    row = RawRow(1, 0, b'{"n": 12345678901234567890.10, "o": {\r\n  "a": 1\n}}')

    assert KeptFields(["n", "o"]).of(row) == b',"n":12345678901234567890.10,"o":{"a":1}'


def test_a_bad_text_in_a_field_makes_no_line_that_cannot_be_read() -> None:
    assert kept(b'{"a": "\xff", "label": 1}', "label") == {"label": None}


@pytest.mark.parametrize("name", ["id", "reply", "body", "message"])
def test_a_field_of_any_name_and_type_leaves_the_line_readable(name: str) -> None:
    outcome = Failure(3, "x", FailureKind.TIMEOUT, "late")

    line = with_fields(encode_flat(outcome), KeptFields([name]).of(RawRow(1, 0, b'{"%s": [17]}' % name.encode())))

    read = read_line(line)
    assert read is not None
    assert (read.index, read.custom_id, read.code) == (3, "x", "timeout")
    assert read_output_id(line) == "x"


@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_run_carries_fields_for_successes_failures_and_bad_rows(tmp_path: Path, order: str) -> None:
    (tmp_path / "in.csv").write_text('id,label,prompt\nA17,spam,hello\nB2,,no\nC3,ham\nD4,"eggs, ham",world\n')
    config = keep_of(tmp_path, "label", "id", source="in.csv", sink={"order": order})

    trio.run(lambda: pipeline.run(config, transport=provider([], "no")))

    lines = read_lines(tmp_path / "out.jsonl")
    found = {line["custom_id"]: (line["status"], line["label"], line["id"], len(line)) for line in lines}
    keys = len(KEYS["flat"]) + 2
    assert found == {
        "row-0": ("success", "spam", "A17", keys),
        "row-1": ("error", "", "B2", keys),
        "row-2": ("error", "ham", "C3", keys),
        "row-3": ("success", "eggs, ham", "D4", keys),
    }
    assert verify(config).ok


def test_a_resumed_and_a_repaired_run_carry_the_same_fields(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{number}", "label": f"l{number}"} for number in range(6)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = keep_of(tmp_path, "label")
    asked: list[str] = []
    trio.run(lambda: pipeline.run(config, limit=3, transport=provider(asked, "p1")))

    trio.run(lambda: pipeline.run(config, transport=provider(asked)))
    trio.run(lambda: pipeline.run(config, retry_failed="all", transport=provider(asked)))

    lines = read_lines(tmp_path / "out.jsonl")
    assert [(line["content"], line["label"]) for line in lines] == [(f"to p{number}", f"l{number}") for number in range(6)]
    assert sorted(asked) == ["p0", "p1", "p1", "p2", "p3", "p4", "p5"]


def test_other_fields_within_one_output_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "a", "label": 1}\n')
    trio.run(lambda: pipeline.run(keep_of(tmp_path, "label"), transport=provider([])))

    with pytest.raises(UsageError, match=r"sink\.keep cannot change within one output"):
        trio.run(lambda: pipeline.run(keep_of(tmp_path), transport=provider([])))


@pytest.mark.parametrize(
    "sink, said",
    [
        ({"keep": ["label"], "shape": "batch"}, r"sink\.keep: needs sink\.shape: flat"),
        ({"keep": ["label", "content"]}, r"sink\.keep: content is a key of every flat line"),
        ({"keep": ["a", "b", "a"]}, r"sink\.keep: names a twice"),
        ({"keep": [" "]}, r"sink\.keep: must be names of fields"),
        ({"keep": "label"}, r"sink\.keep: must be a list"),
    ],
)
def test_a_keep_that_no_line_can_have_is_refused(tmp_path: Path, sink: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        keep_of(tmp_path, sink=sink)


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_a_value_that_is_laid_out_over_lines_is_put_on_one(end: bytes) -> None:
    row = RawRow(1, 0, b'{"label":{%b"a":%b1}}' % (end, end))

    assert json.loads(KeptFields(["label"]).of(row)[9:]) == {"a": 1}
    assert not {b"\n"[0], b"\r"[0]} & {*KeptFields(["label"]).of(row)}


def test_a_value_on_one_line_stays_as_it_was_written() -> None:
    assert KeptFields(["label"]).of(RawRow(1, 0, b'{"label":{ "a" : 1.0 }}')) == b',"label":{ "a" : 1.0 }'
