"""The score of a mutation run: which share of the mutants of core/ the tests notice, by room. Run as a program after `make mutation`.

Reads what mutmut leaves in `mutants/`: one file of exit codes for each module.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

CORE = "pipeline/core"
KILLED = {1, 3}
TIMED_OUT = {36, 24, -24, 152, 255}  # a mutant that never ends is noticed too
SURVIVED = {0}
UNTESTED = {5, 33}
NOT_RUN = "not run"
KINDS = ("killed", "timed out", "survived", "no test")


def kind_of(code: int | None) -> str:
    """What became of a mutant, by the exit code of its tests."""
    for kind, codes in zip(KINDS, (KILLED, TIMED_OUT, SURVIVED, UNTESTED), strict=True):
        if code in codes:
            return kind
    return NOT_RUN


def counts_of(mutants: Path) -> dict[str, Counter[str]]:
    """How many mutants of each kind a room has. mutants: the folder that mutmut has made."""
    rooms: dict[str, Counter[str]] = {}
    for meta in sorted((mutants / CORE).rglob("*.py.meta")):
        room = meta.relative_to(mutants / CORE).parts[0]
        codes = json.loads(meta.read_text(encoding="utf-8"))["exit_code_by_key"].values()
        rooms.setdefault(room, Counter()).update(map(kind_of, codes))
    return {room: counts for room, counts in rooms.items() if counts}


def table(rooms: dict[str, Counter[str]]) -> str:
    """The score as Markdown; mutants that were not run are left out."""
    lines = ["| room | mutants | noticed | survived | no test | score |", "|---|---:|---:|---:|---:|---:|"]
    total = sum(rooms.values(), Counter())
    for room, counts in [*rooms.items(), ("all", total)]:
        noticed = counts["killed"] + counts["timed out"]
        run = noticed + counts["survived"] + counts["no test"]
        if run:
            share = f"{noticed / run:.1%}"
            lines.append(f"| {room} | {run:,} | {noticed:,} | {counts['survived']:,} | {counts['no test']:,} | {share} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    print(table(counts_of(Path(sys.argv[1] if len(sys.argv) > 1 else "mutants"))))


if __name__ == "__main__":
    main()
