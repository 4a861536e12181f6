"""`headrace serve`: the prompts as one batch, uploaded, awaited and downloaded. Its cost is that of the server's process."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from benchmarks.peers.task import KEY, Task, body

if TYPE_CHECKING:
    from pathlib import Path

BOUNDARY = "headrace-bench"
ASK_SECONDS = 0.25  # between two looks at the batch
PART = 'Content-Disposition: form-data; name="'


class Server:
    """A running server; its address is the first line that it prints."""

    def __init__(self, config: Path, data: Path) -> None:
        command = [sys.executable, "-m", "pipeline", "serve", str(config), "--port", "0", "--data", str(data), "--json", "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        url = urlsplit(json.loads(self.process.stdout.readline())["url"])
        self.connection = HTTPConnection(url.hostname or "", url.port or 0)

    def ask(self, method: str, path: str, content: bytes | None = None, kind: str = "application/json") -> bytes:
        """The body of an answer."""
        self.connection.request(method, path, content, {"Content-Type": kind})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: HTTP {response.status} {answer[:500]!r}")
        return answer

    def ask_json(self, method: str, path: str, content: bytes | None = None, kind: str = "application/json") -> dict[str, Any]:
        """The same, decoded."""
        decoded: dict[str, Any] = json.loads(self.ask(method, path, content, kind))
        return decoded

    def end(self) -> None:
        """Let it end by itself."""
        self.connection.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def batch_lines(prompts: list[str]) -> bytes:
    """The prompts as OpenAI Batch lines."""
    return b"".join(
        json.dumps({"custom_id": f"{place}", "method": "POST", "url": "/v1/chat/completions", "body": body(prompt)}).encode() + b"\n"
        for place, prompt in enumerate(prompts)
    )


def form(content: bytes) -> bytes:
    """An upload as a browser sends it."""
    head = f'--{BOUNDARY}\r\n{PART}purpose"\r\n\r\nbatch\r\n--{BOUNDARY}\r\n{PART}file"; filename="prompts.jsonl"\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def answers_of(server: Server, task: Task) -> list[str | None]:
    """Upload, begin, wait, download."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    file = server.ask_json("POST", "/v1/files", form(batch_lines(task.prompts)), kind)
    wanted = {"input_file_id": file["id"], "endpoint": "/v1/chat/completions", "completion_window": "24h"}
    batch = server.ask_json("POST", "/v1/batches", json.dumps(wanted).encode())
    while batch["status"] not in {"completed", "failed", "expired", "cancelled"}:
        time.sleep(ASK_SECONDS)
        batch = server.ask_json("GET", f"/v1/batches/{batch['id']}")
    answers: list[str | None] = [None] * len(task.prompts)
    for line in server.ask("GET", f"/v1/files/{batch['output_file_id']}/content").splitlines():
        answer = json.loads(line)
        answers[int(answer["custom_id"])] = answer["response"]["body"]["choices"][0]["message"]["content"]
    return answers


def main() -> None:
    """Measure one batch, the start and the end of the server included."""
    task = Task.load()
    config, data = task.report.with_name("serve.yaml"), task.report.with_name("data")
    limits = {"max_in_flight": task.in_flight, "requests_per_second": task.rate}
    config.write_text(json.dumps({"provider": {"base_url": task.base_url, "headers": {"X-Bench": KEY[:2]}}, "limits": limits}))
    server = Server(config, data)
    try:
        answers = answers_of(server, task)
    finally:
        server.end()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    task.finish(answers, done=used.ru_utime + used.ru_stime)


if __name__ == "__main__":
    main()
