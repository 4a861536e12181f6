"""The results of `run_batch`: a list that shows itself in a few words and becomes a frame on request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from pipeline.core.output.words import many
from pipeline.records import Outcome, Success

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

SHOWN_KINDS = 3  # of failures


class Outcomes(list[Outcome]):
    """Outcomes in the order of their rows. Each has `ok`, `content` and `error`."""

    @property
    def failed(self) -> list[Outcome]:
        """Those that are failures."""
        return [outcome for outcome in self if not outcome.ok]

    @property
    def contents(self) -> list[Any]:
        """The content of each; None for a failure."""
        return [outcome.content for outcome in self]

    def __repr__(self) -> str:
        """How many there are and what failed; never a body."""
        failures = Counter(outcome.error_code for outcome in self if not outcome.ok)
        kinds = ", ".join(f"{count} × {code}" for code, count in failures.most_common(SHOWN_KINDS))
        more = f" and {many(len(failures) - SHOWN_KINDS, 'more kind')}" if len(failures) > SHOWN_KINDS else ""
        failed = f", {failures.total()} failed: {kinds}{more}" if failures else ""
        return f"<{many(len(self), 'outcome')}{failed}>"

    def columns(self) -> dict[str, list[Any]]:
        """The outcomes as columns, in the order of the rows."""
        return {
            "index": [each.index for each in self],
            "custom_id": [each.custom_id for each in self],
            "ok": [each.ok for each in self],
            "content": self.contents,
            "error": [each.error for each in self],
            "error_code": [each.error_code for each in self],
            "status_code": [each.status_code for each in self],
            "finish_reason": [each.finish_reason if isinstance(each, Success) else None for each in self],
            "prompt_tokens": [each.usage.prompt_tokens if isinstance(each, Success) else None for each in self],
            "output_tokens": [each.usage.output_tokens if isinstance(each, Success) else None for each in self],
            "attempts": [each.attempts for each in self],
            "latency_seconds": [each.latency_seconds for each in self],
        }

    def to_pandas(self) -> pd.DataFrame:
        """A frame with a row for each outcome, in the order of the rows. Needs pandas."""
        import pandas as pd  # noqa: PLC0415  only whoever asks for it has it

        return pd.DataFrame(self.columns())

    def to_polars(self) -> pl.DataFrame:
        """A frame with a row for each outcome, in the order of the rows. Needs polars."""
        import polars as pl  # noqa: PLC0415  only whoever asks for it has it

        return pl.DataFrame(self.columns(), strict=False, infer_schema_length=None)
