"""HTTP connections with limits of number and time, so that a client that sends half a request blocks no other."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from resnetgen.serve.limits import HEAD_SECONDS, MAX_CONNECTIONS, QUEUE, STALL_SECONDS


class _Timer:
    """Timer that calls a function once after some seconds, unless it is cancelled."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, call: Callable[[], None]) -> None:
        self._loop, self._seconds, self._call = loop, seconds, call
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer unless it is running."""
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._call)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Server(uvicorn.Server):
    """Server whose queue is longer than the number of connections accepted at once; uvicorn has one number for both."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        for listener in sockets or ():
            listener.listen(QUEUE)


class Connection(H11Protocol):
    """Connection that is closed if its request does not arrive in time, or if others need its place."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer = _Timer(self.loop, HEAD_SECONDS, lambda: self.transport.close())
        self._stall_timer = _Timer(self.loop, STALL_SECONDS, lambda: self.transport.abort())
        self._waiting_since = self.loop.time()
        """Time at which the server began to wait for the request."""

    @property
    def is_open(self) -> bool:
        return not self.transport.is_closing()

    @property
    def awaits_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def awaits_request(self) -> bool:
        """True while the client has the turn: no request has arrived, or not all of its body."""
        return bool(self.awaits_head or self.cycle.more_body)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._watch()
        self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        self._waiting_since = self.loop.time()
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._head_timer.cancel()
        self._stall_timer.cancel()

    def shutdown(self) -> None:
        """Close with the server, without waiting for a request that has not arrived completely."""
        if self.awaits_request:
            self.transport.close()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_timer.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stall_timer.cancel()

    def _watch(self) -> None:
        """Run a timer while a head is incomplete; uvicorn has its own for connections between two requests."""
        if not self.awaits_head or not self.is_open:
            self._head_timer.cancel()
        elif self.timeout_keep_alive_task is None:
            self._head_timer.start()

    def _make_room(self) -> None:
        """Close the connection that has waited longest for its request if there are too many; it may be this one."""
        connections = [each for each in self.connections if each.is_open]
        if len(connections) > MAX_CONNECTIONS:
            waiting = [each for each in connections if each.awaits_request]
            min(waiting, key=lambda each: each._waiting_since).transport.close()
