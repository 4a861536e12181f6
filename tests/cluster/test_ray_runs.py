"""Runs on a real Ray cluster, with real kills: every row once and in order, little sent twice, nothing sent after a drain.

One cluster serves all of these tests (`tests/fakes/ray_cluster.py`). How exactly limits are kept is not tested here but on virtual
time (`tests/properties/test_cluster_laws.py`): on a busy machine a wall clock proves nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.processes import ROOT, Campaign, campaign, ended, wait_until
from tests.fakes.ray_cluster import ENVIRONMENT, RayCluster, ray_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 320
IN_FLIGHT = 20
RATE = 100
LONG = 180  # seconds: on a busy machine the processes of a cluster need a minute to start
PROCESSES = Path("/proc")
WORKER, COORDINATOR = "ray::Worker.run", "ray::Coordinator"

pytestmark = pytest.mark.ray
pytest.importorskip("ray")
if not PROCESSES.is_dir():
    pytest.skip("processes are found by /proc", allow_module_level=True)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    base = tmp_path_factory.getbasetemp()
    with ray_cluster(base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) as begun:
        yield begun


@contextmanager
def runs_on(cluster: RayCluster, folder: Path, rows: int = ROWS) -> Iterator[Campaign]:
    """A campaign whose runs have two workers of the cluster and shards of 80 rows."""
    engine = {"kind": "ray", "ray": {"address": cluster.address, "workers": 2, "shard_rows": 80, "node_loss_seconds": 1.0}}
    limits = {"max_in_flight": IN_FLIGHT, "requests_per_second": RATE}
    with campaign(folder, rows, {"latency.median_seconds": 0.03}, limits=limits, engine=engine) as made:
        yield made


def start(runs: Campaign, *flags: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **ENVIRONMENT}
    command = [sys.executable, "-m", "pipeline", "run", str(runs.folder / "c.yaml"), "--json", "--progress", "none", *flags]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def kill_one(cluster: RayCluster, title: str) -> None:
    os.kill(cluster.processes(title)[0], signal.SIGKILL)


def test_two_workers_write_what_one_process_writes(cluster: RayCluster, tmp_path: Path) -> None:
    with runs_on(cluster, tmp_path) as runs:
        done = ended(start(runs), LONG)
        sent = runs.sent()
        alone = ended(start(runs, "--engine", "local", "--set", "sink.path=undisturbed.jsonl"), LONG)

    assert done.code == 0, done.said
    assert done.summary is not None
    assert [(lane["attempts"], lane["succeeded"], bool(lane["limited_by"])) for lane in done.summary["lanes"]] == [(ROWS, ROWS, True)]
    assert sent == ROWS
    assert runs.lines() == runs.names()
    assert alone.code == 0, alone.said
    assert runs.output.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()


def test_killed_workers_cost_no_row_and_little_is_sent_twice(cluster: RayCluster, tmp_path: Path) -> None:
    with runs_on(cluster, tmp_path) as runs:
        process = start(runs)
        wait_until(lambda: runs.sent() >= 60, process, LONG)
        kill_one(cluster, WORKER)
        wait_until(lambda: runs.sent() >= 160 and len(cluster.processes(WORKER)) == 2, process, LONG)
        kill_one(cluster, WORKER)
        done = ended(process, LONG)
        sent = runs.sent()

    assert done.code == 0, done.said
    assert runs.lines() == runs.names()
    assert sent <= ROWS + 2 * IN_FLIGHT


def test_a_killed_coordinator_begins_again_and_nothing_is_lost(cluster: RayCluster, tmp_path: Path) -> None:
    with runs_on(cluster, tmp_path) as runs:
        process = start(runs)
        wait_until(lambda: runs.sent() >= 60, process, LONG)
        kill_one(cluster, COORDINATOR)
        done = ended(process, LONG)
        sent = runs.sent()

    assert done.code == 0, done.said
    assert runs.lines() == runs.names()
    assert sent == ROWS


def test_a_killed_driver_leaves_nobody_that_sends_and_the_next_one_goes_on(cluster: RayCluster, tmp_path: Path) -> None:
    with runs_on(cluster, tmp_path) as runs:
        process = start(runs)
        wait_until(lambda: runs.sent() >= 60, process, LONG)
        process.kill()
        process.communicate()
        done = ended(start(runs), LONG)
        sent = runs.sent()

    assert done.code == 0, done.said
    assert runs.lines() == runs.names()
    assert sent <= ROWS + IN_FLIGHT


def test_an_interrupt_drains_all_workers_and_no_row_is_sent_twice(cluster: RayCluster, tmp_path: Path) -> None:
    with runs_on(cluster, tmp_path) as runs:
        process = start(runs)
        wait_until(lambda: runs.sent() >= 60, process, LONG)
        os.killpg(process.pid, signal.SIGINT)
        stopped = ended(process, LONG)
        before = runs.sent()
        again = ended(start(runs), LONG)
        sent = runs.sent()

    assert stopped.code == 130, stopped.said
    assert before < ROWS
    assert again.code == 0, again.said
    assert sent == ROWS
    assert runs.lines() == runs.names()


def test_a_run_directory_that_vanishes_stops_the_run(cluster: RayCluster, tmp_path: Path) -> None:
    with runs_on(cluster, tmp_path) as runs:
        process = start(runs)
        wait_until(lambda: runs.sent() >= 60, process, LONG)
        (tmp_path / "out.jsonl.run").rename(tmp_path / "gone")
        stopped = ended(process, LONG)

    assert stopped.code == 3, stopped.said
