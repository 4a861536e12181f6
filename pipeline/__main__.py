"""`python -m pipeline` is `headrace`. A signal is heeded before the first import that takes time."""

import gc
import sys

from pipeline.edges.process.early_signals import end_at_once

end_at_once()
gc.set_threshold(100_000, 20, 20)  # the imports make 60,000 objects, which stay; to look through them while they come takes 8 ms

from pipeline.cli import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
