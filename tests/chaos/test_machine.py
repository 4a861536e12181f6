"""A machine that is at its limits, and a network that fails: no row is lost for it, and what is wrong is said."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme

from tests.fakes.hostile import HostileProvider, write_rows
from tests.fakes.processes import wait_until
from tests.fakes.runs import answers, read_lines, run_file, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
RUN = [sys.executable, "-m", "pipeline", "run", "--progress", "none"]


@pytest.fixture(scope="module")
def provider() -> Iterator[HostileProvider]:
    with HostileProvider(latency_seconds=0.02) as hostile:
        yield hostile


def _run(config: Path, *, limit: str = "true") -> subprocess.CompletedProcess[str]:
    """The command, after a shell command that sets a limit."""
    return subprocess.run(
        ["bash", "-c", f'{limit}; exec "$@"', "bash", *RUN, str(config)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_fewer_files_than_connections_cost_no_row(provider: HostileProvider, tmp_path: Path) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["plain"] * 400)

    ended = _run(write_config(tmp_path, provider.base_url, limits={"max_in_flight": 200}), limit="ulimit -n 64")

    assert ended.returncode == 0, ended.stderr
    assert "instead of 200: this process may open 64 files (ulimit -n)" in ended.stderr
    assert [answers(line, f"row-{index}") for index, line in enumerate(read_lines(tmp_path / "out.jsonl"))] == [True] * 400
    assert set(provider.counts().attempts.values()) == {1}


def test_an_output_that_may_grow_no_further_stops_the_run_and_it_goes_on_later(provider: HostileProvider, tmp_path: Path) -> None:
    provider.reset()
    write_rows(tmp_path / "in.jsonl", ["big"] * 40)
    config = write_config(tmp_path, provider.base_url, limits={"max_in_flight": 4})

    stopped = _run(config, limit="ulimit -f 6000")
    before = read_lines(tmp_path / "out.jsonl")
    ended = _run(config)

    assert stopped.returncode == 3
    assert "aborted: " in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert [answers(line, f"row-{index}") for index, line in enumerate(before)] == [True] * len(before)
    assert len(before) < 40
    assert ended.returncode == 0, ended.stderr
    assert [answers(line, f"row-{index}") for index, line in enumerate(read_lines(tmp_path / "out.jsonl"))] == [True] * 40


def test_a_provider_that_goes_and_comes_back_costs_no_row(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ["plain"] * 1500)
    with HostileProvider(latency_seconds=0.02) as first:
        config = write_config(tmp_path, first.base_url, retry={"base_seconds": 0.05, "cap_seconds": 0.5})
        process = subprocess.Popen([*RUN, str(config)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: _lines(tmp_path) > 100, process)
    with HostileProvider(latency_seconds=0.02, port=first.port):
        _, said = process.communicate(timeout=60)

    assert process.returncode == 0, said
    assert [answers(line, f"row-{index}") for index, line in enumerate(read_lines(tmp_path / "out.jsonl"))] == [True] * 1500


def _lines(folder: Path) -> int:
    output = folder / "out.jsonl"
    return output.read_bytes().count(b"\n") if output.exists() else 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
async def test_rows_that_reach_nobody_wait_for_a_while_and_are_not_written(tmp_path: Path, host: str) -> None:
    write_rows(tmp_path / "in.jsonl", ["plain"] * 20)
    with socket.socket() as unused:  # bound and not listening: nobody else gets the port meanwhile
        unused.bind(("127.0.0.1", 0))

        run = await run_file(tmp_path, f"http://{host}:{unused.getsockname()[1]}/v1", retry={"attempts": 3, "patience_seconds": 2})

    assert run.lines == []
    assert "onnection refused" in str(run.stopped)
    assert (run.summary.failed, run.summary.unknown_outcome) == (0, 0)


async def test_a_name_that_nobody_knows_stops_the_run_and_is_told(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ["plain"] * 2)

    run = await run_file(tmp_path, "http://nonexistent.invalid/v1", retry={"attempts": 2}, timeouts={"connect_seconds": 1})

    assert run.lines == []
    assert "nonexistent.invalid" in str(run.stopped)


@contextmanager
def _tls_server(certificate: trustme.LeafCert) -> Iterator[tuple[int, list[int]]]:
    """Shows a certificate to whoever connects; its port, and a list with an entry for every connection."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate.configure_cert(context)
    connections: list[int] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection.fileno())
            with connection:
                try:
                    context.wrap_socket(connection, server_side=True).close()
                except OSError:
                    pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1], connections
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


async def test_a_certificate_that_nobody_vouches_for_stops_the_run_and_is_never_trusted(tmp_path: Path) -> None:
    write_rows(tmp_path / "in.jsonl", ["plain"] * 5)
    with _tls_server(trustme.CA().issue_cert("127.0.0.1")) as (port, connections):
        run = await run_file(tmp_path, f"https://127.0.0.1:{port}/v1")

    assert run.lines == []
    assert "its certificate does not verify" in str(run.stopped)
    assert "provider.tls.ca" in str(run.stopped)
    assert len(connections) <= 5


def test_the_environment_of_proxies_does_not_come_between_us_and_this_machine(
    provider: HostileProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    write_rows(tmp_path / "in.jsonl", ["plain"] * 3)

    ended = _run(write_config(tmp_path, provider.base_url))

    assert ended.returncode == 0, ended.stderr
    assert os.environ["http_proxy"] == "http://127.0.0.1:9"
