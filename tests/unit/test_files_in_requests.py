"""Where files go in a request, and what a row is recognised by."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rows.attached import ENCODE_BYTES, filled, identity, shown
from pipeline.core.rows.templates import Template
from pipeline.records import Attachment, FileFound, Job


def job_of(body: bytes, *files: Attachment) -> Job:
    return Job(0, "row-0", "POST", "/v1/x", body, 1, 1, files=files)


FILE = FileFound("a.png", 3, 7, "image/png")


@given(st.binary(max_size=40), st.integers(0, 3))
def test_content_goes_where_the_markers_are(content: bytes, more: int) -> None:
    files = [Attachment(b"<%d>" % at, conversion, FILE) for at, conversion in enumerate(["data", "base64", "mime"])]
    body = b"a<0>b<1>c<2>" + b"d" * more

    made = filled(job_of(body, *reversed(files)), lambda _: content)

    coded = base64.b64encode(content)
    assert made == b"adata:image/png;base64," + coded + b"b" + coded + b"cimage/png" + b"d" * more


@pytest.mark.parametrize("size", [ENCODE_BYTES - 1, ENCODE_BYTES, ENCODE_BYTES + 1, 2 * ENCODE_BYTES + 2])
def test_base64_of_several_pieces_is_that_of_the_whole(size: int) -> None:
    content = os.urandom(size)

    assert filled(job_of(b"<0>", Attachment(b"<0>", "base64", FILE)), lambda _: content) == base64.b64encode(content)


def test_requests_are_equal_if_their_files_are_and_people_see_no_base64() -> None:
    def job(file: FileFound, marker: bytes) -> Job:
        return job_of(b'{"u":"' + marker + b'"}', Attachment(marker, "data", file))

    assert identity(job(FILE, b"<0>")) == identity(job(FILE, b"<other>"))
    assert identity(job(FILE, b"<0>")) != identity(job(FileFound("a.png", 3, 8, "image/png"), b"<0>"))
    assert shown(job(FILE, b"<0>")) == b'{"u":"data:image/png;base64,<3 bytes of a.png>"}'


@pytest.mark.parametrize("text", ["{photo!data}", "{photo!data?}", "{photo?!data}", "x {photo!base64} {photo!mime}", "{a.photo!data}"])
def test_a_template_marks_where_files_go(text: str) -> None:
    template = Template.compile({"u": text}, "token")
    row: dict[str, Any] = {"photo": "a.png", "a": {"photo": "b.png"}}

    body = json.loads(template.render(row))["u"]

    assert [hole.name for hole in template.files] == [name for name in ["a.photo" if "a." in text else "photo"] for _ in template.files]
    assert all(hole.marker.decode() in body for hole in template.files)
    assert "token" in body
    assert "a.png" not in body


def test_a_file_that_may_be_missing_is_null_alone_and_nothing_in_a_text() -> None:
    template = Template.compile({"a": "{photo?!data}", "b": "<{photo?!base64}>"})

    assert json.loads(template.render({"photo": None})) == {"a": None, "b": "<>"}
