"""`python -m pipeline` is `headrace`. A signal is heeded before the first import that takes time."""

import sys

from pipeline.edges.early_signals import end_at_once

end_at_once()

from pipeline.cli import main  # noqa: E402

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
