"""Runs as processes of their own, which can be killed: a simulated provider that outlives them, a folder, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from attrs import define, frozen

from pipeline import load_config
from pipeline.errors import InputError, JournalError
from pipeline.inspect.status import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60  # a run that takes longer hangs
LOOK_SECONDS = 0.01  # between two looks at another process; nothing but the time that a test takes depends on it


@frozen
class Ended:
    """How a process ended. summary: what `--json` printed, None for nothing."""

    code: int
    summary: dict[str, Any] | None
    said: str


@define
class Campaign:
    """One input and one config, run as often as a test likes."""

    folder: Path
    base_url: str
    rows: int
    place: Path | None = None  # of the output, where it is not in the folder

    @property
    def output(self) -> Path:
        return self.place or self.folder / "out.jsonl"

    def lines(self) -> list[str]:
        return [json.loads(line)["custom_id"] for line in self.output.read_bytes().splitlines()]

    def names(self) -> list[str]:
        return [f"row-{index}" for index in range(self.rows)]

    def write_input(self, rows: int, start: int = 0) -> None:
        texts = "".join(json.dumps({"prompt": f"prompt {number}"}) + "\n" for number in range(start, rows))
        with (self.folder / "in.jsonl").open("a" if start else "w") as file:
            file.write(texts)
        self.rows = rows

    def command(self, name: str) -> list[str]:
        return [sys.executable, "-m", "pipeline", name, str(self.folder / "c.yaml")]

    def start(self, *flags: str, stdin: IO[str] | None = None) -> subprocess.Popen[str]:
        command = [*self.command("run"), "--json", "--progress", "none", *flags]
        return subprocess.Popen(command, cwd=ROOT, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *flags: str) -> Ended:
        return ended(self.start(*flags))

    def sent(self) -> int:
        """Attempts that reached the provider, by its own count."""
        with urllib.request.urlopen(self.base_url.removesuffix("/v1") + "/_simulate/statistics") as answer:
            count: int = json.load(answer)["requests"]
            return count

    def written(self) -> int:
        """Whole lines of the output."""
        return self.output.read_bytes().count(b"\n") if self.output.exists() else 0

    def recorded(self) -> int:
        """Rows that have an outcome, as the journal says."""
        try:
            return status(load_config(self.folder / "c.yaml")).recorded
        except (InputError, JournalError):
            return 0  # there is no journal yet, or not all of it

    def undisturbed(self) -> bytes:
        """What a run writes that nobody disturbs."""
        done = self.run("--set", "sink.path=undisturbed.jsonl")
        assert done.code in (0, 1), done.said
        return (self.folder / "undisturbed.jsonl").read_bytes()


def wait_until(condition: Callable[[], object], process: subprocess.Popen[str], seconds: float = SECONDS) -> None:
    """Wait for what a process is to bring about. Fails if it ends before, or hangs."""
    deadline, look = time.monotonic() + seconds, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        if process.poll() is not None:
            assert condition(), f"not so when the process ended with {process.returncode}"
            return
        look.wait(LOOK_SECONDS)


def ended(process: subprocess.Popen[str], seconds: float = SECONDS) -> Ended:
    """Wait for the end of a process."""
    out, said = process.communicate(timeout=seconds)
    return Ended(process.returncode, json.loads(out) if out else None, said)


@contextmanager
def campaign(folder: Path, rows: int, simulate: Mapping[str, object], **sections: Mapping[str, object]) -> Iterator[Campaign]:
    """Serve a simulated provider in a process of its own while the block runs."""
    flags = [part for key, value in simulate.items() for part in ("--set", f"{key}={json.dumps(value)}")]
    command = [sys.executable, "-m", "pipeline", "simulate", "--json", *flags]
    provider = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert provider.stdout is not None
    try:
        base_url = json.loads(provider.stdout.readline())["base_url"]
        config: dict[str, Mapping[str, object]] = {
            "source": {"path": "in.jsonl"},
            "request": {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "{prompt}"}]}},
            "provider": {"base_url": base_url},
            "sink": {"path": str(folder / "out.jsonl"), **sections.pop("sink", {})},
            "retry": {"base_seconds": 0.02, "cap_seconds": 0.1},
            **sections,
        }
        (folder / "c.yaml").write_text(json.dumps(config))
        made = Campaign(folder, base_url, rows)
        made.write_input(rows)
        yield made
    finally:
        provider.kill()
        provider.communicate()
