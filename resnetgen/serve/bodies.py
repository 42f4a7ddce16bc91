"""Bodies of requests, read completely before the application sees them, within limits of size and time."""

from __future__ import annotations

import asyncio

from resnetgen.serve.asgi import App, Message, Receive, RequestError, Scope, Send
from resnetgen.serve.limits import BODY_SECONDS, HELD_BYTES

_TIMEOUT, _TOO_LARGE, _ENCODING, _BUSY = 408, 413, 415, 503


class LimitedBodies:
    """ASGI application that passes on the requests whose body has at most `limit` bytes.

    The total of all bodies in memory, from the first byte to the end of the answer, is limited as well: to HELD_BYTES,
    or to one body of the limit.
    """

    def __init__(self, app: App, limit: int, seconds: float = BODY_SECONDS) -> None:
        self._app, self._limit, self._seconds = app, limit, seconds
        self._max_held = max(limit, HELD_BYTES)
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _Body(self)
        try:
            self._check_headers(scope)
            try:
                async with asyncio.timeout(self._seconds):
                    is_whole = await body.read(receive)
            except TimeoutError:
                raise RequestError(f"the body did not arrive in {self._seconds:g} seconds", _TIMEOUT) from None
            if is_whole:
                await self._app(scope, body.replay(receive), send)
        except RequestError as error:
            await error.send(send)
        finally:
            self._held -= body.size
        return None

    def take(self, size: int, total: int) -> None:
        """Count bytes of a body that has `total` bytes so far. Raises RequestError above a limit."""
        if total > self._limit:
            raise RequestError(f"the body is larger than {self._limit:,} bytes, the limit for this model", _TOO_LARGE)
        if self._held + size > self._max_held:
            text = f"the bodies of all requests together are larger than {self._max_held:,} bytes: ask again later"
            raise RequestError(text, _BUSY)
        self._held += size

    def _check_headers(self, scope: Scope) -> None:
        """Refuse a body by its stated length before a byte of it is read, and one that is compressed."""
        for name, value in scope["headers"]:
            if name == b"content-length" and int(value) > self._limit:
                self.take(0, int(value))
            if name == b"content-encoding" and value.strip().lower() != b"identity":
                raise RequestError("the body is compressed, which this server does not read", _ENCODING)


class _Body:
    """Body of one request."""

    def __init__(self, counter: LimitedBodies) -> None:
        self._counter = counter
        self._chunks: list[bytes] = []
        self.size = 0

    async def read(self, receive: Receive) -> bool:
        """Read to the end; return False if the client has gone before. Raises RequestError."""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            chunk = message.get("body", b"")
            self._counter.take(len(chunk), self.size + len(chunk))
            self.size += len(chunk)
            self._chunks.append(chunk)
            if not message.get("more_body", False):
                return True

    def replay(self, receive: Receive) -> Receive:
        """Return a `receive` that gives the body as one message, then the messages of the server."""
        messages: list[Message] = [{"type": "http.request", "body": b"".join(self._chunks), "more_body": False}]
        self._chunks.clear()

        async def next_message() -> Message:
            return messages.pop() if messages else await receive()

        return next_message
