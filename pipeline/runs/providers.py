"""Opens the configured providers: connections to each of them, with what it is shown of keys and files."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing
from importlib.util import find_spec
from typing import TYPE_CHECKING

import trio
from msgspec import Struct
from msgspec.structs import replace

from pipeline.core.rows.models import with_model
from pipeline.edges.http import check_endpoint, open_senders, senders_over
from pipeline.edges.http.endpoint import ConnectionBounds, Endpoint, Timeouts, TlsOptions
from pipeline.edges.http.proxies import BadProxyError
from pipeline.errors import ConfigError, Problem
from pipeline.light import ask_before, attempts_of, in_task
from pipeline.runs.keys import credentials_for, key_reader
from pipeline.runs.names import place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    import httpx

    from pipeline.config import Config, ProviderConfig
    from pipeline.config.environment import Credentials
    from pipeline.core.pacing.lanes import Lanes
    from pipeline.edges.attachments.folder import Folder
    from pipeline.ports import Departure, OpenSender, Sender
    from pipeline.records import Answer, Fault, Job


Hide = Callable[[Sequence[str]], None]


def credentials(config: Config) -> tuple[Credentials, ...]:
    """What to show each provider, from the environment, a file or a program; blocks.

    Raises ConfigError, where a variable is not set or not as it should be, or a key cannot be read.
    """
    return tuple(credentials_for(provider, place_of(config, index)) for index, provider in enumerate(config.lanes))


def secrets_of(shown: tuple[Credentials, ...]) -> tuple[str, ...]:
    """The texts of all of them that must be shown nowhere, longest first."""
    return tuple(sorted({text for each in shown for text in each.secrets}, key=len, reverse=True))


class Providers:
    """The open providers of a run.

    senders: makes a sender to each, in the order of the lanes. folder: of the files that rows name. lanes: of the latest flow that has
    used them; one that begins later, such as the next shard of a worker, goes on with what that has learned.
    """

    def __init__(self, nursery: trio.Nursery, transport: httpx.AsyncBaseTransport | None, folder: Folder | None, hide: Hide) -> None:
        self.senders: list[OpenSender] = []
        self.lanes: Lanes | None = None
        self._nursery = nursery
        self._transport = transport
        self._hide = hide
        self._folder = folder

    async def add(self, provider: ProviderConfig, endpoint: Endpoint) -> None:
        """Open one more, until the run ends."""
        open_sender: OpenSender = await self._nursery.start(self._keep_open, provider, endpoint)
        if self._folder is not None:
            from pipeline.edges.attachments.sending import sending_files  # noqa: PLC0415  few runs send files

            open_sender = sending_files(open_sender, self._folder)
        self.senders.append(open_sender if provider.model is None else _asking_for(provider.model, open_sender))

    async def _keep_open(
        self, provider: ProviderConfig, endpoint: Endpoint, *, task_status: trio.TaskStatus[OpenSender] = trio.TASK_STATUS_IGNORED
    ) -> None:
        async with _opened(provider, endpoint, self._transport) as open_sender:
            task_status.started(open_sender)
            await trio.sleep_forever()

    def endpoint(self, config: Config, index: int, shown: Credentials) -> Endpoint:
        """The far end of a lane. Raises ConfigError where it cannot be used."""
        return endpoint_of(config, index, shown, self._transport, self._hide)


def open_providers(
    config: Config,
    shown: tuple[Credentials, ...],
    transport: httpx.AsyncBaseTransport | None = None,
    hide: Hide = lambda _: None,
) -> AbstractAsyncContextManager[Providers]:
    """The providers of a config; embedded ones are served meanwhile.

    shown: what each provider is shown. transport: carries the requests in place of the configured one; its owner closes it.
    hide: told the texts of keys that are read later, which must be shown nowhere; called in any thread.
    Raises ConfigError at once, before anything is open.
    """
    endpoints = [endpoint_of(config, index, shown[index], transport, hide) for index in range(len(config.lanes))]
    return _all_opened(config, endpoints, transport, hide)


def endpoint_of(config: Config, index: int, shown: Credentials, transport: httpx.AsyncBaseTransport | None, hide: Hide) -> Endpoint:
    """The far end of a lane. Raises ConfigError where it cannot be used."""
    provider, place = config.lanes[index], place_of(config, index)
    uses_proxies = transport is None and provider.base_url is not None
    if provider.http2 and transport is None and find_spec("h2") is None:
        message = "HTTP/2 needs a package that is not installed: pip install 'headrace[http2]'"
        raise ConfigError([Problem(f"{place}.http2", message, "config")])
    endpoint = _endpoint(config, provider, place, shown, os.environ if uses_proxies else {})
    return replace(endpoint, read_key=key_reader(provider, place, hide))


def _endpoint(config: Config, provider: ProviderConfig, place: str, shown: Credentials, env: Mapping[str, str]) -> Endpoint:
    """The far end. A simulated one gets its address when it listens; until then one in its place."""
    given = config.timeouts
    timeouts = Timeouts(
        given.connect_seconds,
        given.idle_seconds,
        given.total_seconds,
        given.stall_seconds or math.inf,
        given.first_token_seconds or math.inf,
    )
    tls = provider.tls
    if provider.base_url is None:
        endpoint = Endpoint("http://127.0.0.1", shown.key_header, shown.headers, timeouts, connection=_bounds(provider))
    else:
        options = TlsOptions(tls.ca, tls.certificate, tls.key)
        endpoint = Endpoint(
            provider.base_url,
            shown.key_header,
            shown.headers,
            timeouts,
            tls=options,
            unix_socket=provider.unix_socket,
            connection=_bounds(provider),
        )
    try:
        check_endpoint(endpoint, env)
    except OSError as error:
        raise ConfigError([Problem(f"{place}.tls", f"a file cannot be used: {error}", "config")]) from None
    except BadProxyError as error:
        raise ConfigError([Problem("", str(error), "environment")]) from None
    except ValueError as error:
        raise ConfigError([Problem(place, str(error), "config")]) from None
    return endpoint


def _bounds(provider: ProviderConfig) -> ConnectionBounds:
    connection = provider.connection
    return ConnectionBounds(connection.max_requests, math.inf if connection.max_seconds is None else connection.max_seconds)


@asynccontextmanager
async def _all_opened(
    config: Config, endpoints: list[Endpoint], transport: httpx.AsyncBaseTransport | None, hide: Hide
) -> AsyncIterator[Providers]:
    with ExitStack() as opened:
        folder = _folder_of(config, opened)
        async with trio.open_nursery() as nursery:
            providers = Providers(nursery, transport, folder, hide)
            for provider, endpoint in zip(config.lanes, endpoints, strict=True):
                await providers.add(provider, endpoint)
            yield providers
            nursery.cancel_scope.cancel()


def _folder_of(config: Config, opened: ExitStack) -> Folder | None:
    """The folder of which files are sent, closed with `opened`. Raises InputError."""
    files = None if config.request is None else config.request.files
    if files is None:
        return None
    from pipeline.edges.attachments.folder import Folder  # noqa: PLC0415  few runs send files

    return opened.enter_context(closing(Folder(files.root, files.max_bytes)))


@asynccontextmanager
async def _opened(provider: ProviderConfig, endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None) -> AsyncIterator[OpenSender]:
    http2 = provider.http2
    async with trio.open_nursery() as nursery:
        env: Mapping[str, str] = os.environ
        if provider.simulate is not None:
            from pipeline.simulate import serve  # noqa: PLC0415  only who simulates pays for the import

            endpoint = replace(endpoint, base_url=await nursery.start(serve, provider.simulate))
            env, http2 = {}, False  # no proxy stands between us and ourselves, and no TLS
        if transport is not None:
            yield senders_over(endpoint, transport)
        else:
            async with open_senders(endpoint, transport=provider.transport, http2=http2, env=env) as open_sender:
                yield open_sender
        nursery.cancel_scope.cancel()


def _asking_for(model: str, open_sender: OpenSender) -> OpenSender:
    return lambda: _OwnModel(open_sender(), model)


class _OwnModel(Struct, frozen=True):
    """A sender to a lane that knows the model by another name."""

    sender: Sender
    model: str

    def ask_before(self, departure: Departure) -> None:
        """See `AskingSender`."""
        ask_before(self.sender, departure)

    async def send(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt, with the lane's model in the request."""
        return await in_task(self.attempt(job, client_request_id))

    async def attempt(self, job: Job, client_request_id: str) -> Answer | Fault:
        """One attempt, for a light task."""
        return await attempts_of(self.sender)(replace(job, body=with_model(job.body, self.model)), client_request_id)

    def release(self) -> None:
        """The last answer is no longer in memory."""
        self.sender.release()

    def close(self) -> None:
        """Close the connection."""
        self.sender.close()
