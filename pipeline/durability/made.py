"""What a start has made that was not there before, so that a start that is refused leaves nothing behind.

Nothing that holds a result is removed here: only files that this start has made, while it has the run's lock, and an output only while
it is empty.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.errors import JournalError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType

    from pipeline.durability.paths import Paths

REFUSALS = (UsageError, JournalError)


def missing_folders(paths: Paths) -> list[Path]:
    """The folders that there must be for the files of a run and are not, the innermost first."""
    try:
        missing = {folder for file in (paths.output, paths.journal) for folder in file.parents if not folder.exists()}
    except OSError:
        return []
    return sorted(missing, key=lambda folder: len(folder.parts), reverse=True)


class Made(Struct, frozen=True):
    """The files of a run that were not there when its lock was taken. folders: those that were made for them, the innermost first.

    The log beside a journal that was there is not counted among them: if the journal cannot be closed, the log holds results.
    """

    paths: Paths
    missing: Collection[Path]
    folders: Collection[Path]

    @classmethod
    def since(cls, paths: Paths, folders: Collection[Path], *, is_new: bool) -> Made:
        """Note what is not there yet. is_new: the marks were made by whoever asks."""
        try:
            logs = paths.logs if paths.journal.exists() else ()
            missing = [path for path in paths.all() if path != paths.marks and path not in logs and not path.exists()]
        except OSError:
            return cls(paths, (), ())  # what was there cannot be told, so nothing is removed
        return cls(paths, [*missing, paths.marks] if is_new else missing, folders)

    def remove(self) -> None:
        """Remove what was made since. Whoever calls has the run's lock."""
        with suppress(OSError):
            for path in self.missing:
                if path != self.paths.output or (path.exists() and not path.stat().st_size):
                    path.unlink(missing_ok=True)
            remove_folders(self.folders)

    def on_refusal(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        """For an ExitStack: remove it, if the stack is left because the start is refused."""
        if kind is not None and issubclass(kind, REFUSALS):
            self.remove()


def remove_folders(folders: Collection[Path]) -> None:
    """Remove folders that are empty, the innermost first."""
    with suppress(OSError):  # somebody uses it meanwhile
        for folder in folders:
            folder.rmdir()
