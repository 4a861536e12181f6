"""Frames of pandas and polars as rows, and results as frames; neither library is imported unless the caller has done so.

A column (a Series) is a list of prompts; a frame is a list of rows, whose columns are the fields that a template takes.
A missing value is null.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from pipeline.edges.sources.memory import Row


class SizedRows(Struct):
    """Rows of which the number is known, so that progress has a percentage."""

    rows: Iterable[Row]
    length: int

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return self.length


def rows_of(prompts: object) -> Iterable[Row] | AsyncIterable[Row]:
    """The rows in what a caller gave.

    Raises: TypeError, for a single row and for what holds no rows.
    """
    if isinstance(prompts, (str, bytes, Mapping)):
        raise TypeError(f"prompts must be several rows, got one {type(prompts).__name__}; put it into a list")
    if (pandas := sys.modules.get("pandas")) is not None:
        if isinstance(prompts, pandas.DataFrame):
            return SizedRows(_rows_of_pandas(prompts), len(prompts))
        if isinstance(prompts, pandas.Series):
            return SizedRows((_without_missing(value, pandas) for value in prompts), len(prompts))
    if (polars := sys.modules.get("polars")) is not None:
        if isinstance(prompts, polars.DataFrame):
            return SizedRows(prompts.iter_rows(named=True), len(prompts))
        if isinstance(prompts, polars.LazyFrame):
            raise TypeError("prompts is a LazyFrame, which has no rows yet; give prompts.collect()")
    if isinstance(prompts, AsyncIterable):
        return prompts
    if not isinstance(prompts, Iterable):
        raise TypeError(f"prompts must be a list, a frame or another iterable of texts and mappings, got {type(prompts).__name__}")
    _refuse_frames_in(prompts)
    return prompts


def _rows_of_pandas(frame: Any) -> Iterator[Row]:
    pandas = sys.modules["pandas"]
    columns = [str(name) for name in frame.columns]
    for values in frame.itertuples(index=False, name=None):
        yield {name: _without_missing(value, pandas) for name, value in zip(columns, values, strict=True)}


def _without_missing(value: Any, pandas: Any) -> Any:
    """None for NaN, NaT and NA, which are how pandas says that there is no value."""
    if value is None or isinstance(value, (str, list, dict)):
        return value
    missing = pandas.isna(value)
    return None if missing is True or (hasattr(missing, "ndim") and missing.ndim == 0 and bool(missing)) else value


def _refuse_frames_in(prompts: Iterable[object]) -> None:
    """A list of one frame is a frame in the wrong place."""
    if isinstance(prompts, (list, tuple)) and prompts and type(prompts[0]).__name__ in {"DataFrame", "Series"}:
        raise TypeError("prompts is a list of frames; give the frame itself, or one of its columns, not in a list")
