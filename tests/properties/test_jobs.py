"""Every row becomes one job or one refusal in its place; what is sent is what the row said; no bytes crash it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rows.asked import counted
from pipeline.core.rows.ids import MemoryStore
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.templates import Template
from pipeline.records import Failure, Job
from tests.strategies import batch_lines, custom_ids, damaged, json_objects

TEMPLATES = [None, Template.compile({"model": "m", "input": "{prompt}"})]


def make(lines: list[Any], template: Template | None = None, cut: int = 0) -> list[Job | Failure]:
    maker = JobMaker(template, seen=MemoryStore())
    rows = [RawRow(number, 0, data) for number, data in enumerate(lines, 1)]
    return maker.make_jobs(rows[:cut], 0) + maker.make_jobs(rows[cut:], cut)


@pytest.mark.parametrize("template", TEMPLATES)
@given(line=batch_lines())
def test_a_batch_line_in_order_is_sent_as_it_is(template: Template | None, line: bytes) -> None:
    (job,) = make([line], template)

    assert isinstance(job, Job)
    assert job.body in line
    assert json.loads(job.body) == json.loads(line)["body"]


@pytest.mark.parametrize("template", TEMPLATES)
@given(lines=st.lists(batch_lines() | damaged(batch_lines()) | st.binary(max_size=30) | json_objects, max_size=6), cut=st.integers(0, 6))
def test_every_row_becomes_one_thing_in_its_place(template: Template | None, lines: list[Any], cut: int) -> None:
    made = make(lines, template, cut)

    assert [item.index for item in made] == list(range(len(lines)))
    for number, item in enumerate(made, 1):
        assert item.custom_id
        if isinstance(item, Job):
            assert isinstance(msgspec.json.decode(item.body.decode()), dict)
        else:
            assert item.message.startswith(f"line {number}: ")


@given(line=damaged(batch_lines()))
def test_what_is_sent_is_whole_json(line: bytes) -> None:
    (item,) = make([line])

    if isinstance(item, Job):
        text = item.body.decode()
        json.loads(text, parse_constant=pytest.fail)
        json.dumps(json.loads(text), ensure_ascii=False).encode()


@given(
    names=st.lists(st.none() | custom_ids | st.sampled_from(["a", "row-1", "row-2", "row-01", "1", "2"]), max_size=12),
    cut=st.integers(0, 12),
)
def test_of_each_id_the_first_row_alone_is_sent(names: list[str | None], cut: int) -> None:
    lines = [msgspec.json.encode({"custom_id": name, "url": "/v1/x", "body": {}}) for name in names]
    used = [f"row-{index}" if name is None else name for index, name in enumerate(names)]

    made = make(lines, None, cut)

    assert [item.custom_id for item in made] == used
    assert [isinstance(item, Job) for item in made] == [name not in used[:index] for index, name in enumerate(used)]


def told(item: Job | Failure) -> tuple[object, ...]:
    return msgspec.structs.astuple(counted(item) if isinstance(item, Job) else item)


ASKING = st.sampled_from(
    [b"", b',"stream":true', b',"str\\u0065am":true', b',"stream":false', b',"text":"stream \\n \\u00e9"', b',"max_tokens":7']
)
NUMBERS = st.lists(st.integers(0, 12), max_size=12) | st.builds(range, st.integers(0, 20), st.integers(0, 30)).map(list)


@pytest.mark.parametrize("template", TEMPLATES)
@given(lines=st.lists(batch_lines() | damaged(batch_lines()) | st.binary(max_size=30) | json_objects, max_size=6), cut=st.integers(0, 6))
def test_a_job_whose_tokens_are_counted_later_is_the_same(template: Template | None, lines: list[Any], cut: int) -> None:
    rows = [RawRow(number, 0, data) for number, data in enumerate(lines, 1)]
    later = JobMaker(template, seen=MemoryStore(), count_tokens=False)

    made = later.make_jobs(rows[:cut], 0) + later.make_jobs(rows[cut:], cut)

    assert [told(item) for item in made] == [told(item) for item in make(lines, template, cut)]


@given(numbers=NUMBERS, digits=st.integers(1, 3), asking=st.lists(ASKING, min_size=30, max_size=30), cut=st.integers(0, 12))
def test_numbered_lines_are_the_same_one_by_one_and_together(numbers: list[int], digits: int, asking: list[bytes], cut: int) -> None:
    lines = [
        b'{"custom_id":"r-%0*d","method":"POST","url":"/v1/chat/completions","body":{"model":"m"%b}}' % (digits, number, more)
        for number, more in zip(numbers, asking, strict=False)
    ]
    rows = [RawRow(number, 0, data) for number, data in enumerate(lines, 1)]
    later = JobMaker(seen=MemoryStore(), count_tokens=False)
    one_by_one = JobMaker(seen=MemoryStore())

    together = later.make_jobs(rows[:cut], 0) + later.make_jobs(rows[cut:], cut)

    assert [told(item) for item in together] == [told(item) for at, row in enumerate(rows) for item in one_by_one.make_jobs([row], at)]
