"""Which rows become jobs, and what is said of those that do not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.core.rows import row_maker
from pipeline.core.rows.ids import MemoryStore
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.names import MAX_ID_LENGTH
from pipeline.core.rows.templates import Template
from pipeline.records import Failure, FailureKind, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

CHAT = Template.compile({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "{prompt}"}]})
BODY = '{"model": "m",  "messages": []}'


def line(**changes: Any) -> bytes:
    fields = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}} | changes
    return json.dumps({key: value for key, value in fields.items() if value is not ...}).encode()


def make(data: bytes | Mapping[str, Any] | None, template: Template | None = None) -> Job | Failure:
    maker = JobMaker(template, seen=MemoryStore())
    return maker.make_jobs([RawRow(17, 1000, data)], 3)[0]


def refusal(data: bytes | Mapping[str, Any], template: Template | None = None) -> str:
    item = make(data, template)
    assert isinstance(item, Failure), item
    assert (item.index, item.kind, item.attempts) == (3, FailureKind.INVALID_ROW, 0)
    start, _, problem = item.message.partition(": ")
    assert start == "line 17"
    return problem


def test_a_batch_line_is_sent_byte_for_byte() -> None:
    job = make(b' {"body": ' + BODY.encode() + b' , "custom_id":"a","url":"/v1/x?y=1","method":"POST","extra":[1]}\r')

    assert isinstance(job, Job)
    assert (job.index, job.custom_id, job.method, job.url, job.body, job.line) == (3, "a", "POST", "/v1/x?y=1", BODY.encode(), 17)
    assert job.tokens > 0


def rows_of_the_usual_form() -> st.SearchStrategy[bytes]:
    keys = st.sampled_from(['"body"', '"body"', '"custom_id"', '"url"', '"method"', '"x\\"body"', '"bod\\u0079"', '"meta"', '"body" '])
    values = st.sampled_from(
        ["{}", '{"n":2}', '{"max_tokens": 5, "stream": true}', '{"n":1e999}', '{"n":}', "[1]", "null", '"a"', "7", '"/v1/x"', '"post"',
         '"GET"', '{"body":{}}', '{"model":"m"} ', "{" + '"a":[' * 2000, '{"a":"\xff"}', '"\\ud800"'],
    )  # fmt: skip
    spaces = st.sampled_from(["", "", " ", "  "])
    fields = st.tuples(keys, spaces, values).map(lambda parts: f"{parts[0]}:{parts[1]}{parts[2]}")
    return st.tuples(st.lists(fields, max_size=4), st.sampled_from(["}", "}", "} ", "}}", ""])).map(
        lambda parts: ("{" + ", ".join(parts[0]) + parts[1]).encode("latin-1")
    )


@given(data=rows_of_the_usual_form())
@example(b'{"custom_id":"a", "url":"/v1/x", "body":{"max_tokens":5}}')
@example(b'{"body" :null, "x\\"body":{"n":2}}')
@example(b'{"bod\\u0079":{}, "x\\"body":{"n":2}}')
@example(b'{"x\\"body":{"n":2}}')
def test_a_long_line_is_read_in_one_pass_as_a_short_one(data: bytes) -> None:
    short = make(data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_maker, "LONG_LINE", 0)
        long = make(data)

    assert (type(long), vars_of(long)) == (type(short), vars_of(short))


def vars_of(item: Job | Failure) -> dict[str, object]:
    return {name: getattr(item, name) for name in ("custom_id", "url", "method", "body", "tokens", "output_tokens", "streams", "message")
            if hasattr(item, name)}  # fmt: skip


@pytest.mark.parametrize("template", [None, CHAT])
def test_a_row_with_url_and_body_is_a_batch_line_also_beside_a_template(template: Template | None) -> None:
    job = make(line(url="/v1/embeddings"), template)

    assert isinstance(job, Job)
    assert (job.url, job.body) == ("/v1/embeddings", b'{"model": "m"}')


@pytest.mark.parametrize("custom_id", [..., None])
def test_a_row_without_id_is_named_by_its_place(custom_id: Any) -> None:
    assert make(line(custom_id=custom_id)).custom_id == "row-3"


@pytest.mark.parametrize(
    "limits, allowed",
    [
        ({}, 0),
        ({"max_tokens": 100}, 100),
        ({"max_completion_tokens": 100, "max_tokens": 5}, 100),
        ({"max_output_tokens": 100}, 100),
        ({"max_tokens": 100, "n": 3}, 300),
        ({"generationConfig": {"maxOutputTokens": 100, "candidateCount": 2}}, 200),
        ({"options": {"num_predict": 100}}, 100),
        ({"generationConfig": [], "options": 3}, 0),
        ({"max_tokens": "100", "n": None}, 0),
        ({"max_tokens": True, "n": [2]}, 0),
        ({"max_tokens": {"a": [1]}, "n": 1.5, "stream": "true"}, 0),
    ],
)
def test_tokens_count_the_longest_answer_and_bear_wrong_types(limits: dict[str, Any], allowed: int) -> None:
    body = {"model": "m", "pad": "x" * 400}
    job, bare = make(line(body=body | limits)), make(line(body=body))

    assert isinstance(job, Job)
    assert isinstance(bare, Job)
    assert 0 <= job.tokens - bare.tokens - allowed < 40


def test_a_number_beyond_all_bounds_is_the_providers_business() -> None:
    assert isinstance(make(b'{"url":"/v1/x","body":{"max_tokens":1e999,"n":' + b"9" * 5000 + b"}}"), Job)


@pytest.mark.parametrize(
    "data, problem",
    [
        (b"{", "is not JSON: "),
        (b'{"url":"/v1/x","body":{}} {}', "is not JSON: "),
        (b'{"url":"/v1/x","body":{"a":NaN}}', "is not JSON: "),
        (b'{"url":"/v1/x","body":{"a":-Infinity}}', "is not JSON: "),
        (b'{"url":"/v1/x","body":{"a":"\\ud800"}}', "is not JSON: it holds half of a surrogate pair (\\ud800)"),
        (b'{"url":"/v1/x","body":{"a":"\\ud83d\\ude00 \\uDC00 text"}}', "is not JSON: it holds half of a surrogate pair (\\uDC00)"),
        (b'{"url":"/v1/x","body":{"a":"\x01"}}', "is not JSON: "),
        (b'{"url":"/v1/x","body":{"a":"\xff"}}', "is not UTF-8: byte 0xff at 29"),
        (b'{"url":"/v1/x","body":{"a":"\xed\xa0\x80"}}', "is not UTF-8: byte 0xed"),
        (b'{"url":"/v1/x","body":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "is nested too deeply"),
        (b'{"url":"/v1/x","body":{},"more":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        (b"[]", "is not an OpenAI Batch line: Expected `object`, got `array`; request.body in the config"),
        (b"17", "is not an OpenAI Batch line: Expected `object`, got `int`"),
        (b'{"prompt":"x"}', "is not an OpenAI Batch line: Object missing required field `url`"),
        (line(body=...), "is not an OpenAI Batch line: Object missing required field `body`"),
        (line(body=None), "body must be a JSON object"),
        (line(body=[]), "body must be a JSON object"),
        (line(body="{}"), "body must be a JSON object"),
        (line(method="GET"), "method must be POST, got 'GET'"),
        (line(method="put"), "method must be POST, got 'put'"),
        (line(method=1), "is not an OpenAI Batch line: Expected `str | null`, got `int` - at `$.method`"),
        (line(url="https://evil/v1"), "url must be a path"),
        (line(url="//evil/v1"), "url must start with one '/'"),
        (line(url="/v1\r\nHost: evil"), "url must hold no spaces"),
        (line(url=1), "is not an OpenAI Batch line: Expected `str`, got `int` - at `$.url`"),
        (line(custom_id=5.5), "custom_id must be text or a whole number (Expected `int | str | null`, got `float`)"),
        (b'{"key": "a", "request": {}}', "has its body in `request`; set request.url and request.body_field: request"),
        (b'{"custom_id": "a", "params": 1}', "params must be a JSON object"),
        (line(custom_id=""), "custom_id must have 1 to 512 characters, got 0"),
        (line(custom_id="x" * (MAX_ID_LENGTH + 1)), "custom_id must have 1 to 512 characters, got 513"),
        (line(custom_id="a\nb"), "custom_id must not hold control characters, got 'a\\nb'"),
    ],
)
def test_a_bad_batch_line_is_refused_with_its_line_and_reason(data: bytes, problem: str) -> None:
    assert refusal(data).startswith(problem)


@pytest.mark.parametrize(
    "data, name",
    [
        (line(url="bad"), "a"),
        (line(method="GET", custom_id="日本 x\u3000y"), "日本 x\u3000y"),
        (line(custom_id="a\nb"), "row-3"),
        (line(custom_id=5, url="bad"), "5"),
        (line(custom_id=True), "row-3"),
        (b'{"custom_id":"a"', "a"),
        (b'{"custom_id": 12, "method": BROKEN', "12"),
        (b'{"custom_id": "a\\u0041", "body": ', "aA"),
        (b'{"body": {"custom_id": "z"}, "url": "bad"}', "row-3"),
        (b"\xff", "row-3"),
        ({"custom_id": "a"}, "a"),
        ({"custom_id": 1}, "1"),
        (b"[" * 100_000, "row-3"),
    ],
)
def test_a_bad_row_keeps_its_id_if_it_can_be_made_out(data: bytes | dict[str, Any], name: str) -> None:
    item = make(data)

    assert isinstance(item, Failure)
    assert item.custom_id == name


@pytest.mark.parametrize("data", [b'{"prompt":"hi","custom_id":"a"}', {"prompt": "hi", "custom_id": "a"}])
def test_another_row_is_rendered(data: bytes | dict[str, Any]) -> None:
    job = JobMaker(CHAT, "/v1/other", seen=MemoryStore()).make_jobs([RawRow(1, 0, data)], 0)[0]

    assert isinstance(job, Job)
    assert (job.custom_id, job.url) == ("a", "/v1/other")
    assert job.body == b'{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}'


@pytest.mark.parametrize(
    "custom_id, name",
    [("a", "a"), (17, "17"), (0, "0"), (True, "row-3"), (1.5, "row-3"), ([], "row-3"), ("", "row-3"), (None, "row-3")],
)
def test_a_rendered_row_is_named_by_text_or_number(custom_id: Any, name: str) -> None:
    assert make({"prompt": "x", "custom_id": custom_id}, CHAT).custom_id == name


@pytest.mark.parametrize(
    "data, problem",
    [
        (b"[1, 2]", "must be a JSON object, got [1, 2]"),
        (b'"x"', 'must be a JSON object, got "x"'),
        (b"{", "is not JSON: "),
        (b'{"a":1,"b":2}', "field 'prompt' is missing; the row has 'a', 'b'"),
        (b"{}", "field 'prompt' is missing; the row has no fields"),
        (b'{"prompt":null}', "field 'prompt' is null"),
        (b'{"prompt":"\\ud800"}', "is not JSON: "),
        (b'{"prompt":"\xff"}', "is not UTF-8"),
        (b'{"prompt":"x","custom_id":"\\u0000"}', "custom_id must not hold control characters"),
        (b"[" * 100_000, "is nested too deeply"),
        ({"prompt": "\ud800"}, "field 'prompt' holds half of a surrogate pair"),
        ({"body": "x", "url": "y"}, "field 'prompt' is missing"),
    ],
)
def test_a_row_that_cannot_be_rendered_is_refused(data: bytes | dict[str, Any], problem: str) -> None:
    assert refusal(data, CHAT).startswith(problem)


def test_a_row_of_fields_may_be_a_batch_line() -> None:
    job = make({"url": "/v1/x", "body": {"model": "m"}, "custom_id": "a"}, CHAT)

    assert isinstance(job, Job)
    assert (job.url, job.body) == ("/v1/x", b'{"model":"m"}')
    assert refusal({"url": "/v1/x", "body": {"a": object()}}).startswith("cannot be written as JSON")
    assert refusal({"url": "/v1/x", "body": {"a": "\ud800"}}).startswith("holds half of a surrogate pair")


def test_a_row_that_could_not_be_read_says_why() -> None:
    item = JobMaker(seen=MemoryStore()).make_jobs([RawRow(2, 9, None, "is longer than 5 bytes")], 1)[0]

    assert isinstance(item, Failure)
    assert (item.custom_id, item.message) == ("row-1", "line 2: is longer than 5 bytes")


def test_an_id_used_before_is_refused_and_names_the_first_line() -> None:
    maker = JobMaker(seen=MemoryStore())
    names: list[Any] = ["a", "b", "a", ..., "row-3", "row-6", ..., "b"]
    rows = [RawRow(number, 0, line(custom_id=name)) for number, name in enumerate(names, 10)]

    made = maker.make_jobs(rows[:5], 0) + maker.make_jobs(rows[5:], 5)

    assert [item.message if isinstance(item, Failure) else item.custom_id for item in made] == [
        "a",
        "b",
        "line 12: custom_id 'a' was used on line 10; every row needs its own",
        "row-3",
        "line 14: custom_id 'row-3' was used before; every row needs its own",
        "row-6",
        "line 16: custom_id 'row-6' was used before; every row needs its own",
        "line 17: custom_id 'b' was used on line 11; every row needs its own",
    ]
    assert [item.custom_id for item in made] == ["a", "b", "a", "row-3", "row-3", "row-6", "row-6", "b"]


def test_rows_from_python_are_named_by_their_place() -> None:
    rows = [RawRow(0, 0, line(custom_id="a")), RawRow(0, 0, line(custom_id="a")), RawRow(0, 0, b"")]

    _, twice, empty = JobMaker(seen=MemoryStore()).make_jobs(rows, 5)

    assert isinstance(twice, Failure)
    assert isinstance(empty, Failure)
    assert twice.message == "row 6: custom_id 'a' was used by row 5; every row needs its own"
    assert empty.message.startswith("row 7: is not JSON")


def test_urls_are_checked_once_and_kept_once() -> None:
    maker = JobMaker(seen=MemoryStore())
    rows = [RawRow(number, 0, line(custom_id=..., url=f"/v1/{number % 100}")) for number in range(1000)]

    made = [item for item in maker.make_jobs(rows, 0) if isinstance(item, Job)]

    assert [item.url for item in made] == [f"/v1/{number % 100}" for number in range(1000)]
    assert made[0].url is made[100].url
    assert len(maker._rows._urls) <= 64


def test_a_wrong_default_url_is_an_error() -> None:
    with pytest.raises(ValueError, match="url must be a path"):
        JobMaker(CHAT, "https://evil", seen=MemoryStore())


BARE = b'{"model":"m",  "messages":[{"role":"user","content":"hi"}],"metadata":{"row_id":1}}'


@pytest.mark.parametrize(
    "data, name, url, body",
    [
        (b'{"custom_id": "a", "body": {"model":  "m"}}', "a", "/v1/chat/completions", b'{"model":  "m"}'),
        (b'{"custom_id": 7, "method": "post", "url": "/v1/x", "body": {}}', "7", "/v1/x", b"{}"),
        (b'{"custom_id": "a", "method": null, "url": "/v1/x", "body": {}}', "a", "/v1/x", b"{}"),
        (b'{"custom_id": "a", "params": {"max_tokens": 5}}', "a", "/v1/messages", b'{"max_tokens": 5}'),
        (b'{"recordId": "r1", "modelInput": {"messages": []}}', "r1", "/v1/chat/completions", b'{"messages": []}'),
        (BARE, "row-3", "/v1/chat/completions", BARE),
    ],
)
def test_lines_of_other_batch_files_are_sent_byte_for_byte(data: bytes, name: str, url: str, body: bytes) -> None:
    job = make(data)

    assert isinstance(job, Job), job
    assert (job.custom_id, job.url, job.body) == (name, url, body)


@pytest.mark.parametrize(
    "data, name, body",
    [
        (b'{"key": "k1", "request": {"contents":  []}}', "k1", b'{"contents":  []}'),
        ({"custom_id": "a", "request": '{"contents": []}'}, "a", b'{"contents": []}'),
    ],
)
def test_a_body_is_taken_from_the_field_that_the_config_names(data: bytes | dict[str, Any], name: str, body: bytes) -> None:
    maker = JobMaker(None, "/v1/gemini", seen=MemoryStore(), body_field="request")

    job, bad = maker.make_jobs([RawRow(1, 0, data), RawRow(2, 0, b'{"prompt": 1}')], 0)

    assert isinstance(job, Job), job
    assert (job.custom_id, job.url, job.body) == (name, "/v1/gemini", body)
    assert isinstance(bad, Failure)
    assert bad.message == "line 2: has no field 'request' (request.body_field)"


@pytest.mark.parametrize("template", [None, Template.compile({"p": "{id}"})])
def test_a_field_that_the_config_names_names_the_rows(template: Template | None) -> None:
    maker = JobMaker(template, seen=MemoryStore(), id_field="id")
    lines = [b'{"id": "A17", "custom_id": "x", "body": {}}', b'{"id": 5, "body": {}}', b'{"id": "A17", "body": {}}']

    made = maker.make_jobs([RawRow(number, 0, data) for number, data in enumerate(lines, 1)], 0)

    assert [item.custom_id for item in made] == ["A17", "5", "A17"]
    assert [type(item) for item in made] == [Job, Job, Failure]


@pytest.mark.parametrize("data", [b'{"recordId": "r1", "modelInput": {"messages": []}}', b'{"id": "r1", "body": {}}'])
def test_ids_under_other_names_are_claimed_by_a_resume(data: bytes) -> None:
    maker = JobMaker(seen=MemoryStore(), id_field="id" if b'"id"' in data else None)

    maker.claim_lines(data + b"\n", 0, 1, all_good=True)

    assert isinstance(maker.make_jobs([RawRow(2, 0, data)], 1)[0], Failure)
