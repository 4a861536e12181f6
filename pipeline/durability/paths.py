"""The files of a run: their names, whether they can be made, and how they are moved aside.

Only what holds no result is ever deleted here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.edges.store.files import free_name, real
from pipeline.errors import OutputExistsError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

ANSWERS = (".answers", ".answers-wal", ".answers-shm")  # of rows that equal ones may share, with dedupe
LOGS = ("-wal", "-shm")
JOURNAL_PARTS = ("", *LOGS, ".spool", ".spool.long", ".rows", *ANSWERS)  # SQLite finds its log by the name, and we the rest
RUN_SUFFIX = ".run"  # of the directory of a run by several workers, beside the output
MANIFEST = "manifest.json"  # the file in it that says what is run


class Paths(Struct, eq=False):
    """The files of one run. marks lie beside the journal; rebuilt is an output in the making (see `rebuild`)."""

    output: Path
    journal: Path

    @classmethod
    def of(cls, output: str, journal: str | None) -> Paths:
        """The files of a run whose config names these; a journal that it does not name lies beside the output.

        Links are followed, so that two names of one file are one run.
        """
        place = real(output)
        return cls(place, place.with_name(place.name + ".journal") if journal is None else real(journal))

    @property
    def marks(self) -> Path:
        """Where sent rows are marked; also the run's lock."""
        return self.journal.with_name(self.journal.name + ".sent")

    @property
    def spool(self) -> Path:
        """Where outcomes are until the journal or the output has them."""
        return self.journal.with_name(self.journal.name + ".spool")

    @property
    def hashes(self) -> Path:
        """Where the hashes of the rows are."""
        return self.journal.with_name(self.journal.name + ".rows")

    @property
    def logs(self) -> list[Path]:
        """What SQLite has beside the journal while it is open: commits that are not in it yet, and an index of them."""
        return [self.journal.with_name(self.journal.name + part) for part in LOGS]

    @property
    def answers(self) -> Path:
        """Where a run with dedupe keeps the answers that equal rows share."""
        return self.journal.with_name(self.journal.name + ANSWERS[0])

    def make_folders(self) -> None:
        """Make the folders of the output and of the journal. Raises UsageError."""
        for path, what in ((self.output, "output"), (self.journal, "journal")):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(f"{path}: the {what} cannot be created: {error.strerror or error}") from error

    def remove_answers(self) -> None:
        """Remove them, when no row is left that could share one."""
        for part in ANSWERS:
            self.journal.with_name(self.journal.name + part).unlink(missing_ok=True)

    def all(self) -> list[Path]:
        """Every file of the run: the output, and all that lies beside it and the journal."""
        return [self.output, self.rebuilt, self.marks, *(path for path, _ in _parts_of(self.journal))]

    def remove_all(self) -> None:
        """Remove the output and all that lies beside it. Only for a run that has nothing to keep."""
        for path in self.all():
            path.unlink(missing_ok=True)

    @property
    def rebuilt(self) -> Path:
        """An output that is to take the place of the present one."""
        return self.output.with_name(self.output.name + ".rebuilt")


def see_that_output_can_be(paths: Paths, *, fresh: bool) -> None:
    """Refuse what can be no output, before anything is made."""
    parts = {path for path, _ in _parts_of(paths.journal)} | {paths.marks}
    if paths.output in parts or paths.rebuilt in parts:
        raise UsageError(
            f"{paths.output}: the output would be a part of its journal ({paths.journal}); name another sink.path or journal.path"
        )
    for path, what in ((paths.output, "output"), (paths.journal, "journal")):
        try:
            if path.exists() and not path.is_file():
                raise UsageError(f"{path} is no file, so no run can go on in it; name a file, and read it as it grows (tail -f)")
        except OSError as error:
            raise UsageError(f"{path}: the {what} cannot be created: {error.strerror or error}") from error
    if not fresh and not paths.journal.exists():
        if (run := paths.output.with_name(paths.output.name + RUN_SUFFIX) / MANIFEST).exists():
            raise OutputExistsError(run.parent, "it is a run by several workers: go on with --engine ray, or start over with --fresh")
        if os.path.lexists(paths.output):
            raise OutputExistsError(paths.output)
    paths.make_folders()


def move_all_aside(paths: Paths) -> None:
    """Give the output and its journal new names, which belong together."""
    journals = [(path, f".journal{part}") for path, part in _parts_of(paths.journal)]
    _rename([(paths.output, ""), *journals], paths.output)


def move_journal_aside(paths: Paths) -> None:
    """Give the journal with its parts another name. Raises UsageError.

    The hashes of the rows stay: they say what the answers belong to, whatever has become of the journal.
    """
    _rename([part for part in _parts_of(paths.journal) if part[0] != paths.hashes], paths.journal)


def _parts_of(journal: Path) -> list[tuple[Path, str]]:
    return [(journal.with_name(journal.name + part), part) for part in JOURNAL_PARTS]


def _rename(moves: list[tuple[Path, str]], base: Path) -> None:
    """Rename each path that is there to the first number behind `base` that is free with all endings."""
    aside = free_name(base, [ending for _, ending in moves])
    try:
        for path, ending in reversed(moves):  # the first last: while it has its name, the run can be told from a new one
            if os.path.lexists(path):
                path.rename(aside.with_name(aside.name + ending))
    except OSError as error:
        raise UsageError(f"{base} cannot be moved aside: {error.strerror or error}") from error
