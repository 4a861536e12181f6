"""The server's process as the harness holds it: started, reset before a run, asked after it, ended with its input."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.scenarios import Scenario

ROOT = Path(__file__).parent.parent


class Provider:
    """A running server. environment: what a client needs to trust it."""

    def __init__(self, process: subprocess.Popen[str], scheme: str, environment: dict[str, str]) -> None:
        self._process = process
        port = self._answer()["port"]
        self.base_url = f"{scheme}://127.0.0.1:{port:.0f}/v1"
        self.environment = environment

    def reset(self) -> None:
        """Forget what was counted."""
        self._ask("reset")

    def counts(self, in_flight: int) -> dict[str, float]:
        """What it saw since the reset; see `benchmarks.server.Counts`."""
        return self._ask(f"stats {in_flight}")

    def first_events(self) -> dict[str, float]:
        """Time of day at which the first event of each row was written."""
        return self._ask("firsts")

    def _ask(self, command: str) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the server has ended; its message is above")
        answer: dict[str, float] = json.loads(line)
        return answer


def server_command(scenario: Scenario) -> list[str]:
    """The command line of the server for a scenario, without its core and certificate."""
    if scenario.simulate is not None:
        return [sys.executable, "-m", "benchmarks.simulated", json.dumps(scenario.simulate)]
    command = [sys.executable, "-m", "benchmarks.server", "--latency", scenario.latency]
    if scenario.head_seconds is not None:
        command += ["--head-seconds", str(scenario.head_seconds)]
    if scenario.events:
        command += ["--events", str(scenario.events), "--event-seconds", str(scenario.event_seconds)]
    if scenario.answer_bytes:
        command += ["--answer-bytes", str(scenario.answer_bytes)]
    if scenario.limit is not None:
        command += ["--limit", str(scenario.limit), "--window", scenario.window]
    return command


@contextmanager
def serving(scenario: Scenario, work: Path, core: int | None) -> Iterator[Provider]:
    """The server of a scenario, for as long as the block runs."""
    command = server_command(scenario)
    environment: dict[str, str] = {}
    if core is not None and scenario.simulate is None:
        command += ["--core", str(core)]
    if scenario.tls:
        certificate, environment = certify(work)
        command += ["--cert", str(certificate)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Provider(process, "https" if scenario.tls else "http", environment)
        finally:
            assert process.stdin is not None
            process.stdin.close()


def certify(work: Path) -> tuple[Path, dict[str, str]]:
    """A certificate for 127.0.0.1, and the variables by which every client finds the authority behind it."""
    authority, certificate = work / "authority.pem", work / "certificate.pem"
    ca = trustme.CA()
    ca.cert_pem.write_to_path(authority)
    ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(certificate)
    return certificate, {"SSL_CERT_FILE": str(authority), "REQUESTS_CA_BUNDLE": str(authority)}
