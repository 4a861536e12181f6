"""Files in requests: what may be read, when it is read, and what a row is recognised by."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

import pipeline
from pipeline.core.rows.attached import ENCODE_BYTES, filled, identity, media_type, shown
from pipeline.core.rows.templates import Template
from pipeline.edges.attachments.folder import FileProblemError, Folder
from pipeline.errors import ConfigError
from pipeline.records import Attachment, FileFound, Job
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
SECRET = b"%PDF-1.7 the secret of somebody else"  # of a type that would be sent, if it could be reached
KINDS = {
    "image/png": PNG,
    "image/jpeg": b"\xff\xd8\xff\xe0" + bytes(20),
    "image/gif": b"GIF89a" + bytes(20),
    "image/webp": b"RIFF\x10\n\x00\x00WEBPVP8 ",
    "application/pdf": b"%PDF-1.4\n",
    "audio/wav": b"RIFF\n\x00\x00\x00WAVEfmt ",
    "audio/mpeg": b"\xff\xfb\x90\x64" + bytes(20),
}
OTHERS = [
    b"",
    b"\x89PNG",
    b"root:x:0:0:root:/root:/bin/bash\n",
    b"KEY=sk-1",
    b"ID3 of nothing",
    b"\xff\xfeU\x00T\x00F\x00",
    b"<svg>",
    b"%PDF-x",
    b"RIFF1234AVI ",
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    (tmp_path / "images" / "cats").mkdir(parents=True)
    (tmp_path / "images" / "cats" / "a.png").write_bytes(PNG)
    (tmp_path / "secret.pdf").write_bytes(SECRET)
    opened = Folder(str(tmp_path / "images"), 1000)
    yield opened
    opened.close()


@pytest.mark.parametrize("mime", KINDS)
def test_a_type_is_told_by_the_first_bytes(mime: str) -> None:
    assert media_type(KINDS[mime][:16]) == mime


@pytest.mark.parametrize("head", OTHERS)
def test_what_is_of_no_known_type_has_none(head: bytes) -> None:
    assert media_type(head[:16]) is None


@pytest.mark.parametrize("path", ["cats/a.png", "./cats//a.png", "cats/../cats/a.png", "cats/a.png/"])
def test_a_file_beneath_the_root_is_found_and_read(folder: Folder, path: str) -> None:
    found = folder.look(path)

    assert (found.path, found.size, found.mime) == (path, len(PNG), "image/png")
    assert folder.read(found) == PNG


def test_a_link_that_stays_beneath_the_root_is_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "dogs").symlink_to("cats")
    (tmp_path / "images" / "cats" / "b.png").symlink_to("../dogs/a.png")

    assert folder.read(folder.look("dogs/b.png")) == PNG


def outside(make: Callable[[Path], str]) -> Any:
    return pytest.param(make, id=make.__name__.strip("_"))


def dots(_: Path) -> str:
    return "../secret.pdf"


def dots_and_back(_: Path) -> str:
    return "../images/cats/a.png"


def deep_dots(_: Path) -> str:
    return "cats/../../secret.pdf"


def absolute(root: Path) -> str:
    return str(root / "secret.pdf")


def absolute_within(root: Path) -> str:
    return str(root / "images" / "cats" / "a.png")


def system_file(_: Path) -> str:
    return "/etc/passwd"


def link_out(root: Path) -> str:
    (root / "images" / "x.pdf").symlink_to("../secret.pdf")
    return "x.pdf"


def link_out_of_a_folder(root: Path) -> str:
    (root / "images" / "up").symlink_to("..")
    return "up/secret.pdf"


def absolute_link(root: Path) -> str:
    (root / "images" / "x.pdf").symlink_to(root / "secret.pdf")
    return "x.pdf"


def link_to_a_link(root: Path) -> str:
    (root / "images" / "cats" / "y").symlink_to("../../secret.pdf")
    (root / "images" / "x.pdf").symlink_to("cats/y")
    return "x.pdf"


def by_proc(_: Path) -> str:
    return "../../../../../../../proc/self/environ"


@pytest.mark.parametrize(
    "make",
    list(
        map(
            outside,
            [
                dots, dots_and_back, deep_dots, absolute, absolute_within, system_file, link_out, link_out_of_a_folder, absolute_link,
                link_to_a_link, by_proc,
            ],
        )
    ),
)  # fmt: skip
def test_nothing_outside_of_the_root_is_reached(folder: Folder, tmp_path: Path, make: Callable[[Path], str]) -> None:
    with pytest.raises(FileProblemError, match=r"leads out of request\.files\.root"):
        folder.look(make(tmp_path))


@pytest.mark.parametrize(
    "path", ["", ".", "cats", "cats/..", "nothing.png", "cats/a.png/b.png", "a\0b", "\ud800", "x" * 5000, "/".join(["cats/.."] * 200)]
)
def test_what_is_no_file_is_told(folder: Folder, path: str) -> None:
    with pytest.raises(FileProblemError, match=r"^names a f|^names something"):
        folder.look(path)


@pytest.mark.parametrize("path", ["x.pdf", "up/secret.pdf"])
def test_a_link_that_is_put_there_while_the_path_is_walked_is_not_followed(
    folder: Folder, tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "x.pdf").symlink_to("../secret.pdf")
    (tmp_path / "images" / "up").symlink_to("..")
    look = os.stat
    monkeypatch.setattr(os, "stat", lambda name, *, dir_fd, follow_symlinks: look(name, dir_fd=dir_fd, follow_symlinks=not follow_symlinks))

    with pytest.raises(FileProblemError, match="cannot be opened"):
        folder.look(path)


def test_a_circle_of_links_ends(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "a").symlink_to("b")
    (tmp_path / "images" / "b").symlink_to("a")

    with pytest.raises(FileProblemError, match="too many links"):
        folder.look("a")


def test_a_pipe_and_a_socket_are_not_opened(folder: Folder, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "images" / "pipe.png")  # opening it would wait for a writer

    with pytest.raises(FileProblemError, match="no regular file"):
        folder.look("pipe.png")


def test_a_file_that_is_too_large_or_of_no_type_is_told_without_a_byte_of_it(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "large.png").write_bytes(PNG * 10)
    (tmp_path / "images" / "env.png").write_bytes(b"KEY=sk-very-secret")

    with pytest.raises(FileProblemError, match=r"2,640 bytes, more than request\.files\.max_bytes \(1,000\)"):
        folder.look("large.png")
    with pytest.raises(FileProblemError, match="not of a known type") as told:
        folder.look("env.png")
    assert "sk-very" not in str(told.value)


def test_a_file_that_is_exchanged_after_it_was_seen_is_not_sent(folder: Folder, tmp_path: Path) -> None:
    place = tmp_path / "images" / "cats" / "a.png"
    found = folder.look("cats/a.png")

    place.write_bytes(PNG + b"x")
    with pytest.raises(FileProblemError, match="has changed since the row was read"):
        folder.read(found)
    place.unlink()
    place.symlink_to("../../secret.pdf")
    with pytest.raises(FileProblemError, match="leads out of"):
        folder.read(found)


def test_no_descriptor_is_left_open(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "images" / "env.png").write_bytes(b"no")
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208  a generator would hold one itself

    for path in ["cats/a.png", "env.png", "cats/../cats/../../x", "nothing"] * 5:
        try:
            folder.read(folder.look(path))
        except FileProblemError:
            pass

    assert len(os.listdir("/dev/fd")) == before  # noqa: PTH208


# ---- what is sent ----------------------------------------------------------------------------------------------------


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


# ---- whole runs ------------------------------------------------------------------------------------------------------


@define
class Provider:
    """Remembers the picture of every request."""

    seen: list[str] = field(factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        content = json.loads(request.content)["messages"][0]["content"]
        self.seen.append(content if isinstance(content, str) else content[0]["image_url"]["url"])
        return httpx.Response(200, json={"choices": [{"message": {"content": "a cat"}, "finish_reason": "stop"}]})


PICTURE = [{"type": "image_url", "image_url": {"url": "{photo!data}"}}]
REQUEST = {
    "url": "/v1/chat/completions",
    "files": {"root": "images"},
    "body": {"model": "m", "messages": [{"role": "user", "content": PICTURE}]},
}


def config_of(folder: Path, rows: str, request: Any = REQUEST, **sections: Any) -> pipeline.Config:
    (folder / "in.jsonl").write_text(rows)
    (folder / "images").mkdir(exist_ok=True)
    return pipeline.load_config(write_config(folder, "http://provider.test/v1", request=request, **sections))


def run(config: pipeline.Config, provider: Provider, **options: Any) -> pipeline.Summary:
    return trio.run(lambda: pipeline.run(config, transport=httpx.MockTransport(provider), **options))


def data_url(content: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_a_run_sends_each_rows_file_and_writes_bad_ones_as_invalid_rows(tmp_path: Path) -> None:
    config = config_of(tmp_path, '{"photo": "a.png"}\n{"photo": "../in.jsonl"}\n{"photo": 3}\n{"other": 1}\n{"photo": "b.png"}\n')
    (tmp_path / "images" / "a.png").write_bytes(PNG)
    (tmp_path / "images" / "b.png").write_bytes(PNG + b"b")
    provider = Provider()

    summary = run(config, provider)

    assert sorted(provider.seen) == sorted([data_url(PNG), data_url(PNG + b"b")])
    assert (summary.succeeded, summary.failed) == (2, 3)
    errors = [line["error"] and line["error"]["message"] for line in read_lines(tmp_path / "out.jsonl")]
    assert errors[0] is errors[4] is None
    assert errors[1] == "line 2: field 'photo' leads out of request.files.root: '../in.jsonl'"
    assert errors[2] == "line 3: field 'photo' must be the path of a file"
    assert "field 'photo' is missing" in errors[3]
    assert pipeline.verify(config).ok


def test_a_path_in_a_rows_text_or_in_a_whole_request_is_never_opened(tmp_path: Path) -> None:
    whole = {
        "custom_id": "w",
        "url": "/v1/chat/completions",
        "body": {"messages": [{"role": "user", "content": "{photo!data} a.png"}]},
        "photo": "a.png",
    }
    text = {"photo": "a.png", "text": "file://a.png {photo!data} headrace-file--0;"}
    request = {**REQUEST, "body": {"messages": [{"role": "user", "content": "{text} {photo!mime}"}]}}
    config = config_of(tmp_path, json.dumps(whole) + "\n" + json.dumps(text) + "\n", request)
    (tmp_path / "images" / "a.png").write_bytes(PNG)
    provider = Provider()

    run(config, provider)

    assert sorted(provider.seen) == sorted(["{photo!data} a.png", "file://a.png {photo!data} headrace-file--0; image/png"])


def test_a_file_that_changes_while_its_row_waits_fails_the_row_and_the_next_run_sends_it(tmp_path: Path) -> None:
    config = config_of(tmp_path, '{"photo": "a.png"}\n{"photo": "b.png"}\n', limits={"max_in_flight": 1})
    first, second = tmp_path / "images" / "a.png", tmp_path / "images" / "b.png"
    first.write_bytes(PNG)
    second.write_bytes(PNG)

    class Exchanging(Provider):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            second.write_bytes(PNG + b"new")
            return super().__call__(request)

    assert run(config, Exchanging()).failed == 1
    line = read_lines(tmp_path / "out.jsonl")[1]
    assert line["error"]["code"] == "invalid_row"
    assert "has changed since the row was read: 'b.png'" in line["error"]["message"]
    provider = Provider()
    assert run(config, provider).failed == 0
    assert provider.seen == [data_url(PNG + b"new")]
    assert pipeline.verify(config).ok


def test_a_resumed_run_sends_only_what_it_has_not_and_an_exchanged_file_is_another_row(tmp_path: Path) -> None:
    config = config_of(tmp_path, "".join(f'{{"photo": "{name}.png"}}\n' for name in "abc"))
    for name in "abc":
        (tmp_path / "images" / f"{name}.png").write_bytes(PNG + name.encode())
    provider = Provider()

    run(config, provider, limit=2)
    run(config, provider)
    assert sorted(provider.seen) == sorted(data_url(PNG + name) for name in (b"a", b"b", b"c"))
    provider.seen.clear()
    (tmp_path / "images" / "b.png").write_bytes(PNG + b"other")
    with pytest.raises(pipeline.UsageError, match=r"row 1 \(line 2"):
        run(config, provider)
    run(config, provider, accept_changes=True)

    assert provider.seen == [data_url(PNG + b"other")]


def test_a_missing_file_that_comes_later_needs_nothing_else(tmp_path: Path) -> None:
    config = config_of(tmp_path, '{"photo": "a.png"}\n{"photo": "b.png"}\n')
    (tmp_path / "images" / "a.png").write_bytes(PNG)
    provider = Provider()

    assert run(config, provider).failed == 1
    (tmp_path / "images" / "b.png").write_bytes(PNG + b"b")
    assert run(config, provider).failed == 0

    assert provider.seen == [data_url(PNG), data_url(PNG + b"b")]


@pytest.mark.parametrize("section", [{"dedupe": True}, {"cache": {"path": "cache.db"}}])
def test_equal_requests_share_an_answer_only_if_their_files_are_equal(tmp_path: Path, section: Any) -> None:
    rows = '{"photo": "a.png"}\n{"photo": "b.png"}\n{"photo": "a.png"}\n'
    config = config_of(tmp_path, rows, limits={"max_in_flight": 1}, **({"cache": section["cache"]} if "cache" in section else {}))
    if "dedupe" in section:
        config = pipeline.load_config(tmp_path / "config.yaml", ["dedupe=true"])
    for name in "ab":
        (tmp_path / "images" / f"{name}.png").write_bytes(PNG)
    provider = Provider()

    run(config, provider)

    assert len(provider.seen) == (2 if "dedupe" in section else 3)
    if "cache" in section:
        run(config, provider, fresh=True)
        assert len(provider.seen) == 3


def test_check_shows_the_first_request_without_the_picture_itself(tmp_path: Path) -> None:
    config = config_of(tmp_path, '{"photo": "a.png"}\n')
    (tmp_path / "images" / "a.png").write_bytes(PNG)

    report = pipeline.check(config)

    assert report.first_request_body is not None
    assert f'"data:image/png;base64,<{len(PNG)} bytes of a.png>"' in report.first_request_body
    assert report.estimated_prompt_tokens > 1600


def test_rows_from_python_send_files_too(tmp_path: Path) -> None:
    config = config_of(tmp_path, "")
    (tmp_path / "images" / "a.png").write_bytes(PNG)
    provider = Provider()

    outcomes = pipeline.run_batch([{"photo": "a.png"}, {"photo": "/etc/passwd"}], config, transport=httpx.MockTransport(provider))

    assert [outcome.body is not None for outcome in outcomes] == [True, False]
    assert provider.seen == [data_url(PNG)]


def test_a_template_that_sends_files_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"request\.body: sends files \(\{photo!data\}\), which are read only from the folder"):
        config_of(tmp_path, "", {**REQUEST, "files": None})
    with pytest.raises(ConfigError, match=r"request\.files\.root: no such folder"):
        config_of(tmp_path, "", {**REQUEST, "files": {"root": "nowhere"}})
