"""Which columns of a table the config asks for, and whether the table has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

SHOWN = 12  # columns that a message names


def missing_columns(needed: Mapping[str, str], columns: Collection[str]) -> str | None:
    """What is wrong with a table that lacks a column, for people; None if it has all.

    needed: who asks for each column, such as `request.body`. A name with a dot may reach into a column. A table of whole requests
    needs none.
    """
    if {"url", "body"} <= {*columns}:
        return None
    for name, asker in needed.items():
        if name not in columns and name.partition(".")[0] not in columns:
            names = [repr(column) for column in columns]
            more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
            return f"no column is named {name!r}, which {asker} asks for; there are {', '.join(names[:SHOWN])}{more}"
    return None
