"""A plain run starts fast because it imports what it needs and no more. What a run needs only sometimes is listed here."""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REPLY = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}).encode()
RUN = """
import sys
from pipeline.__main__ import main

assert main() == 0
print(*sys.modules)
"""
# Modules, and packages with all that is in them.
FOR_SOME_RUNS = (
    "asyncio",
    "cattrs",
    "difflib",
    "httpx",
    "jsonschema",
    "multiprocessing",
    "pyarrow",
    "rich",
    "pipeline.aio",
    "pipeline.cli.announcer",
    "pipeline.cli.batch",
    "pipeline.cli.collecting",
    "pipeline.cli.commands",
    "pipeline.cli.display",
    "pipeline.cli.drawing",
    "pipeline.cli.narrator",
    "pipeline.cli.reloading",
    "pipeline.cli.serving",
    "pipeline.cli.starting",
    "pipeline.cli.view",
    "pipeline.config.expectations",
    "pipeline.core.answers.assemble",
    "pipeline.core.answers.error_bodies",
    "pipeline.core.answers.events",
    "pipeline.core.answers.expect",
    "pipeline.core.answers.hints",
    "pipeline.core.answers.mend",
    "pipeline.core.answers.plain_chat",
    "pipeline.core.answers.quotas",
    "pipeline.core.answers.replies",
    "pipeline.core.answers.scopes",
    "pipeline.core.answers.shapes",
    "pipeline.core.answers.streamed_body",
    "pipeline.core.answers.trouble",
    "pipeline.core.batches",
    "pipeline.core.cluster",
    "pipeline.core.output.flat_lines",
    "pipeline.core.output.read_lines",
    "pipeline.core.output.written",
    "pipeline.core.pacing.account",
    "pipeline.core.pacing.again",
    "pipeline.core.pacing.announced",
    "pipeline.core.pacing.budget",
    "pipeline.core.pacing.leased",
    "pipeline.core.pacing.permits",
    "pipeline.core.pacing.prices",
    "pipeline.core.rows.attached",
    "pipeline.core.rows.explained",
    "pipeline.core.rows.tables",
    "pipeline.durability.rebuild",
    "pipeline.durability.reuse",
    "pipeline.edges.attachments",
    "pipeline.edges.http.body",
    "pipeline.edges.http.client",
    "pipeline.edges.http.decoding",
    "pipeline.edges.http.over_http2",
    "pipeline.edges.http.over_httpx",
    "pipeline.edges.http.over_tls",
    "pipeline.edges.http.renewing",
    "pipeline.edges.http.sessions",
    "pipeline.edges.leases",
    "pipeline.edges.process.key_sources",
    "pipeline.edges.sources.arrow",
    "pipeline.edges.store.cache",
    "pipeline.edges.store.catalog",
    "pipeline.engines",
    "pipeline.inspect",
    "pipeline.library",
    "pipeline.ports",
    "pipeline.runs.accounts",
    "pipeline.runs.changing",
    "pipeline.runs.pricing",
    "pipeline.runs.stream",
    "pipeline.serve",
    "pipeline.simulate",
    "pipeline.stages.leasing",
)


class _Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(REPLY)))
        self.end_headers()
        self.wfile.write(REPLY)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def base_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Provider) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.fixture
def config(base_url: str, tmp_path: Path) -> Path:
    """Of one row."""
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": []}}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    config = tmp_path / "c.yaml"
    config.write_text(f"source: {{path: rows.jsonl}}\nprovider: {{base_url: '{base_url}'}}\nsink: {{path: out.jsonl}}\n")
    return config


def imported_by(command: str, config: Path) -> set[str]:
    """The modules that a command has imported by its end."""
    call = [sys.executable, "-c", RUN, command, str(config)]
    done = subprocess.run(
        [*call, "--progress", "none"] if command == "run" else call, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.fixture
def imported(config: Path) -> set[str]:
    """The modules that a run of one row has imported by its end."""
    return imported_by("run", config)


def test_a_plain_run_imports_nothing_that_only_some_runs_need(imported: set[str]) -> None:
    needless = [
        name
        for name in imported
        if name.startswith(FOR_SOME_RUNS) and any(name == each or name.startswith(f"{each}.") for each in FOR_SOME_RUNS)
    ]

    assert "pipeline.runs.run" in imported
    assert sorted(needless) == []


def test_a_plain_run_imports_few_of_our_modules(imported: set[str]) -> None:
    ours = [name for name in imported if name == "pipeline" or name.startswith("pipeline.")]

    assert len(ours) <= 190, "a plain run imports more than it did; can a part of it be imported where it is used?"


@pytest.mark.parametrize("command", ["status", "verify"])
def test_a_command_that_only_reads_files_imports_nothing_that_sends(command: str, imported: set[str], config: Path) -> None:
    read = imported_by(command, config)

    assert {"trio", "httptools"} <= imported
    assert {"trio", "httptools", "ssl"} & read == set()
