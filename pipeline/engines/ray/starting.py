"""Joins the cluster that a config names, or starts one on this machine for the run.

Never by accident: `ray.init()` without an address joins whatever cluster it finds on the machine, so an address is always given.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

# Read by Ray when it is imported. A local cluster is for this run alone, on loopback, so nobody needs a token for it.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
LOCAL_STORE_BYTES = 100 << 20  # Ray's least but one; no row is ever in it
NAMESPACE = "headrace"
ADVICE = "name the head of a cluster that runs as host:port (6379 unless it was started with another port), or take local"
REACH_SECONDS = 10.0  # for the head of a cluster to take a connection; Ray itself tries for many minutes


@contextmanager
def joined(address: str) -> Iterator[ModuleType]:
    """Ray, connected to a cluster; one that this process is connected to already is used as it is. Blocks, for some seconds.

    Raises UsageError where the cluster cannot be reached.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    if address == "local":
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    see_that_it_listens(address)
    import ray  # noqa: PLC0415  a second of CPU

    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of what is meant: signals are this process's own
    # Ray prints what happens to its processes to standard output, which is the summary's alone, and has no setting for that.
    ray._private.worker.print_to_stdstream = lambda *_, **__: None  # noqa: SLF001  likewise
    if ray.is_initialized():
        yield ray
        return
    local: dict[str, Any] = {"object_store_memory": LOCAL_STORE_BYTES, "include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, namespace=NAMESPACE, log_to_driver=False, configure_logging=False, **local)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        told = "no Ray cluster runs on this machine" if address == "auto" else f"the Ray cluster cannot be reached: {error}"
        raise UsageError(f"engine.ray.address: {address}: {told}; {ADVICE}") from error
    try:
        yield ray
    finally:
        ray.shutdown()


def take_back_signals() -> None:
    """Have SIGTERM reach this process's own handler alone: Ray, once it has begun, prints the stack of its threads before that."""
    handler = signal.getsignal(signal.SIGTERM)
    if threading.current_thread() is threading.main_thread() and handler is not None:
        signal.signal(signal.SIGTERM, handler)


def see_that_it_listens(address: str) -> None:
    """Raises UsageError where nobody listens at a cluster's `host:port`. Blocks."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or "/" in host:
        return  # a word, or another way to write an address, which Ray understands
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        told = getattr(error, "strerror", None) or str(error) or "it does not answer"
        raise UsageError(f"engine.ray.address: {address}: the Ray cluster cannot be reached: {told}; {ADVICE}") from error
