"""The helper process of `apart`: it does one call after the other, until nobody asks any more. It imports as little as it can."""

from __future__ import annotations

import os
import pickle
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

READY = b"headrace\n"  # its first line


def work() -> None:
    """Answer calls from standard input on what was standard output; what a function prints goes nowhere."""
    asked = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)
        answers.write(READY)
        answers.flush()
        while True:
            try:
                function, arguments = pickle.load(asked)  # noqa: S301  from the process that started this one
            except EOFError:
                return
            said = said_by(function, arguments)
            del arguments  # they may be large, and the next call may be far away
            pickle.dump(said, answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()
            del said


def said_by(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    """What a function gives, or the exception that it raises."""
    try:
        return function(*arguments)
    except Exception as error:  # noqa: BLE001  it is raised where the function was called
        return error
