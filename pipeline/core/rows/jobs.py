"""What the rows of the input become, one slice after the other: jobs and failures, and no two jobs with the same id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.core.rows.ids import SeenIds, run_of
from pipeline.core.rows.lines import RawRow
from pipeline.core.rows.names import leading_names, numbered
from pipeline.core.rows.row_maker import RowMaker
from pipeline.records import Failure, Job

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.core.rows.ids import DigestStore
    from pipeline.core.rows.templates import Template


class JobMaker:
    """Makes jobs of rows, slice by slice, and refuses an id that was used before.

    template, url: for rows that are not whole requests; without a template every row must be one, and url is for those that
    say none. seen: where digests of ids are kept; closed with this. id_field: the field that names a row, None for
    `custom_id`. body_field: the field that holds the body of every row. one_file: a row's line alone says where it is.
    base: how many rows of the input come before the first one that is given here; they count for ids and messages. taken: which rows
    use the id of an earlier row, and the number of that one, if the whole input was searched for them; ids are not remembered then.
    count_tokens: whether jobs say what they may cost; without it `asked.counted` does so where it is needed.
    """

    def __init__(
        self,
        template: Template | None = None,
        url: str | None = None,
        *,
        seen: DigestStore,
        id_field: str | None = None,
        body_field: str | None = None,
        one_file: bool = True,
        base: int = 0,
        taken: Mapping[int, int | None] | None = None,
        count_tokens: bool = True,
    ) -> None:
        self._rows = RowMaker(template, url, id_field=id_field, body_field=body_field, base=base, count_tokens=count_tokens)
        self._names_are_usual = id_field is None and body_field is None
        self._one_file = one_file
        self._taken = taken
        self._store = seen
        self._seen = SeenIds(seen)

    def make_jobs(self, rows: Sequence[RawRow], first_index: int) -> list[Job | Failure]:
        """The job or failure of each row. first_index: place of the first row in the input."""
        made = self._rows.made(rows, first_index)
        repeats = self._claim(rows, made) if self._taken is None else self._known_repeats(first_index, len(rows))
        for at, first in repeats.items():
            item = made[at]
            if isinstance(item, Job):
                before = "before" if first is None else f"on line {first}" if first > 0 else f"by row {-1 - first}"
                problem = f"custom_id {item.custom_id!r} was used {before}; every row needs its own"
                made[at] = self._rows.failure(rows[at], item.index, item.custom_id, problem)
        return made

    def repeats(self, rows: Sequence[RawRow], first_index: int) -> dict[int, int | None]:
        """Which of the next rows use the id of an earlier one, and the number of that one; see `taken`."""
        made = self._rows.made(rows, first_index)
        return {first_index + at: first for at, first in self._claim(rows, made).items() if isinstance(made[at], Job)}

    def may_repeat(self, rows: Sequence[RawRow], first_index: int) -> bool:
        """Claim the ids of the next rows; whether one of them may have been used before. Cheaper than `repeats`, and says yes too often."""
        names = self._names_at_sight(rows)
        if names is None:
            names = [self._rows.make(row, index).custom_id for index, row in enumerate(rows, first_index)]
        if not names:
            names = [self._rows.numbered(index) for index in range(first_index, first_index + len(rows))]
        if self._seen.claim_new_run(names):
            return False
        return bool(self._seen.claim(names, range(first_index, first_index + len(rows))))

    def _names_at_sight(self, rows: Sequence[RawRow]) -> list[str] | None:
        """The ids of lines of JSON, bad ones included, none for lines without any; None if they must be decoded."""
        lines = [row.data for row in rows if isinstance(row.data, bytes)]
        if len(lines) < len(rows) or not self._names_are_usual:
            return None
        return leading_names(b"\n".join(lines) + b"\n")

    def _claim(self, rows: Sequence[RawRow], made: Sequence[Job | Failure]) -> dict[int, int | None]:
        """Claim the ids of rows: position of a row whose id was taken -> number of the first claim, None if not known."""
        names = [item.custom_id for item in made if type(item) is Job]
        if names and len(names) == len(made) and self._seen.claim_new_run(names):
            return {}
        claimers = [at for at, item in enumerate(made) if isinstance(item, Job) or self._claims_its_name(rows[at])]
        # A row from a file is known by its line, one from Python by its place.
        numbers = [_number_of(rows[at], made[at].index) for at in claimers]
        taken = self._seen.claim([made[at].custom_id for at in claimers], numbers)
        return {claimers[claim]: first for claim, first in taken.items()}

    def _known_repeats(self, first_index: int, count: int) -> dict[int, int | None]:
        """The same for the next rows, where it is known."""
        taken = self._taken
        return {at: taken[first_index + at] for at in range(count) if first_index + at in taken} if taken else {}

    def claim(self, rows: Sequence[RawRow], first_index: int) -> None:
        """Remember the ids of rows that need no job any more, so that a later row cannot use them again."""
        if self._taken is not None:
            return
        claims = [
            (name, _number_of(row, index))
            for index, row in enumerate(rows, first_index)
            if (name := self._rows.own_name(row.data) or self._name_of_good(row, index))
        ]
        self._seen.claim([name for name, _ in claims], [number for _, number in claims])

    def claim_lines(self, text: bytes, first_index: int, count: int, *, all_good: bool) -> None:
        """The same for this many whole lines of JSON, none of them blank and the first of the file among them or before.

        all_good: every one of them has become a job; then their ids need not be decoded, if they stand where they usually do.
        """
        if self._taken is not None:
            return
        names = leading_names(text) if all_good and self._names_are_usual else None
        if names is None:
            self.claim(self.rows_in(text, first_index), first_index)
            return
        prefix, first = run_of(names) if names else (numbered(0)[:-1], first_index)
        if first is None:
            first_number, step = (first_index + 1, 1) if self._one_file else (-1 - first_index, -1)
            self._seen.claim(names, range(first_number, first_number + step * count, step))
        else:
            self._seen.claim_run(prefix, first, count)

    def rows_in(self, text: bytes, first_index: int) -> list[RawRow]:
        """The rows of whole lines of JSON, none of them blank."""
        lines = text.splitlines() if b"\r" in text else text.removesuffix(b"\n").split(b"\n")
        return [RawRow(number if self._one_file else 0, 0, line) for number, line in enumerate(lines, first_index + 1)]

    def _name_of_good(self, row: RawRow, index: int) -> str | None:
        """The id of a row if it is a good one."""
        made = self._rows.make(row, index)
        return made.custom_id if isinstance(made, Job) else None

    def _claims_its_name(self, row: RawRow) -> bool:
        """Whether nobody else may have a bad row's id. One without an id is only counted, which must not cost a good row its own."""
        return self._rows.own_name(row.data) is not None

    def close(self) -> None:
        """Forget the ids."""
        self._store.close()


def _number_of(row: RawRow, index: int) -> int:
    """What a claim of a row's id is remembered by: its line where there is one file, else below zero its index."""
    return row.line if row.line and row.file is None else -1 - index
