"""`headrace serve` as a process of its own, in front of a simulated provider that outlives it and counts what it is asked."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60.0  # what takes longer hangs
LOOK_SECONDS = 0.02
FORM = "multipart/form-data; boundary=xyz"
FINAL = ("completed", "failed", "expired", "cancelled")


@define(eq=False)
class Answered:
    """A response. text: its body."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@define(eq=False)
class Server:
    """One data folder and one config, served as often as a test likes."""

    folder: Path
    base_url: str  # of the provider
    config: Mapping[str, Any]
    environment: Mapping[str, str] = field(factory=dict)
    key: str | None = None
    process: subprocess.Popen[str] | None = field(default=None, init=False)
    url: str = field(default="", init=False)

    def start(self, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        config = {"provider": {"base_url": self.base_url}, **self.config}
        (self.folder / "c.yaml").write_text(json.dumps({name: section for name, section in config.items() if section is not None}))
        command = [sys.executable, "-m", "pipeline", "serve", str(self.folder / "c.yaml"), "--port", "0", "--json", *flags]
        env = {**os.environ, **(environment or self.environment)}
        self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.url = json.loads(line)["url"]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.terminate()
        _, said = self.process.communicate(timeout=SECONDS)
        assert "Traceback" not in said, said
        assert "internal error" not in said, said
        return self.process.returncode

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answered:
        """One request, by hand."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=SECONDS)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.key is not None:
            named.setdefault("authorization", f"Bearer {self.key}")
        try:
            connection.request(method, path, body, named)
            response = connection.getresponse()
            return Answered(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, path: str, value: object, **headers: str) -> Answered:
        return self.call("POST", path, json.dumps(value).encode(), content_type="application/json", **headers)

    def upload(self, data: bytes, purpose: str = "batch", filename: str = "in.jsonl") -> str:
        answered = self.call("POST", "/v1/files", form(data, purpose, filename), content_type=FORM)
        assert answered.status == 200, answered.body
        name: str = answered.json["id"]
        return name

    def create(self, file: str, endpoint: str = "/v1/chat/completions", **headers: str) -> dict[str, Any]:
        answered = self.post("/v1/batches", {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"}, **headers)
        assert answered.status == 200, answered.body
        batch: dict[str, Any] = answered.json
        return batch

    def batch(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/v1/batches/{name}").json
        return found

    def wait(self, name: str, *statuses: str) -> dict[str, Any]:
        """Wait until a batch has one of these statuses, or has ended."""
        deadline, look = time.monotonic() + SECONDS, threading.Event()
        while (batch := self.batch(name))["status"] not in (statuses or FINAL):
            assert time.monotonic() < deadline, batch
            look.wait(LOOK_SECONDS)
        return batch

    def lines(self, file: str | None) -> list[dict[str, Any]]:
        """The lines of a result file; none without a file."""
        return [] if file is None else [json.loads(line) for line in self.call("GET", f"/v1/files/{file}/content").body.splitlines()]

    def sent(self) -> int:
        """Attempts that reached the provider, by its own count."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/_simulate/statistics") as answer:
            count: int = json.load(answer)["requests"]
            return count


def form(data: bytes, purpose: str = "batch", filename: str = "in.jsonl") -> bytes:
    """The body of an upload."""
    head = f'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n--xyz\r\n'
    head += f'Content-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n'
    return head.encode() + data + b"\r\n--xyz--\r\n"


def rows(count: int, *, prefix: str = "r", url: str = "/v1/chat/completions", **body: Any) -> bytes:
    """A batch file of so many rows."""
    lines = (
        {
            "custom_id": f"{prefix}-{number}",
            "method": "POST",
            "url": url,
            "body": {"model": "m", "messages": [{"role": "user", "content": f"{prefix} {number}"}], **body},
        }
        for number in range(count)
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


@contextmanager
def provider(**simulate: object) -> Iterator[str]:
    """Serve a simulated provider in a process of its own; its base_url."""
    flags = [part for key, value in simulate.items() for part in ("--set", f"{key.replace('__', '.')}={json.dumps(value)}")]
    command = [sys.executable, "-m", "pipeline", "simulate", "--json", *flags]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["base_url"]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def server(folder: Path, base_url: str, *, environment: Mapping[str, str] | None = None, **config: Any) -> Iterator[Server]:
    """A server that is running; killed at the end if it still is."""
    made = Server(folder, base_url, {"retry": {"base_seconds": 0.02, "cap_seconds": 0.1}, **config}, environment or {})
    made.start()
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.kill()
