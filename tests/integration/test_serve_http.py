"""`headrace serve` over plain HTTP: what clients that are no SDK do, what other web pages try, and what goes wrong on the way."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.serving import FORM, ROOT, form, provider, rows, server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.serving import Answered, Server

KEY = "a-key-of-clients"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with provider(latency__median_seconds=0.005) as base_url, server(tmp_path_factory.mktemp("serve"), base_url) as made:
        yield made


def error_of(answered: Answered) -> tuple[int, Any, Any]:
    error = answered.json["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert answered.headers["x-request-id"].startswith("req_")
    return answered.status, error["param"], error["code"]


# ---- uploads ---------------------------------------------------------------------------------------------------------


def test_a_form_may_have_its_file_before_its_purpose(served: Server) -> None:
    body = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\nabc\r\n'
    body += b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xyz--\r\n'

    answered = served.call("POST", "/v1/files", body, content_type=FORM)

    assert (answered.status, answered.json["purpose"], answered.json["bytes"]) == (200, "batch", 3)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\\\x\\\\passwd"])
def test_a_file_name_is_no_path(served: Server, name: str) -> None:
    answered = served.call("POST", "/v1/files", form(b"x", filename=name), content_type=FORM)

    assert (answered.status, answered.json["filename"]) == (200, "passwd")


def left_over(served: Server) -> list[Path]:
    return list((served.folder / "headrace-data" / "incoming").iterdir())


@pytest.mark.parametrize(
    "body, param, code",
    [
        (form(b"x")[:-10], None, "invalid_multipart"),
        (b"", None, "invalid_multipart"),
        (b"nothing of a form", None, "invalid_multipart"),
        (b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--xyz--\r\n', "file", "missing_required_parameter"),
        (form(b"x", purpose="x"), "purpose", "invalid_value"),
        (form(b"x", purpose=""), "purpose", "missing_required_parameter"),
        (form(b"x", purpose="b" * 5000), "purpose", "string_above_max_length"),
        (b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' * 40 + b"--xyz--\r\n", None, "invalid_multipart"),
        (form(b"x").removesuffix(b"--xyz--\r\n") + form(b"y"), "file", "invalid_multipart"),
    ],
)
def test_a_form_that_is_not_whole_is_a_400_and_leaves_nothing(served: Server, body: bytes, param: str | None, code: str) -> None:
    assert error_of(served.call("POST", "/v1/files", body, content_type=FORM)) == (400, param, code)
    assert left_over(served) == []


def test_an_upload_that_is_no_form_is_a_400(served: Server) -> None:
    assert error_of(served.call("POST", "/v1/files", b"{}", content_type="application/json")) == (400, None, "invalid_content_type")


def test_an_upload_that_breaks_off_leaves_nothing(served: Server) -> None:
    host, _, port = served.url.removeprefix("http://").rpartition(":")
    body = form(b"x" * 100_000)
    with socket.create_connection((host, int(port))) as connection:
        head = f"POST /v1/files HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {FORM}\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body[:50_000])
    served.upload(b"x")  # the connection was lost before this was answered

    assert left_over(served) == []


# ---- content ---------------------------------------------------------------------------------------------------------


def test_content_comes_whole_or_in_the_ranges_that_are_asked_for(served: Server) -> None:
    data = bytes(range(256)) * 1000
    path = f"/v1/files/{served.upload(data)}/content"

    assert served.call("GET", path).body == data
    part = served.call("GET", path, range="bytes=100-199")
    assert (part.status, part.body, part.headers["content-range"]) == (206, data[100:200], f"bytes 100-199/{len(data)}")
    assert served.call("GET", path, range="bytes=-5").body == data[-5:]
    assert served.call("GET", path, range=f"bytes={len(data)}-").status == 416
    assert served.call("HEAD", path).headers["content-length"] == str(len(data))


def test_content_is_never_shown_as_a_page(served: Server) -> None:
    answered = served.call("GET", f"/v1/files/{served.upload(b'<script>', filename='x.html')}/content")

    assert answered.headers["content-type"] == "application/octet-stream"
    assert answered.headers["content-disposition"].startswith("attachment")
    assert answered.headers["x-content-type-options"] == "nosniff"


# ---- calls -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method, path, status",
    [
        ("GET", "/v1/none", 404),
        ("GET", "/none", 404),
        ("DELETE", "/v1/batches", 405),
        ("GET", "/v1/files/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/v1/files/..%2f..%2fetc%2fpasswd/content", 404),
        ("GET", "/v1/batches?limit=0", 400),
        ("GET", "/v1/batches?after=batch_none", 400),
        ("GET", "/v1/batches/%00", 404),
        ("POST", "/v1/batches/batch_none/cancel", 404),
    ],
)
def test_whatever_is_wrong_is_told_as_openai_tells_it(served: Server, method: str, path: str, status: int) -> None:
    assert error_of(served.call(method, path))[0] == status


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 50_000, b" " * 2_000_000])
def test_a_body_that_cannot_be_read_is_a_4xx(served: Server, body: bytes) -> None:
    assert error_of(served.call("POST", "/v1/batches", body, content_type="application/json"))[0] in (400, 413)


def test_a_path_with_a_slash_behind_is_answered_without_a_redirect(served: Server) -> None:
    assert served.call("GET", "/v1/files/?limit=1").status == 200
    assert served.call("GET", "/v1/batches/").json["object"] == "list"


def test_keys_of_a_query_that_are_not_known_are_passed_over(served: Server) -> None:
    assert served.call("GET", "/v1/batches?active_first=true&limit=1").status == 200


def test_cancel_reads_no_body(served: Server) -> None:
    batch = served.create(served.upload(rows(1)))
    served.wait(batch["id"])

    answered = served.call("POST", f"/v1/batches/{batch['id']}/cancel", b"", content_type="application/json")

    assert error_of(answered) == (409, None, None)
    assert answered.headers["x-should-retry"] == "false"


def test_a_marked_repeat_gives_the_batch_that_is_there(served: Server) -> None:
    file = served.upload(rows(1, prefix="repeat"))
    first = served.create(file)

    again = served.create(file, x_stainless_retry_count="1")
    other = served.create(file, x_stainless_retry_count="0")

    assert again["id"] == first["id"]
    assert other["id"] != first["id"]


def test_the_same_idempotency_key_gives_the_same_batch_and_refuses_another_request(served: Server) -> None:
    file = served.upload(rows(1, prefix="key"))
    first = served.create(file, idempotency_key="k-1")

    assert served.create(file, idempotency_key="k-1")["id"] == first["id"]
    body = {"input_file_id": file, "endpoint": "/v1/chat/completions", "completion_window": "48h"}
    answered = served.post("/v1/batches", body, idempotency_key="k-1")
    assert error_of(answered) == (409, None, "idempotency_key_reused")


def test_deleting_the_input_of_a_batch_takes_nothing_away_from_it(served: Server) -> None:
    file = served.upload(rows(200, prefix="gone"))
    batch = served.create(file)

    assert served.call("DELETE", f"/v1/files/{file}").json == {"id": file, "object": "file", "deleted": True}

    done = served.wait(batch["id"])
    assert (done["status"], done["request_counts"]["completed"]) == ("completed", 200)


def test_failed_rows_can_be_run_again_as_a_batch_of_their_own(served: Server) -> None:
    lines = [json.loads(line) for line in rows(6, prefix="again").splitlines()]
    for line in lines[1::2]:
        line["body"]["messages"] = "no list"
    first = served.wait(served.create(served.upload("".join(json.dumps(line) + "\n" for line in lines).encode()))["id"])

    answered = served.post(f"/v1/headrace/batches/{first['id']}/again", {})

    assert answered.status == 200
    again = served.wait(answered.json["id"])
    assert [line["custom_id"] for line in served.lines(again["error_file_id"])] == ["again-1", "again-3", "again-5"]
    good = served.wait(served.create(served.upload(rows(1)))["id"])
    assert served.post(f"/v1/headrace/batches/{good['id']}/again", {}).status == 409


def test_other_endpoints_are_batches_too(served: Server) -> None:
    lines = [{"custom_id": f"e-{n}", "method": "POST", "url": "/v1/embeddings", "body": {"model": "m", "input": "x"}} for n in range(3)]
    file = served.upload("".join(json.dumps(line) + "\n" for line in lines).encode())

    batch = served.wait(served.create(file, "/v1/embeddings")["id"])

    assert (batch["status"], batch["request_counts"]["completed"]) == ("completed", 3)


# ---- other web pages, and keys ---------------------------------------------------------------------------------------


def test_a_foreign_host_is_refused(served: Server) -> None:
    assert error_of(served.call("GET", "/v1/batches", host="evil.example"))[0] == 403
    assert served.call("GET", "/v1/batches", host="localhost:1234").status == 200


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec_fetch_site": "cross-site"}])
def test_a_page_of_another_site_changes_nothing(served: Server, headers: dict[str, str]) -> None:
    answered = served.call("POST", "/v1/files", form(rows(1)), content_type=FORM, **headers)

    assert error_of(answered) == (403, None, "foreign_origin")
    assert not {name for name in answered.headers if name.startswith("access-control")}


def test_the_own_page_may_change_things(served: Server) -> None:
    assert served.call("POST", "/v1/files", form(rows(1)), content_type=FORM, origin=served.url).status == 200


def test_the_page_is_served_whole_from_the_package(served: Server) -> None:
    page = served.call("GET", "/")

    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for part in ("page.css", "page.js", "icon.svg"):
        assert f"/{part}".encode() in page.body
        assert served.call("GET", f"/{part}").status == 200
        assert b"http://" not in served.call("GET", f"/{part}").body.replace(b"http://www.w3.org/2000/svg", b"")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with provider() as base_url:
        with server(tmp_path_factory.mktemp("serve"), base_url, environment={"K": KEY}, serve={"api_key_env": "K"}) as made:
            yield made


@pytest.mark.parametrize("shown", [None, "Bearer wrong", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY}x", "Bearer \xff"])
def test_without_the_key_nothing_is_told(guarded: Server, shown: str | None) -> None:
    headers = {} if shown is None else {"authorization": shown}
    for path in ("/v1/batches", "/v1/headrace", "/v1/models", "/v1/files/x/content", "/v1/none"):
        assert error_of(guarded.call("GET", path, None, **headers)) == (401, None, "invalid_api_key")
    assert error_of(guarded.call("POST", "/v1/files", form(rows(9)), **headers))[0] == 401


def test_a_refusal_is_told_to_a_client_that_sends_much(guarded: Server) -> None:
    assert error_of(guarded.call("POST", "/v1/files", form(b"x" * 30_000_000), content_type=FORM))[0] == 401
    assert error_of(guarded.call("POST", "/v1/batches", b" " * 30_000_000, authorization=f"Bearer {KEY}"))[0] == 413


def test_with_the_key_everything_is_answered_and_the_page_needs_none(guarded: Server) -> None:
    assert guarded.call("GET", "/v1/batches", authorization=f"Bearer {KEY}").status == 200
    assert guarded.call("GET", "/").status == 200


def refused(tmp_path: Path, *flags: str, config: str = "provider: {simulate: {}}\n") -> str:
    (tmp_path / "c.yaml").write_text(config)
    command = [sys.executable, "-m", "pipeline", "serve", str(tmp_path / "c.yaml"), "--port", "0", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_it_does_not_listen_elsewhere_without_a_key(tmp_path: Path) -> None:
    assert "serve.api_key_env" in refused(tmp_path, "--host", "0.0.0.0")


def test_a_key_that_is_not_set_is_told(tmp_path: Path) -> None:
    assert "NOT_SET_ANYWHERE" in refused(tmp_path, config="provider: {simulate: {}}\nserve: {api_key_env: NOT_SET_ANYWHERE}\n")


def test_two_servers_do_not_share_a_folder(served: Server, tmp_path: Path) -> None:
    said = refused(tmp_path, "--data", str(served.folder / "headrace-data"))

    assert served.process is not None
    assert f"pid {served.process.pid}" in said
