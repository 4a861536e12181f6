"""Says in words which of the calls fits the event loop that somebody is in."""

from __future__ import annotations

import sys

import trio

from pipeline.errors import UsageError


def require_trio(name: str) -> None:
    """Raises UsageError where trio does not run. name: of the function that needs it."""
    if not trio.lowlevel.in_trio_run():
        raise UsageError(f"pipeline.{name} needs trio; under asyncio (FastAPI, Jupyter) use pipeline.aio.{name}, in a script trio.run")


def require_no_loop(name: str) -> None:
    """Raises UsageError where a call that blocks would stop an event loop. A notebook's cell may block: nobody else is in its loop.

    name: of the function that blocks.
    """
    if trio.lowlevel.in_trio_run():
        raise UsageError(f"pipeline.{name} blocks, so it cannot be called where trio runs; use pipeline.stream there")
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and asyncio._get_running_loop() is not None and not in_ipython():  # noqa: SLF001  the public one raises
        raise UsageError(f"pipeline.{name} blocks, and would stop the event loop that it is called in; use: await pipeline.aio.{name}(…)")


def in_ipython() -> bool:
    """Whether this is IPython, a Jupyter kernel among others."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and ipython.get_ipython() is not None
