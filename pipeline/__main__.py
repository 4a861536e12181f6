"""`python -m pipeline` is `headrace`. Signals are handled before the first slow import."""

import _signal  # type: ignore[import-not-found]  # the part of `signal` in C: the module itself takes 4 ms

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:  # not where the parent process ignores it
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # which ends the process without a traceback, until `early_signals` is imported

import atexit
import gc
import sys

from pipeline.edges.process.early_signals import change_nothing, end_at_once

end_at_once()
atexit.register(change_nothing)
gc.set_threshold(100_000, 20, 20)  # the imports make 60,000 objects, which stay; to look through them while they come takes 8 ms

from pipeline.cli import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
