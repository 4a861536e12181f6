"""Opens the input that a config names: a file of any kind, stdin, a dataset's folder, or several of these by a list or a pattern."""

from __future__ import annotations

import os
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.edges.sources.file import COLUMNS, STDIN, FileSource, holds_lines_of_json
from pipeline.edges.sources.recoding import UTF8
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from pipeline.ports import Source


def open_source(
    path: str | Sequence[str],
    *,
    encoding: str = UTF8,
    delimiter: str | None = None,
    used: Collection[str] | None = None,
    needed: Mapping[str, str] | None = None,
) -> Source:
    """Open an input; its name says of which kind it is. Reads nothing yet.

    path: of a file, a pattern, or several of these, which are read one after the other. encoding, delimiter: of text.
    used: the fields of a row that somebody asks for, None for all. needed: those that a single table must have, and who asks for each;
    of several files the rows of one that lacks them are bad.
    Raises InputError if it is not there, or of no known kind.
    """
    open_each = partial(open_one, encoding=encoding, delimiter=delimiter, used=used)
    if isinstance(path, str) and not is_pattern(path):
        return open_each(path, needed=needed)
    return _all_of(path if isinstance(path, str) else _name_of(path), files_of(path), open_each)


def files_of(path: str | Sequence[str]) -> list[str]:
    """The files of an input, in the order in which they are read. Raises InputError."""
    given = [path] if isinstance(path, str) else path
    return [each for name in given for each in (_found_by(name) if is_pattern(name) else [name])]


def _name_of(paths: Sequence[str]) -> str:
    return " and ".join(paths) if len(paths) < 3 else f"{paths[0]} and {len(paths) - 1} more"


def is_pattern(path: str) -> bool:
    """Whether a path stands for all files that it matches. A file that really has such a name is itself."""
    return path not in STDIN and any(sign in path for sign in "*?[") and not os.path.lexists(path)


def open_one(
    path: str, *, encoding: str, delimiter: str | None, used: Collection[str] | None, needed: Mapping[str, str] | None = None
) -> Source:
    """Open one file of an input, or stdin. Raises InputError."""
    if path not in STDIN and (path.lower().endswith(COLUMNS) or os.path.isdir(path)):  # noqa: PTH112  a Path of a pattern is no better
        from pipeline.edges.sources.arrow import ArrowSource  # noqa: PLC0415  few inputs are columns

        return ArrowSource.open(Path(path), used=used, needed=needed)
    return FileSource.open(path, encoding=encoding, delimiter=delimiter, used=used, needed=needed)


def _found_by(pattern: str) -> list[str]:
    """The files that a pattern matches, by name: the order must be the same in every run."""
    import glob  # noqa: PLC0415  few inputs are patterns

    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  a pattern may be absolute
    if not paths:
        raise InputError(f"{pattern}: no file has such a name")
    return paths


def sizes_of(paths: Sequence[str]) -> list[int]:
    """The bytes of several files of one input; 0 for a folder. Raises InputError where one is no file, or named twice."""
    found: dict[tuple[int, int], str] = {}
    sizes = []
    for path in paths:
        try:
            status = os.stat(path)  # noqa: PTH116  paths are text here
        except OSError as error:
            raise InputError(f"{path}: {error.strerror or error}") from error
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise InputError(f"{path} is no file; several inputs must be files, since a run may read them more than once")
        file = (status.st_dev, status.st_ino)
        if file in found:
            raise InputError(f"{path}: this file is named twice" + (f", also as {found[file]}" if found[file] != path else ""))
        found[file] = path
        sizes.append(status.st_size if stat.S_ISREG(status.st_mode) else 0)
    return sizes


def _all_of(name: str, paths: Sequence[str], open_each: Callable[[str], Source]) -> Source:
    from pipeline.edges.sources.chain import ChainedSource  # noqa: PLC0415  few inputs are several

    return ChainedSource(name, paths, sizes_of(paths), open_each, as_text=all(map(holds_lines_of_json, paths)))
