"""One Ray cluster on this machine for all tests of a session, whichever processes run them; and the processes in it, by their ids.

A process of its own owns the cluster, and the last test process that needs it ends that one. Nothing of it may outlive the tests,
so what is left after the shutdown is killed by its id.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVIRONMENT = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
OWNER = """
import logging, signal, sys
logging.disable(logging.WARNING)
import ray
context = ray.init(
    address="local", num_cpus=4, object_store_memory=100 << 20, log_to_driver=False, include_dashboard=False, configure_logging=False
)
print(context.address_info["address"], flush=True)
signal.sigwait({signal.SIGTERM})
ray.shutdown()
"""
ENDS_SECONDS = 30


@frozen
class RayCluster:
    """A cluster that runs. address: host and port. owner: process id of the process that began it."""

    address: str
    owner: int

    def processes(self, title: str) -> list[int]:
        """The ids of the processes in it with this in their command line."""
        return [pid for pid in descendants(self.owner) if title in command_of(pid)]


def command_of(pid: int) -> str:
    """The command line of a process; "" if there is none."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def descendants(pid: int) -> list[int]:
    """The processes below a process, by what /proc says of parents."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found, look = [], [pid]
    while look:
        above = look.pop()
        below = [child for child, parent in parents.items() if parent == above]
        found += below
        look += below
    return found


@contextlib.contextmanager
def ray_cluster(shared: Path) -> Iterator[RayCluster]:
    """The cluster of this session; begun by whoever needs it first. shared: a folder that all test processes know."""
    folder = shared / "ray-cluster"
    folder.mkdir(exist_ok=True)
    mine = folder / f"user-{os.getpid()}"
    with _locked(folder):
        if not list(folder.glob("user-*")):
            (folder / "cluster.json").write_text(json.dumps(_begin()))
        mine.touch()
        cluster = RayCluster(**json.loads((folder / "cluster.json").read_text()))
    try:
        yield cluster
    finally:
        with _locked(folder):
            mine.unlink()
            if not list(folder.glob("user-*")):
                _end(cluster.owner)


def _begin() -> dict[str, object]:
    environment = {**os.environ, **ENVIRONMENT}
    owner = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    assert owner.stdout is not None
    address = owner.stdout.readline().strip()
    assert address, "the cluster did not start"
    _owners[owner.pid] = owner
    return {"address": address, "owner": owner.pid}


_owners: dict[int, subprocess.Popen[str]] = {}  # those that this process has begun, to be waited for


def _end(owner: int) -> None:
    below = descendants(owner)
    os.kill(owner, signal.SIGTERM)
    begun = _owners.pop(owner, None)
    if begun is not None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            begun.communicate(timeout=ENDS_SECONDS)
    for pid in [owner, *below]:
        if "ray" in command_of(pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
