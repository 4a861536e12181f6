"""How many files this process may have open, which bounds its connections: 1024 on many systems, 256 on macOS, before it asks."""

from __future__ import annotations

import logging
import resource

from pipeline.errors import UsageError

RESERVED = 40  # input, output, journal, ids, the event loop and its threads, a name lookup: 25 at most, and as many again to spare

LEAST = 32  # a run with one connection opens 25

_log = logging.getLogger(__name__)


def connections_possible(wanted: int, *, files_each: int = 1) -> int:
    """How many of the wanted connections can be open at once; asks for leave to open more files where it may. At least 1."""
    needed = wanted * files_each + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    asked = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (asked, hard))
        soft = asked
    except (ValueError, OSError):  # macOS lets nobody have more than kern.maxfilesperproc, whatever it says before
        pass
    possible = max(1, min(wanted, (soft - RESERVED) // files_each))
    if possible < wanted:
        _log.warning("max_in_flight is %d instead of %d: this process may open %d files (ulimit -n)", possible, wanted, soft)
    return possible


def require_descriptors() -> None:
    """Raise UsageError where this process may open too few files for any run; asks for more first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= LEAST:
        return
    if hard == resource.RLIM_INFINITY or hard >= LEAST:
        resource.setrlimit(resource.RLIMIT_NOFILE, (LEAST, hard))
        return
    raise UsageError(
        f"this process may open {hard} files (ulimit -n), and a run needs {LEAST} at least: raise the limit, for example to 1024"
    )
