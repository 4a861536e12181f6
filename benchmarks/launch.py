"""Runs one command and writes down what its process cost, from its start to its end. Standard library only.

Called as `python -I -S launch.py RESULT CORE COMMAND…`: a small process of its own, because the peak memory that Linux
reports for a child begins with that of the process that spawned it. CORE: -1 for any.
"""

import json
import os
import sys
import time


def main() -> None:
    """Spawn, wait, write, and end with the command's own exit code."""
    result, core, command = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    if core >= 0:
        os.sched_setaffinity(0, {core})
    started = time.monotonic()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, used = os.wait4(child, 0)
    ended = time.monotonic()
    code = os.waitstatus_to_exitcode(status)
    figures = {
        "started": started,
        "wall_seconds": ended - started,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "peak_rss_mb": used.ru_maxrss / 1024,
        "exit_code": code,
    }
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123  pathlib would cost this process more than the rest
        json.dump(figures, file)
    sys.exit(code if code >= 0 else 1)


if __name__ == "__main__":
    main()
