"""The score of a mutation run, from the files that mutmut leaves."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.mutation_score import counts_of, table

if TYPE_CHECKING:
    from pathlib import Path


def test_score_counts_what_was_noticed_of_what_was_run(tmp_path: Path) -> None:
    found: dict[str, list[int | None]] = {"rows/lines": [1, 1, 36, 0], "rows/urls": [1, 33, None, None], "pacing/meter": [0]}
    for module, codes in found.items():
        meta = tmp_path / f"pipeline/core/{module}.py.meta"
        meta.parent.mkdir(parents=True, exist_ok=True)
        meta.write_text(json.dumps({"exit_code_by_key": {f"mutant {number}": code for number, code in enumerate(codes)}}))

    assert table(counts_of(tmp_path)).splitlines()[2:] == [
        "| pacing | 1 | 0 | 1 | 0 | 0.0% |",
        "| rows | 6 | 4 | 1 | 1 | 66.7% |",
        "| all | 7 | 4 | 2 | 1 | 57.1% |",
    ]
