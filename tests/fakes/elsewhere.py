"""A place where a light task waits for what another task finds out, as it waits for a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from pipeline.light import Resumed

T = TypeVar("T")


class Elsewhere(Generic[T]):
    """Awaits a function in a task of a nursery, which is cut off when nobody waits for it any more."""

    def __init__(self, nursery: trio.Nursery, function: Callable[[], Awaitable[T]]) -> None:
        self._nursery = nursery
        self._function = function
        self._scope = trio.CancelScope()

    def __await__(self) -> Generator[Any, T, T]:
        try:
            return (yield self)
        finally:
            self._scope.cancel()

    def hold(self, waiting: Resumed) -> None:
        self._nursery.start_soon(self._find_out, waiting)

    async def _find_out(self, waiting: Resumed) -> None:
        with self._scope:
            waiting.resume(await self._function())
