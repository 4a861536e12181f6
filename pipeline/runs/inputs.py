"""What a config says of its input: what opens it, what makes jobs of its rows, and what must stay the same when a run goes on.

Imports nothing of the flow, because `status`, `verify` and `check` need it too.
"""

from __future__ import annotations

from functools import partial
from secrets import token_hex
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.bookkeeping.fingerprint import SIMULATED
from pipeline.core.rows.jobs import JobMaker
from pipeline.core.rows.templates import Template
from pipeline.edges.sources.opening import is_pattern, open_source
from pipeline.edges.store.seen import SeenOnDisk
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.config import Config
    from pipeline.ports import OpenSource, Source


class Extent(msgspec.Struct, frozen=True, eq=False):
    """The part of the input that a run goes through: one of several that are run on their own and put together later.

    open_source: gives the rows of that part. first: index of its first row in the whole input. taken: which of its rows use the id of
    an earlier row of the whole input; see `JobMaker`. identity: what must be the same when it goes on, besides the config.
    """

    open_source: OpenSource
    first: int
    taken: Mapping[int, int | None]
    identity: Mapping[str, str]


def job_maker(config: Config, extent: Extent | None = None, *, count_tokens: bool = True) -> JobMaker:
    """What makes jobs of the configured input's rows. extent: the part of it that is read; None is all of it.

    count_tokens: see `JobMaker`.
    """
    request = config.request
    template = None if request is None or request.body is None else Template.compile(request.body, token_hex())
    return JobMaker(
        template,
        None if request is None else request.url,
        seen=SeenOnDisk(),
        id_field=config.source.id,
        body_field=None if request is None else request.body_field,
        one_file=isinstance(config.source.path, str) and not is_pattern(config.source.path),
        base=0 if extent is None else extent.first,
        taken=None if extent is None else extent.taken,
        count_tokens=count_tokens,
    )


def source_opener(config: Config, also: Sequence[str] = ()) -> OpenSource:
    """What opens the configured input, as often as it can be read. also: fields that are asked for besides those that the config uses.

    What it raises, the opener raises: InputError.
    """
    source = config.source
    used, needed = {*used_of(config), *also}, needed_of(config)
    open_rows = partial(open_source, source.path, encoding=source.encoding, delimiter=source.delimiter, used=used, needed=needed)
    return lambda: looking_at_files(config, open_rows())


def looking_at_files(config: Config, source: Source) -> Source:
    """A source whose rows' files are looked at, if the config sends any. Owns the source. Raises InputError."""
    request = config.request
    if request is None or request.body is None or request.files is None:
        return source
    from pipeline.edges.attachments.folder import Folder  # noqa: PLC0415  few runs send files
    from pipeline.edges.attachments.looking import RowsWithFiles  # noqa: PLC0415

    try:
        folder = Folder(request.files.root, request.files.max_bytes)
    except InputError:
        source.close()
        raise
    return RowsWithFiles(source, folder, [hole.name for hole in Template.compile(request.body).files])


def used_of(config: Config) -> set[str]:
    """The fields of a row that the config asks for."""
    request = config.request
    fields = () if request is None or request.body is None else Template.compile(request.body).fields
    names = {"custom_id", config.source.id, None if request is None else request.body_field, *fields, *config.sink.keep}
    return {part for name in names if name for part in (name, name.partition(".")[0])}


def needed_of(config: Config) -> dict[str, str]:
    """The columns that a table must have, and which key of the config asks for each."""
    request = config.request
    needed = dict.fromkeys(config.sink.keep, "sink.keep")
    if request is not None and request.body is not None:
        needed |= dict.fromkeys(Template.compile(request.body).required, "request.body")
    if request is not None and request.body_field is not None:
        needed[request.body_field] = "request.body_field"
    return needed | ({config.source.id: "source.id"} if config.source.id is not None else {})


def identity_of(config: Config, extent: Extent | None = None) -> dict[str, str]:
    """The parts of a config that change answers or how they are written: a run goes on only where they are the same."""
    request, provider = config.request, config.provider
    where = "(several)" if config.providers else provider.base_url or SIMULATED  # which lanes there are changes no answer
    return {
        "provider.base_url": where,
        **({} if config.providers or provider.model is None else {"provider.model": provider.model}),
        "request.url": "" if request is None else request.url,
        "request.body": "" if request is None else msgspec.json.encode(request.body, order="sorted").decode(),
        **({} if request is None or request.body_field is None else {"request.body_field": request.body_field}),
        **({} if config.source.id is None else {"source.id": config.source.id}),
        **_expected(config),
        "sink.order": config.sink.order.value,
        "sink.shape": config.sink.shape.value,
        **({"sink.keep": msgspec.json.encode(config.sink.keep).decode()} if config.sink.keep else {}),
        **({} if extent is None else extent.identity),
    }


def _expected(config: Config) -> dict[str, str]:
    """What is expected of answers, as far as it decides which ones count. A schema in a file counts by what is in it."""
    expect = config.answers.expect
    if expect is None:
        return {}
    from pipeline.config.expectations import load_schema  # noqa: PLC0415  few runs expect anything

    told = {**msgspec.structs.asdict(expect), "schema": load_schema(expect.schema), "length": config.answers.length.value}
    return {"answers.expect": msgspec.json.encode(told, order="sorted").decode()}
