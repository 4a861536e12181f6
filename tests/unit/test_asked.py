"""What a request asks for, read from its body or its template: a stream, tokens, a model."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.core.rows.asked import read_body
from pipeline.core.rows.ids import MemoryStore
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.templates import Template
from pipeline.records import Job
from tests.unit.test_jobs import line, make


@pytest.mark.parametrize(
    "url, body, streams",
    [
        ("/v1/chat/completions", {"stream": True}, True),
        ("/v1/chat/completions", {"stream": False}, False),
        ("/v1/chat/completions", {"stream": "true"}, False),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": '"stream": true'}]}, False),
        ("/v1/chat/completions", {}, False),
        ("/v1beta/models/g:streamGenerateContent?alt=sse", {}, True),
        ("/v1beta/models/g:generateContent", {}, False),
        ("/api/chat", {}, True),
        ("/api/chat", {"stream": False}, False),
    ],
)
def test_a_job_says_whether_its_answer_comes_as_a_stream(url: str, body: dict[str, Any], *, streams: bool) -> None:
    job = make(line(url=url, body=body))

    assert isinstance(job, Job)
    assert job.streams is streams


def test_a_template_may_ask_for_streams() -> None:
    job = make({"prompt": "a"}, Template.compile({"stream": True, "prompt": "{prompt}"}))

    assert isinstance(job, Job)
    assert job.streams


@pytest.mark.parametrize(
    "body",
    [
        {"max_tokens": 9, "n": 2},
        {"max_tokens": "{most}"},
        {"max_tokens": 9, "n": "{most}"},
        {"generationConfig": {"maxOutputTokens": "{most}", "candidateCount": 2}},
        {"options": {"num_predict": 7}, "stream": "{flag}"},
        {"stream": True},
        {},
    ],
)
def test_what_a_templates_body_asks_for_is_read_from_the_row_only_where_the_row_decides_it(body: dict[str, Any]) -> None:
    template = Template.compile({**body, "messages": [{"role": "user", "content": "{prompt}"}]})
    maker = JobMaker(template, "/v1/chat/completions", seen=MemoryStore())
    rows = [
        RawRow(at + 1, 0, b'{"prompt":"%b","most":%d,"flag":%b}' % (b"x" * 9 * at, 3 + at, [b"true", b"false"][at % 2])) for at in range(4)
    ]

    jobs = [job for job in maker.make_jobs(rows, 0) if isinstance(job, Job)]

    assert len(jobs) == 4
    assert [(job.tokens, job.output_tokens, job.streams, job.model) for job in jobs] == [read_body(job.body, job.url) for job in jobs]


def test_a_body_is_taken_apart_into_what_rows_decide_and_what_they_do_not() -> None:
    template = Template.compile({"a": 1, "b": ["{x}"], "c": {"d": "{{e}}"}, "f": None})

    assert template.varying == {"b"}
    assert template.constant == b'{"a":1,"c":{"d":"{e}"},"f":null}'
    assert Template.compile({"b": "{x}"}).constant == b"{}"
