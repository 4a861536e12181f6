"""Opens the input that a config names: a file of any kind, stdin, a dataset's folder, or all files that a pattern finds."""

from __future__ import annotations

import glob
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.edges.sources.file import STDIN, FileSource
from pipeline.edges.sources.recoding import UTF8
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.ports import Source

COLUMNS = (".parquet", ".arrow", ".feather")


def open_source(path: str, *, encoding: str = UTF8, delimiter: str | None = None, used: Collection[str] | None = None) -> Source:
    """Open an input by what its name tells; reads nothing yet.

    encoding, delimiter: of text. used: the fields of a row that somebody asks for, None for all.
    Raises InputError if it is not there, or of no known kind.
    """
    if path not in STDIN and glob.has_magic(path) and not os.path.lexists(path):
        return _all_of(path, partial(open_source, encoding=encoding, delimiter=delimiter, used=used))
    if path not in STDIN and (path.lower().endswith(COLUMNS) or os.path.isdir(path)):  # noqa: PTH112  a Path of a pattern is no better
        from pipeline.edges.sources.arrow import ArrowSource  # noqa: PLC0415  few inputs are columns

        return ArrowSource.open(Path(path), used=used)
    return FileSource.open(path, encoding=encoding, delimiter=delimiter, used=used)


def _all_of(pattern: str, open_one: partial[Source]) -> Source:
    from pipeline.edges.sources.chain import ChainedSource, sizes_of  # noqa: PLC0415  few inputs are several

    paths = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207  a pattern may be absolute
    if not paths:
        raise InputError(f"{pattern}: no file has such a name")
    return ChainedSource(pattern, paths, sizes_of(paths, os.path.getsize), open_one)
