"""Runs a function in a thread, for a third of what `trio.to_thread.run_sync` costs: for what happens many times a second.

What is left out: a limit on the number of threads, since each caller has one at a time; a copy of the context; the way back into
trio from within the function; and cancellation, since what is done here must be waited for.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
from trio.lowlevel import Abort, current_task, current_trio_token, reschedule, start_thread_soon, wait_task_rescheduled

if TYPE_CHECKING:
    from collections.abc import Callable

    from outcome import Outcome

R = TypeVar("R")


async def in_thread(function: Callable[..., R], *arguments: object) -> R:
    """The result of a function that blocks. Raises what it raises.

    Cancellation: is not delivered while the function runs, nor after it.
    """
    task, token = current_task(), current_trio_token()

    def deliver(result: Outcome[R]) -> None:
        try:
            token.run_sync_soon(reschedule, task, result)
        except trio.RunFinishedError:
            pass  # nobody waits any more

    start_thread_soon(partial(function, *arguments), deliver)
    result: R = await wait_task_rescheduled(lambda _: Abort.FAILED)
    return result
