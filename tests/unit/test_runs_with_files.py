"""Runs that send files: when a file is read, and what becomes of rows whose file is bad, changed or missing."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from attrs import define, field

import pipeline
from pipeline.errors import ConfigError
from tests.fakes.runs import read_lines, write_config

if TYPE_CHECKING:
    from pathlib import Path

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


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
