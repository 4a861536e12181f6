"""The HTTP of the server: routes, and how calls of `Desk`, `Steps` and `Engine` become answers. An ASGI app; knows no server."""

from __future__ import annotations

import mimetypes
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import trio
from attrs import define, field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from pipeline.core.batches.asked import batches_page, file_life, files_page, json_object, new_batch
from pipeline.core.batches.errors import ApiError, no_file
from pipeline.core.batches.records import page_of
from pipeline.errors import HeadraceError
from pipeline.serve.again import run_failed_again
from pipeline.serve.desk import digest_of
from pipeline.serve.guard import headers_of
from pipeline.serve.uploads import Upload

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.serve.desk import Desk
    from pipeline.serve.engine import Engine
    from pipeline.serve.models import Models
    from pipeline.serve.steps import Steps
    from pipeline.serve.telling import Teller

T = TypeVar("T")
MOST_JSON = 1 << 20  # bytes of a request that is no upload
GROUP_BYTES = 1 << 20  # of an upload that are written in one visit to a thread
PAGE = ("page.html", "page.css", "page.js", "icon.svg")
NO_ROOM = "The disk of the server takes no more: "


@define(eq=False)
class Calls:
    """What the routes call. draining: set when nothing new is taken any more."""

    desk: Desk
    steps: Steps
    engine: Engine
    teller: Teller
    models: Models
    draining: trio.Event
    most_upload: int | None
    page: dict[str, bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        folder = files("pipeline.serve") / "page"
        self.page = {name: (folder / name).read_bytes() for name in PAGE}

    # ---- files ---------------------------------------------------------------------------------------------------

    async def upload(self, request: Request) -> Response:
        """POST /v1/files."""
        self._refuse_while_draining()
        place = self.desk.folder.incoming()
        with Upload(request.headers.get("content-type", ""), place, self.most_upload) as upload:
            self._see_that_it_fits(request)
            group: list[bytes] = []
            size = 0
            async for piece in request.stream():
                group.append(piece)
                size += len(piece)
                if size >= GROUP_BYTES or not piece:
                    await in_thread(upload.feed, b"".join(group))
                    group, size = [], 0
            await in_thread(upload.feed, b"".join(group))
            purpose = upload.purpose
            life = file_life(upload.fields.get("expires_after[anchor]"), upload.fields.get("expires_after[seconds]"))
            add = partial(self.desk.add_file, upload.take_file(), upload.size, upload.filename or "upload", purpose, life)
            file = await in_thread(add)
        return answer(file.shown())

    async def files(self, request: Request) -> Response:
        """GET /v1/files."""
        paging = files_page(request.query_params)
        found, more = await in_thread(self.desk.files, paging, request.query_params.get("purpose") or None)
        return answer(page_of([file.shown() for file in found], has_more=more))

    async def file(self, request: Request) -> Response:
        """GET /v1/files/ID."""
        return answer(self.desk.file(request.path_params["id"]).shown())

    async def content(self, request: Request) -> Response:
        """GET /v1/files/ID/content, whole or in part."""
        file = self.desk.file(request.path_params["id"])
        path = self.desk.folder.file(file.id)
        if not path.exists():
            raise no_file(file.id)
        return FileResponse(path, media_type="application/octet-stream", filename=file.filename)

    async def delete_file(self, request: Request) -> Response:
        """DELETE /v1/files/ID."""
        name = request.path_params["id"]
        await in_thread(self.desk.delete_file, name)
        return answer({"id": name, "object": "file", "deleted": True})

    # ---- batches -------------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        """POST /v1/batches."""
        self._refuse_while_draining()
        body = await body_of(request)
        asked = new_batch(json_object(body))
        marked = request.headers.get("x-stainless-retry-count", "0") != "0"
        key = request.headers.get("idempotency-key") or None
        batch, is_new = await in_thread(partial(self.desk.create, asked, digest_of(body), key, marked=marked))
        if is_new:
            self.steps.begin(batch)
        return answer(self.teller.shown(batch))

    async def batches(self, request: Request) -> Response:
        """GET /v1/batches."""
        found, more = await in_thread(self.desk.batches, batches_page(request.query_params))
        return answer(page_of([self.teller.shown(batch) for batch in found], has_more=more))

    async def batch(self, request: Request) -> Response:
        """GET /v1/batches/ID."""
        return answer(self.teller.shown(self.desk.batch(request.path_params["id"])))

    async def cancel(self, request: Request) -> Response:
        """POST /v1/batches/ID/cancel. Its body is not read: clients say that it is JSON and send none."""
        name = request.path_params["id"]
        running = self.engine.running.get(name)
        counts = None if running is None else (running.completed, running.failed)
        batch = await in_thread(self.desk.cancel, name, counts)
        if not batch.status.is_final:
            self.steps.cancel(batch)
        return answer(self.teller.shown(batch))

    # ---- the rest ------------------------------------------------------------------------------------------------

    async def list_models(self, request: Request) -> Response:
        """GET /v1/models and GET /v1/models/ID: what the provider says."""
        status, body = await self.models.ask(request.url.path.rstrip("/"))
        return Response(body, status, media_type="application/json")

    async def state(self, _: Request) -> Response:
        """GET /v1/headrace: what the page shows of the server."""
        return answer(await in_thread(self.teller.state))

    async def again(self, _: Request) -> Response:
        """POST /v1/headrace/again: try now what has stopped the work."""
        self.engine.begin_again()
        return answer({})

    async def run_again(self, request: Request) -> Response:
        """POST /v1/headrace/batches/ID/again: a new batch of the rows that failed."""
        self._refuse_while_draining()
        batch = await in_thread(run_failed_again, self.desk, request.path_params["id"])
        self.steps.begin(batch)
        return answer(self.teller.shown(batch))

    async def show_page(self, request: Request) -> Response:
        """The page and its parts."""
        name = request.url.path.lstrip("/") or "page.html"
        kind = mimetypes.guess_type(name)[0] or "text/html"
        return Response(self.page[name], media_type=kind, headers={"cache-control": "no-cache"})

    async def told_disk_error(self, _: Request, error: Exception) -> Response:
        """The answer when the disk has refused something."""
        said = getattr(error, "strerror", None) or self.teller.without_place(str(error))
        return _told(ApiError(507, f"{NO_ROOM}{said}", code="disk_full", kind="server_error"))

    def _refuse_while_draining(self) -> None:
        if self.draining.is_set():
            raise ApiError(503, "The server is stopping; try again in a moment.", code="stopping", kind="server_error", retry=True)

    def _see_that_it_fits(self, request: Request) -> None:
        """Refuse an upload that has no room, before it is sent."""
        length = request.headers.get("content-length", "")
        size = int(length) if length.isascii() and length.isdigit() else 0
        if self.most_upload is not None and size > self.most_upload + GROUP_BYTES:
            raise ApiError(413, f"The file is larger than {self.most_upload:,} bytes, which this server allows.", code="file_too_large")
        if size > self.desk.folder.free_bytes():
            raise ApiError(507, f"{NO_ROOM}the file has {size:,} bytes.", code="disk_full", kind="server_error")


def app_of(calls: Calls) -> Starlette:
    """The app."""
    routes = [
        Route("/v1/files", calls.upload, methods=["POST"]),
        Route("/v1/files", calls.files, methods=["GET"]),
        Route("/v1/files/{id}", calls.file, methods=["GET"]),
        Route("/v1/files/{id}", calls.delete_file, methods=["DELETE"]),
        Route("/v1/files/{id}/content", calls.content, methods=["GET"]),
        Route("/v1/batches", calls.create, methods=["POST"]),
        Route("/v1/batches", calls.batches, methods=["GET"]),
        Route("/v1/batches/{id}", calls.batch, methods=["GET"]),
        Route("/v1/batches/{id}/cancel", calls.cancel, methods=["POST"]),
        Route("/v1/models", calls.list_models, methods=["GET"]),
        Route("/v1/models/{id:path}", calls.list_models, methods=["GET"]),
        Route("/v1/headrace", calls.state, methods=["GET"]),
        Route("/v1/headrace/again", calls.again, methods=["POST"]),
        Route("/v1/headrace/batches/{id}/again", calls.run_again, methods=["POST"]),
        *(Route(f"/{name}" if name != "page.html" else "/", calls.show_page, methods=["GET"]) for name in PAGE),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            ApiError: _told_api_error,
            HTTPException: _told_http_error,
            HeadraceError: calls.told_disk_error,
            OSError: calls.told_disk_error,
            ClientDisconnect: _told_nobody,
            Exception: _told_defect,
        },
    )
    app.router.redirect_slashes = False
    return app


def answer(value: Any, status: int = 200) -> Response:
    """JSON."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


async def body_of(request: Request) -> bytes:
    """The body of a request that is short. Raises ApiError."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_JSON:
            raise ApiError(413, f"The request is larger than {MOST_JSON:,} bytes.", code="request_too_large")
    return bytes(body)


async def in_thread(work: Callable[..., T], *arguments: Any) -> T:
    """Call what blocks."""
    return await trio.to_thread.run_sync(work, *arguments)


def _told(error: ApiError) -> Response:
    headers = {name.decode(): value.decode() for name, value in headers_of(error)}
    return Response(msgspec.json.encode(error.body()), error.status, headers, "application/json")


async def _told_api_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return _told(error)


async def _told_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return _told(ApiError(405, f"{request.method} is not allowed here.", code="method_not_allowed"))
    return _told(ApiError(error.status_code, f"Invalid URL ({request.method} {request.url.path[:200]})", code="unknown_url"))


async def _told_nobody(_: Request, error: Exception) -> Response:
    del error
    return Response(status_code=400)


async def _told_defect(_: Request, error: Exception) -> Response:
    """A defect of ours; the server's log has it."""
    return _told(ApiError(500, f"Internal error: {type(error).__name__}", code="internal_error", kind="server_error"))
